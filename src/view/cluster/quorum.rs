//! The controllers as a person with eyes everywhere sees them: who leads, whose metadata log goes how far, which
//! brokers have acted on it, and who was heard of when.

use crate::base::error::ErrorCode;
use crate::base::ids::{BrokerId, EventSeq, LeaderEpoch, NodeId, Offset};
use crate::base::time::Time;
use crate::event::{Api, Event, EventKind, FaultKind};
use crate::view::cluster::{ProcessState, WireMessage};

/// The epoch under which controller 1 leads a formed cluster; nothing says so.
const FORMED_EPOCH: LeaderEpoch = LeaderEpoch(1);

/// How many decisions are remembered.
const DECISIONS_KEPT: usize = 64;

/// One controller.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ControllerView {
    /// Its process.
    pub process: ProcessState,
    /// Its network is cut.
    pub cut_off: bool,
    /// Since when it is in this state.
    pub since: Time,
    /// The epoch it leads, as it thinks itself.
    pub leads: Option<LeaderEpoch>,
    /// Where its metadata log ends.
    pub end: Offset,
    /// Everything below is committed, as far as this controller knows or knew before it died.
    pub high_watermark: Offset,
    /// Which epoch starts where in its log, ascending.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// When the leader of the quorum last heard of it.
    pub heard: Option<Time>,
    /// When it last heard of a leader of the quorum, or when its process started.
    pub heard_leader: Option<Time>,
}

/// What the active controller decided, or that it is active. It acts when the records are committed, so several
/// decisions may share a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The event that tells what it is.
    pub seq: EventSeq,
    /// Its records are at this offset of the metadata log or above it,
    pub from: Offset,
    /// and below this one.
    pub to: Offset,
}

impl ControllerView {
    /// The epoch of the record below `offset` in its log.
    pub fn epoch_below(&self, offset: Offset) -> Option<LeaderEpoch> {
        let before = |(_, start): &&(LeaderEpoch, Offset)| *start < offset;
        self.epochs.iter().rev().find(before).filter(|_| offset <= self.end).map(|(e, _)| *e)
    }

    fn appended(&mut self, epoch: LeaderEpoch, end: Offset) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, self.end));
        }
        self.end = end;
    }

    fn truncated(&mut self, to: Offset) {
        self.end = to;
        self.epochs.retain(|(_, start)| *start < to);
    }
}

/// A broker as an observer of the quorum.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ObserverView {
    /// It acts on the metadata below.
    pub applied: Offset,
    /// When the active controller last had a heartbeat of it, or gave it a whole session.
    pub heard: Option<Time>,
}

/// The quorum at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumView {
    /// The highest epoch somebody was elected in.
    pub epoch: LeaderEpoch,
    /// By number; slot 0 is unused.
    pub controllers: Vec<ControllerView>,
    /// By [`BrokerId::index`]; slot 0 is unused.
    pub observers: Vec<ObserverView>,
    /// The latest decisions, oldest first.
    pub decisions: Vec<Decision>,
    /// What the active controller learned to be committed last: from, to.
    committing: (Offset, Offset),
}

impl QuorumView {
    /// The quorum of a formed cluster.
    pub fn new(controllers: u8, brokers: u8) -> Self {
        let mut all = vec![ControllerView::default(); usize::from(controllers) + 1];
        if let Some(first) = all.get_mut(1) {
            first.leads = Some(FORMED_EPOCH);
        }
        let observers = vec![ObserverView::default(); usize::from(brokers) + 1];
        let (decisions, committing) = (Vec::new(), Default::default());
        Self { epoch: FORMED_EPOCH, controllers: all, observers, decisions, committing }
    }

