//! The client of a consumer process: `KafkaConsumer` or `KafkaShareConsumer`. An application calls both alike.

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{Offset, PartitionId};
use crate::base::time::Time;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{Consumer, ConsumerCall, Returned};
use crate::kafka::effects::{Effects, Input};
use crate::kafka::share::consumer::ShareConsumer;

/// A client that reads.
#[derive(Clone, Debug)]
pub enum Client {
    /// `KafkaConsumer`.
    Consumer(Box<Consumer>),
    /// `KafkaShareConsumer`.
    Share(Box<ShareConsumer>),
}

impl From<Consumer> for Client {
    fn from(consumer: Consumer) -> Self {
        Self::Consumer(Box::new(consumer))
    }
}

impl From<ShareConsumer> for Client {
    fn from(consumer: ShareConsumer) -> Self {
        Self::Share(Box::new(consumer))
    }
}

impl Client {
    /// The `KafkaConsumer`, where it is one.
    pub fn as_consumer(&self) -> Option<&Consumer> {
        match self {
            Self::Consumer(consumer) => Some(consumer),
            Self::Share(_) => None,
        }
    }

    /// The application has a rebalance listener; a share consumer has none.
    #[must_use]
    pub(super) fn with_listener(self) -> Self {
        match self {
            Self::Consumer(consumer) => Self::from(consumer.with_listener()),
            share @ Self::Share(_) => share,
        }
    }

    /// Something came to the process.
    pub(super) fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match self {
            Self::Consumer(consumer) => consumer.step(now, input, fx),
            Self::Share(consumer) => consumer.step(now, input, fx),
        }
    }

    /// Begins a call of the application.
    pub(super) fn call(&mut self, now: Time, call: ConsumerCall, fx: &mut Effects) {
        match self {
            Self::Consumer(consumer) => consumer.call(now, call, fx),
            Self::Share(consumer) => consumer.call(now, call, fx),
        }
    }

    /// How the last call ended, once.
    pub(super) fn take_returned(&mut self) -> Option<Returned> {
        match self {
            Self::Consumer(consumer) => consumer.take_returned(),
            Self::Share(consumer) => consumer.take_returned(),
        }
    }

    /// True when a call has ended and nobody took its outcome.
    pub(super) fn has_returned(&self) -> bool {
        match self {
            Self::Consumer(consumer) => consumer.has_returned(),
            Self::Share(consumer) => consumer.has_returned(),
        }
    }

    /// `wakeup()`.
    pub(super) fn wakeup(&mut self) {
        match self {
            Self::Consumer(consumer) => consumer.wakeup(),
            Self::Share(consumer) => consumer.wakeup(),
        }
    }

    /// True after `close()`.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Consumer(consumer) => consumer.is_closed(),
            Self::Share(consumer) => consumer.is_closed(),
        }
    }

    /// The next offset `poll()` would return of an assigned partition. A share consumer has no positions.
    pub fn position(&self, partition: PartitionId) -> Option<Offset> {
        match self {
            Self::Consumer(consumer) => consumer.position(partition),
            Self::Share(_) => None,
        }
    }

    /// The assigned partitions.
    pub fn assigned(&self) -> &[PartitionId] {
        match self {
            Self::Consumer(consumer) => consumer.assigned(),
            Self::Share(consumer) => consumer.assigned(),
        }
    }

    /// True while a callback of the application's listener runs, or what it commits has not been answered.
    pub fn is_in_callback(&self) -> bool {
        matches!(self, Self::Consumer(consumer) if consumer.is_in_callback())
    }

    /// True for an assigned partition that is on its way out: `onPartitionsRevoked` was or will be called for it.
    pub fn is_pending_revocation(&self, partition: PartitionId) -> bool {
        matches!(self, Self::Consumer(consumer) if consumer.is_pending_revocation(partition))
    }

    /// True while the application's listener is called.
    pub(super) fn is_calling_back(&self) -> bool {
        matches!(self, Self::Consumer(consumer) if consumer.is_calling_back())
    }

    /// A listener commits.
    pub(super) fn commit_in_callback(
        &mut self,
        now: Time,
        sync: bool,
        offsets: Option<Vec<PartitionOffset>>,
        fx: &mut Effects,
    ) {
        if let Self::Consumer(consumer) = self {
            consumer.commit_in_callback(now, sync, offsets, fx);
        }
    }

    /// Adds this client to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        match self {
            Self::Consumer(consumer) => consumer.fingerprint(now, into),
            Self::Share(consumer) => consumer.fingerprint(now, into),
        }
    }
}
