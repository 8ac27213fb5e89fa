//! The application's `ConsumerRebalanceListener`. Its callbacks run in the application's thread, inside the call that
//! noticed the rebalance: nothing of that call goes on before they return, and heartbeats do. What an application does
//! in them is its own business; that most of them commit in `onPartitionsRevoked` is why that one can be waited for.
//!
//! Kafka: `ConsumerRebalanceListenerInvoker`; `onPartitionsLost` calls `onPartitionsRevoked` unless it is overridden.
//! Simplified: an exception of a commit inside a callback is noted and caught by the application.

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::PartitionId;
use crate::base::time::Time;
use crate::event::{CommitKind, EventKind, RebalanceCallback};
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::Consumer;
use crate::kafka::consumer::commits::SyncCommit;
use crate::kafka::effects::Effects;

/// What the application's listener is doing.
#[derive(Clone, Debug, Default)]
pub(super) enum Listener {
    /// The application has none that does anything.
    #[default]
    Absent,
    /// It commits what is taken away, and is not being called.
    Idle,
    /// It is being called and has not said what it commits.
    Called,
    /// It waits for its `commitSync`.
    Committing(SyncCommit),
}

impl Listener {
    /// True while a callback has not returned.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Called | Self::Committing(_))
    }

    /// Adds this state to a fingerprint.
    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        into.add((self.is_running(), matches!(self, Self::Called)));
        if let Self::Committing(commit) = self {
            commit.fingerprint(now, into);
        }
    }
}

impl Consumer {
    /// The application commits in `onPartitionsRevoked`: whenever [`Consumer::is_calling_back`], the caller answers
    /// with [`Consumer::commit_in_callback`].
    #[must_use]
    pub fn with_listener(mut self) -> Self {
        self.listener = Listener::Idle;
        self
    }

    /// True while a callback has not returned, because it works or because what it commits is not answered.
    pub fn is_in_callback(&self) -> bool {
        self.listener.is_running()
    }

    /// True for an assigned partition that is on its way out (`SubscriptionState.markPendingRevocation`).
    pub fn is_pending_revocation(&self, partition: PartitionId) -> bool {
        self.subscriptions.get(partition).is_some_and(|state| state.pending_revocation)
    }

    /// True while `onPartitionsRevoked` waits for the application to say what it commits.
    pub fn is_calling_back(&self) -> bool {
        matches!(self.listener, Listener::Called)
    }

    /// What the application commits in the callback; `None`: everything `poll()` has returned. The callback returns
    /// when a `commitSync` has ended, or at once.
    ///
    /// # Panics
    /// When no callback waits for it.
    pub fn commit_in_callback(
        &mut self,
        now: Time,
        sync: bool,
        offsets: Option<Vec<PartitionOffset>>,
        fx: &mut Effects,
    ) {
        assert!(self.is_calling_back(), "nobody asked");
        let offsets = offsets.unwrap_or_else(|| self.to_commit());
        self.listener = Listener::Idle;
        if sync {
            let deadline = now + self.config.default_api_timeout;
            let commit = SyncCommit::new(CommitKind::Sync, offsets, deadline);
            self.listener = Listener::Committing(commit);
        } else {
            self.commit_async(now, CommitKind::Async, offsets, fx);
        }
        self.proceed(now, fx);
    }

    /// A callback runs.
    pub(super) fn call_back(
        &mut self,
        callback: RebalanceCallback,
        partitions: &[PartitionId],
        fx: &mut Effects,
    ) {
        fx.event(EventKind::Callback { callback, count: partitions.len() as u16 });
        for partition in partitions {
            fx.event(EventKind::CallbackPartition { callback, partition: *partition });
        }
        let acts = callback != RebalanceCallback::Assigned && !partitions.is_empty();
        if acts && matches!(self.listener, Listener::Idle) {
            self.listener = Listener::Called;
        }
    }

    /// Lets a callback go on. True when the call around it may.
    pub(super) fn advance_listener(&mut self, now: Time, fx: &mut Effects) -> bool {
        let Listener::Committing(mut commit) = std::mem::take(&mut self.listener) else {
            unreachable!("only a callback that commits goes on by itself")
        };
        let returned = self.commit_sync(now, &mut commit, fx).is_some();
        self.listener = if returned { Listener::Idle } else { Listener::Committing(commit) };
        returned
    }
}