    /// Every controller with its number.
    pub fn each(&self) -> impl Iterator<Item = (u8, &ControllerView)> + '_ {
        self.controllers.iter().enumerate().skip(1).map(|(n, view)| (n as u8, view))
    }

    /// Who holds itself for the leader of an epoch; of several the one of the highest epoch.
    pub fn leader(&self) -> Option<u8> {
        let leading = self.each().filter(|(_, view)| view.leads.is_some());
        leading.max_by_key(|(_, view)| view.leads).map(|(n, _)| n)
    }

    /// The active controller: a leader whose own first record is committed, and whose process runs.
    pub fn active(&self) -> Option<u8> {
        let leader = self.leader()?;
        let view = &self.controllers[usize::from(leader)];
        let own = |(epoch, _): &&(LeaderEpoch, Offset)| Some(*epoch) == view.leads;
        let start = view.epochs.iter().rev().find(own).map(|(_, start)| *start)?;
        let runs = matches!(view.process, ProcessState::Up | ProcessState::Stopping);
        (runs && view.high_watermark > start).then_some(leader)
    }

    /// Everything below is committed, and some controller knows it.
    pub fn committed(&self) -> Offset {
        self.each().map(|(_, view)| view.high_watermark).max().unwrap_or_default()
    }

    /// How many controllers make a majority.
    pub fn majority(&self) -> usize {
        (self.controllers.len() - 1) / 2 + 1
    }

    /// How many controllers run and are not cut off.
    pub fn reachable(&self) -> usize {
        let reachable = |view: &ControllerView| view.process == ProcessState::Up && !view.cut_off;
        self.each().filter(|(_, view)| reachable(view)).count()
    }

    fn decided(&mut self, seq: EventSeq) {
        if self.decisions.len() == DECISIONS_KEPT {
            self.decisions.remove(0);
        }
        let (from, to) = self.committing;
        if from == to {
            return;
        }
        self.decisions.push(Decision { seq, from, to });
    }

    pub(super) fn apply(&mut self, seq: EventSeq, event: &Event) {
        if let (EventKind::MetadataApplied { offset, .. }, NodeId::Broker(b)) =
            (event.kind, event.node)
        {
            self.observers[b.index()].applied = offset;
        }
        let NodeId::Controller(n) = event.node else { return };
        let view = &mut self.controllers[usize::from(n)];
        match event.kind {
            EventKind::ControllerElected { epoch } => {
                view.leads = Some(epoch);
                self.epoch = self.epoch.max(epoch);
                self.controllers.iter_mut().for_each(|other| other.heard = None);
            }
            EventKind::ControllerResigned { .. } => view.leads = None,
            EventKind::MetadataAppended { epoch, end } => view.appended(epoch, end),
            EventKind::MetadataTruncated { to } => view.truncated(to),
            EventKind::MetadataCommitted { offset, .. } => {
                let (was_active, before) = (self.active() == Some(n), self.committed());
                self.controllers[usize::from(n)].high_watermark = offset;
                if offset > before {
                    self.committing = (before, offset);
                }
                if !was_active && self.active() == Some(n) {
                    self.decided(seq);
                    // A new active controller gives everyone a whole session.
                    let heard = Some(event.at);
                    self.observers.iter_mut().for_each(|broker| broker.heard = heard);
                }
            }
            EventKind::BrokerRegistered { .. }
            | EventKind::BrokerUnfenced { .. }
            | EventKind::BrokerFenced { .. }
            | EventKind::PartitionChanged { .. }
            | EventKind::ReplicasChanged { .. }
            | EventKind::TopicConfigured { .. } => self.decided(seq),
            _ => {}
        }
    }

    /// A message arrived: whoever asks the leader is heard of, and the leader by whom it answers.
    pub(super) fn arrived(&mut self, message: &WireMessage, at: Time) {
        let NodeId::Controller(to) = message.to else { return };
        if message.label.error == ErrorCode::None
            && matches!(
                (message.label.api, message.label.response),
                (Api::MetadataFetch, true) | (Api::BeginQuorumEpoch, false)
            )
        {
            self.controllers[usize::from(to)].heard_leader = Some(at);
        }
        if message.label.response || self.leader() != Some(to) {
            return;
        }
        match (message.label.api, message.from) {
            (Api::MetadataFetch, NodeId::Controller(n)) => {
                self.controllers[usize::from(n)].heard = Some(at);
            }
            (Api::BrokerHeartbeat, NodeId::Broker(b)) => {
                self.observers[b.index()].heard = Some(at);
            }
            _ => {}
        }
    }

    pub(super) fn fault(&mut self, n: u8, kind: FaultKind, at: Time) {
        let view = &mut self.controllers[usize::from(n)];
        view.process = view.process.after(kind);
        view.since = at;
        view.cut_off = match kind {
            FaultKind::CutOff => true,
            FaultKind::Reconnect => false,
            _ => view.cut_off,
        };
        match kind {
            FaultKind::Start => view.heard_leader = Some(at),
            _ if view.process == ProcessState::Down => view.leads = None,
            _ => {}
        }
    }

    /// How far a broker has acted on the metadata.
    pub fn applied(&self, broker: BrokerId) -> Offset {
        self.observers[broker.index()].applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::broker_set::BrokerSet;
    use crate::base::ids::PartitionId;

    fn tell(view: &mut QuorumView, at: u64, n: u8, kind: EventKind) {
        let (seq, at, node) = (EventSeq(at as u32), Time(at), NodeId::Controller(n));
        view.apply(seq, &Event { at, cause: EventSeq::NONE, node, kind });
    }

    #[test]
    fn a_leader_is_active_when_its_own_first_record_is_committed() {
        use EventKind::*;
        let mut view = QuorumView::new(3, 2);
        let (epoch, offset) = (LeaderEpoch(1), Offset(5));
        for n in 1..=3 {
            tell(&mut view, 0, n, MetadataAppended { epoch, end: offset });
            tell(&mut view, 0, n, MetadataCommitted { epoch, offset });
        }
        assert_eq!((view.active(), view.majority()), (Some(1), 2));
        tell(&mut view, 5, 1, MetadataAppended { epoch, end: Offset(7) });
        view.fault(1, FaultKind::Kill, Time(6));
        assert_eq!((view.leader(), view.active()), (None, None));

        let epoch = LeaderEpoch(2);
        tell(&mut view, 7, 2, ControllerElected { epoch });
        assert_eq!(view.active(), None, "it has no record of its epoch yet");
        tell(&mut view, 7, 2, MetadataAppended { epoch, end: Offset(6) });
        assert_eq!((view.leader(), view.active()), (Some(2), None), "not committed yet");
        tell(&mut view, 9, 2, MetadataCommitted { epoch, offset: Offset(6) });
        assert_eq!(view.active(), Some(2));
        assert_eq!(view.observers[1].heard, Some(Time(9)), "a whole session");

        tell(&mut view, 12, 1, MetadataTruncated { to: Offset(5) });
        tell(&mut view, 12, 1, MetadataAppended { epoch, end: Offset(6) });
        let old = &view.controllers[1];
        assert_eq!(old.epoch_below(Offset(5)), Some(LeaderEpoch(1)));
        assert_eq!(old.epoch_below(Offset(6)), Some(epoch));
        assert_eq!(old.epoch_below(Offset(7)), None);
    }
    #[test]
    fn a_decision_lies_in_the_records_that_were_just_committed() {
        use EventKind::*;
        let mut view = QuorumView::new(3, 2);
        let epoch = LeaderEpoch(1);
        tell(&mut view, 0, 1, MetadataAppended { epoch, end: Offset(7) });
        tell(&mut view, 0, 1, MetadataCommitted { epoch, offset: Offset(7) });
        tell(&mut view, 0, 2, MetadataCommitted { epoch, offset: Offset(7) });
        tell(&mut view, 3, 1, MetadataAppended { epoch, end: Offset(9) });
        tell(&mut view, 4, 1, MetadataCommitted { epoch, offset: Offset(9) });
        let changed = PartitionChanged {
            partition: PartitionId(0),
            leader: None,
            leader_epoch: LeaderEpoch(1),
            isr: BrokerSet::EMPTY,
            elr: BrokerSet::EMPTY,
        };
        tell(&mut view, 4, 1, changed);
        tell(&mut view, 5, 2, MetadataCommitted { epoch, offset: Offset(9) });
        let seq = EventSeq(4);
        let active = Decision { seq: EventSeq(0), from: Offset(0), to: Offset(7) };
        let decided = Decision { seq, from: Offset(7), to: Offset(9) };
        assert_eq!(view.decisions, [active, decided]);
    }
}
