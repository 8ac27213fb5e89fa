//! Who a producer process is, and whether another instance has taken its place: the producer id and epoch it was given,
//! and what it was told since.

use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{EventSeq, ProducerEpoch};
use crate::base::time::Time;
use crate::event::{Event, EventKind, FaultKind};
use crate::view::cluster::{ClusterView, ProcessState};

/// One producer process.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct IdentityView {
    /// Its producer id and epoch, once it has them.
    pub id: Option<(i64, ProducerEpoch)>,
    /// When it was first told that it is fenced.
    pub fenced: Option<Fenced>,
}

/// A producer was told that it is fenced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fenced {
    /// In Kafka's word.
    pub error: ErrorCode,
    /// When.
    pub at: Time,
    /// The event of that.
    pub seq: EventSeq,
}

/// A producer process that goes on although it is of no use any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zombie {
    /// Which producer.
    pub producer: u16,
    /// The epoch it has.
    pub epoch: ProducerEpoch,
    /// What it was told; `None`: it does not know yet.
    pub fenced: Option<Fenced>,
}

impl IdentityView {
    pub(super) fn apply(&mut self, seq: EventSeq, event: &Event) {
        let told = match event.kind {
            EventKind::ProducerIdAssigned { producer_id, epoch } => {
                *self = Self { id: Some((producer_id, epoch)), fenced: None };
                return;
            }
            EventKind::Fault { kind: FaultKind::Kill | FaultKind::Stopped } => {
                *self = Self::default();
                return;
            }
            EventKind::TransactionCalled { exception, .. } => exception,
            EventKind::BatchFailed { exception, .. } => Some(exception),
            _ => None,
        };
        let Some(Exception::Wire(error)) = told else { return };
        if matches!(error, ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch) {
            self.fenced = self.fenced.or(Some(Fenced { error, at: event.at, seq }));
        }
    }
}

impl ClusterView {
    /// The producer process that has this producer id with the highest epoch.
    pub fn holder(&self, producer_id: i64) -> Option<u16> {
        let all = self.identities.iter().enumerate().filter_map(|(n, identity)| {
            let (_, epoch) = identity.id.filter(|(id, _)| *id == producer_id)?;
            (self.producers[n] != ProcessState::Down).then_some((epoch, n as u16))
        });
        all.max().map(|(_, n)| n)
    }

    /// The producers of this producer id that were told that they are fenced, or whose place another instance has taken
    /// with a higher epoch without their knowing it.
    pub fn zombies(&self, producer_id: i64) -> Vec<Zombie> {
        let epoch = |identity: &IdentityView| {
            identity.id.filter(|(id, _)| *id == producer_id).map(|(_, epoch)| epoch)
        };
        let newest = self.identities.iter().filter_map(epoch).max();
        let zombie = |(n, identity): (usize, &IdentityView)| {
            let epoch = epoch(identity)?;
            let lives = self.producers[n] != ProcessState::Down;
            let replaced = newest.is_some_and(|newest| epoch < newest);
            let producer = n as u16;
            let fenced = identity.fenced;
            (lives && (replaced || fenced.is_some())).then_some(Zombie { producer, epoch, fenced })
        };
        self.identities.iter().enumerate().filter_map(zombie).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::NodeId;
    use crate::base::names::Client;
    use crate::event::TransactionCall;
    use crate::view::story::Story;

    fn assigned(story: &mut Story, n: u16, producer_id: i64, epoch: i16) {
        let epoch = ProducerEpoch(epoch);
        story.push(NodeId::Producer(n), EventKind::ProducerIdAssigned { producer_id, epoch });
    }

    #[test]
    fn who_was_replaced_is_a_zombie_until_its_process_ends() {
        let mut story = Story::new();
        let second = Client { name: "second".to_owned(), group: None, rank: 0 };
        Arc::make_mut(&mut story.names).producers.push(second);
        assigned(&mut story, 0, 7, 0);
        assigned(&mut story, 0, 7, 1);
        assert!(story.view().zombies(7).is_empty(), "its own epoch rises with each transaction");
        assigned(&mut story, 1, 8, 0);
        assert!(story.view().zombies(7).is_empty(), "another producer id is nobody's rival");
        assigned(&mut story, 1, 7, 3);
        let zombies = story.view().zombies(7);
        assert_eq!(zombies.len(), 1);
        assert_eq!((zombies[0].producer, zombies[0].epoch), (0, ProducerEpoch(1)));
        assert_eq!(zombies[0].fenced, None, "it does not know");

        let call = TransactionCall::CommitTransaction;
        let exception = Some(Exception::Wire(ErrorCode::ProducerFenced));
        story.push(NodeId::Producer(0), EventKind::TransactionCalled { call, exception });
        let told = story.view().zombies(7)[0].fenced.map(|fenced| fenced.error);
        assert_eq!(told, Some(ErrorCode::ProducerFenced));

        let kind = FaultKind::Kill;
        story.push(NodeId::Producer(0), EventKind::Fault { kind });
        assert!(story.view().zombies(7).is_empty());
    }
}
