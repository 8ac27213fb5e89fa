//! Judging a run from its events alone.
//!
//! Two kinds of guarantee, never mixed: a *delivery guarantee* holds or not by configuration and luck, and the
//! scenario says which it expects; an *invariant* holds in every run of a correct simulator under the fault classes
//! its line in the table names, so a broken one is our bug. A verdict is `Holds`, `Broken` with witnesses, or
//! `Vacuous`: nothing exercised it, which proves nothing.
//!
//! Checkers compare an event with the view before it and never look into a machine, so they judge a history that
//! real Kafka left as well. A checker that is not asked for costs nothing.

mod aborted_read;
mod ack_was_stored;
mod acked_survives;
mod agreement;
mod commit_past_unprocessed;
mod commit_within_handed;
mod committed_kept;
mod duplicate_append;
mod duplicate_process;
mod exactly_once;
mod high_watermark_moves;
mod isr_holds_committed;
mod leader_complete;
mod leader_epochs;
mod log_matching;
mod lost_write;
mod metadata_committed;
mod one_owner;
mod precommitted_read;
mod quorum_leaders;
mod read_below_high_watermark;
mod registration;
mod reordered_send;
mod reread;
mod sequence_gapless;
mod share_records;
mod skip;
mod strong_isr;
mod stuck_lso;
mod torn_transaction;
mod unseen;
pub mod verdict;
mod weak_isr;
pub mod why;

use std::sync::Arc;

use crate::base::batch::{BatchKind, BatchTable};
use crate::base::config::Acks;
use crate::base::ids::{EventSeq, GroupId, NodeId, Offset, PartitionId};
use crate::base::names::Names;
use crate::event::{Event, EventKind, FaultKind};
use crate::view::cluster::ClusterView;
use crate::view::fate::{Fate, Tally, fates, tally};
use crate::view::report::VerdictRow;
use verdict::Verdict;

/// Whether a broken guarantee is the configuration's doing or ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Holds or not by configuration; the scenario says what it expects.
    Delivery,
    /// Must hold; broken, the simulator is wrong.
    Invariant,
}

/// What a run may contain beyond crashes of processes and faults of the network, under which every guarantee is
/// judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultClass {
    /// A power loss: what was not flushed is gone.
    PowerLoss,
    /// A disk was lost or a log's tail cut off.
    DiskLoss,
    /// A replica outside ISR and ELR was elected because the topic allows it.
    UncleanElection,
    /// Offsets are committed by hand, to any value.
    ManualCommits,
    /// The brokers truncate by a rule from before 4.4.
    OldProtocol,
}

const EVERYTHING: &[FaultClass] = &[
    FaultClass::PowerLoss,
    FaultClass::DiskLoss,
    FaultClass::UncleanElection,
    FaultClass::ManualCommits,
    FaultClass::OldProtocol,
];
const TRUNCATION_BY_EPOCH: &[FaultClass] = &[
    FaultClass::PowerLoss,
    FaultClass::DiskLoss,
    FaultClass::UncleanElection,
    FaultClass::ManualCommits,
];
const SOUND_DISKS: &[FaultClass] = &[FaultClass::UncleanElection, FaultClass::ManualCommits];
const SOUND_DISKS_CLEAN_ELECTIONS: &[FaultClass] = &[FaultClass::ManualCommits];
const OWN_COMMITS: &[FaultClass] = &[
    FaultClass::PowerLoss,
    FaultClass::DiskLoss,
    FaultClass::UncleanElection,
    FaultClass::OldProtocol,
];

/// What a checker cannot see in the events: settings that decide whether a precondition holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct JudgeSetup {
    /// `acks` of each producer, by number.
    pub acks: Vec<Acks>,
    /// `unclean.leader.election.enable` of each topic, by id. Topics beyond the list have it off.
    pub unclean_election: Vec<bool>,
    /// An administrator elects uncleanly, or switches unclean elections on, in the course of the run.
    pub unclean_by_hand: bool,
    /// Consumers whose application (or an administrator) commits offsets of its own choice, not the position.
    pub manual_commits: bool,
    /// The brokers truncate by a rule from before 4.4.
    pub old_protocol: bool,
    /// The delivery count limit of each share group, by group. Groups beyond the list have Kafka's default, 5.
    pub delivery_limits: Vec<u16>,
    /// Consumers with `isolation.level=read_committed`, by number. Those beyond the list read uncommitted.
    pub read_committed: Vec<bool>,
}

impl JudgeSetup {
    fn delivery_limit(&self, group: GroupId) -> u16 {
        self.delivery_limits.get(group.index()).copied().unwrap_or(5)
    }

    /// True when producer `n` waits for the high watermark.
    fn waits_for_all(&self, n: u16) -> bool {
        self.acks.get(usize::from(n)) == Some(&Acks::All)
    }
}

/// The fault classes a run has shown so far.
#[derive(Clone, Copy, Default, Debug)]
struct Weather {
    seen: u8,
}

impl Weather {
    fn add(&mut self, class: FaultClass) {
        self.seen |= 1 << class as u8;
    }

    fn allows(self, under: &[FaultClass]) -> bool {
        under.iter().fold(self.seen, |seen, class| seen & !(1 << *class as u8)) == 0
    }

    fn observe(&mut self, event: &Event, before: &ClusterView, setup: &JudgeSetup) {
        match event.kind {
            EventKind::Fault { kind: FaultKind::PowerLoss } => self.add(FaultClass::PowerLoss),
            EventKind::Fault {
                kind: FaultKind::WipeDisk | FaultKind::CutLog | FaultKind::DeleteLog,
            } => {
                self.add(FaultClass::DiskLoss);
            }
            EventKind::PartitionChanged { partition, leader: Some(leader), .. } => {
                let p = before.partition(partition);
                let topic = before.names.partitions[partition.index()].topic;
                let allowed = setup.unclean_by_hand
                    || setup.unclean_election.get(topic.index()) == Some(&true);
                if allowed && !p.isr.union(p.elr).contains(leader) {
                    self.add(FaultClass::UncleanElection);
                }
            }
            _ => {}
        }
    }
}

/// One event, and everything before it.
struct Moment<'a> {
    seq: EventSeq,
    event: &'a Event,
    before: &'a ClusterView,
    batches: &'a BatchTable,
    setup: &'a JudgeSetup,
    /// Nothing is excused: the judge disregards preconditions.
    strict: bool,
}

/// A record of a transaction that a `read_committed` consumer is handed.
#[derive(Clone, Copy, Debug)]
struct CommittedRead {
    partition: PartitionId,
    base_offset: Offset,
}

impl Moment<'_> {
    /// True at a consumer with `isolation.level=read_committed`.
    fn reads_committed(&self) -> bool {
        let NodeId::Consumer(n) = self.event.node else { return false };
        self.setup.read_committed.get(usize::from(n)) == Some(&true)
    }

    /// What `poll()` returns here to a reader that wants committed records only, if it is of a transaction.
    fn committed_read(&self) -> Option<CommittedRead> {
        let EventKind::Polled { partition, batch, base_offset, .. } = self.event.kind else {
            return None;
        };
        let transactional = self.batches[batch].kind == BatchKind::Transactional;
        (self.reads_committed() && transactional)
            .then_some(CommittedRead { partition, base_offset })
    }
}

/// Everything at the end (or at a cursor).
struct End<'a> {
    view: &'a ClusterView,
    fates: &'a [Fate],
    /// `None` where only invariants are asked for.
    batches: Option<&'a BatchTable>,
}

/// One guarantee's state. Static dispatch: [`Checker`] is an enum over all of them.
trait Check {
    /// Sees every event but those of the wire, before the view does.
    fn observe(&mut self, _moment: &Moment<'_>) {}
    /// The verdict so far.
    fn verdict(&self, end: &End<'_>) -> Verdict;
}

macro_rules! guarantees {
    ($($(#[$doc:meta])* $name:ident($module:ident, $text:literal, $kind:ident, $under:ident);)*) => {
        /// Everything that is judged.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Guarantee {
            $($(#[$doc])* $name,)*
        }

        /// The table of guarantees, delivery first.
        pub const GUARANTEES: &[Guarantee] = &[$(Guarantee::$name,)*];

        impl Guarantee {
            /// Its name in reports, expectations and screens: `lost-write`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Delivery guarantee or invariant.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }

            /// The fault classes, beyond process crashes and network faults, under which it is judged.
            pub const fn holds_under(self) -> &'static [FaultClass] {
                match self { $(Self::$name => $under,)* }
            }

            fn checker(self) -> Checker {
                match self { $(Self::$name => Checker::$name($module::$name::default()),)* }
            }
        }

        #[derive(Clone, Debug)]
        enum Checker {
            $($name($module::$name),)*
        }

        impl Checker {
            fn observe(&mut self, moment: &Moment<'_>) {
                match self { $(Self::$name(check) => check.observe(moment),)* }
            }

            fn verdict(&self, end: &End<'_>) -> Verdict {
                match self { $(Self::$name(check) => check.verdict(end),)* }
            }
        }
    };
}

guarantees! {
    /// What was acknowledged is in the leader's log.
    LostWrite(lost_write, "lost-write", Delivery, EVERYTHING);
    /// A message is stored once.
    DuplicateAppend(duplicate_append, "duplicate-append", Delivery, EVERYTHING);
    /// A group processes a message once.
    DuplicateProcess(duplicate_process, "duplicate-process", Delivery, EVERYTHING);
    /// The messages of a producer stand in a partition in the order they were sent.
    ReorderedSend(reordered_send, "reordered-send", Delivery, EVERYTHING);
    /// A committed offset covers only what the group processed or still holds.
    CommitPastUnprocessed(commit_past_unprocessed, "commit-past-unprocessed", Delivery, EVERYTHING);
    /// A consumer's reading never goes back without a rebalance, a restart or a seek.
    Reread(reread, "reread", Delivery, EVERYTHING);
    /// A consumer's reading never leaps over records without a rebalance, a restart or a seek.
    Skip(skip, "skip", Delivery, EVERYTHING);
    /// What a group should have read was handed to it.
    Unseen(unseen, "unseen", Delivery, EVERYTHING);
    /// What an application passes on is there once for `read_committed` readers.
    ExactlyOnce(exactly_once, "exactly-once", Delivery, EVERYTHING);
    /// `read_committed` readers find all of a committed transaction and nothing of an aborted one.
    TornTransaction(torn_transaction, "torn-transaction", Delivery, EVERYTHING);
    /// No last stable offset is held by a transaction that nobody will end.
    StuckLso(stuck_lso, "stuck-lso", Delivery, EVERYTHING);

    /// A replica's HW is at most its LEO, and grows within a leader epoch.
    HighWatermarkMoves(high_watermark_moves, "high-watermark-moves", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// Every member of the ISR has everything below the leader's HW.
    IsrHoldsCommitted(isr_holds_committed, "isr-holds-committed", Invariant, SOUND_DISKS);
    /// A leader's own ISR agrees with it below its HW.
    WeakIsr(weak_isr, "weak-isr", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// The registered ISR agrees with whoever acts as leader below that one's HW.
    StrongIsr(strong_isr, "strong-isr", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// ISR and ELR are replicas, a leader is in its ISR.
    Registration(registration, "registration", Invariant, EVERYTHING);
    /// Leader epochs grow, and each has one leader.
    LeaderEpochs(leader_epochs, "leader-epochs", Invariant, EVERYTHING);
    /// Two logs with the same offset and epoch agree up to there.
    LogMatching(log_matching, "log-matching", Invariant, TRUNCATION_BY_EPOCH);
    /// A leader elected cleanly has everything that was below any HW.
    LeaderComplete(leader_complete, "leader-complete", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// What acks=all acknowledged is below an HW and stays in the leader's log.
    AckedSurvives(acked_survives, "acked-survives", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// An acknowledgement with acks=1 or all follows an append of the batch.
    AckWasStored(ack_was_stored, "ack-was-stored", Invariant, EVERYTHING);
    /// Sequences of a producer id and epoch follow each other without gap or repeat.
    SequenceGapless(sequence_gapless, "sequence-gapless", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// A consumer reads only what is below an HW.
    ReadBelowHighWatermark(read_below_high_watermark, "read-below-high-watermark", Invariant, EVERYTHING);
    /// A `read_committed` consumer is handed nothing that was aborted.
    AbortedRead(aborted_read, "aborted-read", Invariant, EVERYTHING);
    /// A `read_committed` consumer is handed nothing of a transaction before its end.
    PrecommittedRead(precommitted_read, "precommitted-read", Invariant, EVERYTHING);
    /// A generation has one owner a partition, and the owner is a member.
    OneOwner(one_owner, "one-owner", Invariant, EVERYTHING);
    /// A client's own commits (auto-commit, no-argument) stay within what `poll()` had handed out.
    CommitWithinHanded(commit_within_handed, "commit-within-handed", Invariant, OWN_COMMITS);
    /// A member that asks for the committed offset gets the last one stored.
    CommittedKept(committed_kept, "committed-kept", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// An epoch of the metadata quorum has one leader.
    QuorumLeaders(quorum_leaders, "quorum-leaders", Invariant, EVERYTHING);
    /// What the metadata quorum has committed never changes.
    MetadataCommitted(metadata_committed, "metadata-committed", Invariant, EVERYTHING);
    /// A record of a share group is with one member at a time.
    OneLock(share_records, "one-lock", Invariant, EVERYTHING);
    /// A record that a share group is done with is not handed out again.
    DoneStaysDone(share_records, "done-stays-done", Invariant, SOUND_DISKS_CLEAN_ELECTIONS);
    /// An acceptance that a share consumer was told of was stored.
    AcceptedStored(share_records, "accepted-stored", Invariant, EVERYTHING);
    /// A share group delivers no record more often than its limit.
    DeliveryLimit(share_records, "delivery-limit", Invariant, EVERYTHING);
}

impl Guarantee {
    /// The guarantee called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        GUARANTEES.iter().copied().find(|guarantee| guarantee.name() == name)
    }
}

/// Judges one run, event by event.
#[derive(Clone, Debug)]
pub struct Judge {
    view: ClusterView,
    setup: JudgeSetup,
    weather: Weather,
    checkers: Vec<(Guarantee, Checker)>,
    regardless: bool,
}

impl Judge {
    /// A judge of every guarantee.
    pub fn new(names: Arc<Names>, setup: JudgeSetup) -> Self {
        Self::of(names, setup, GUARANTEES)
    }

    /// A judge of these guarantees only.
    pub fn of(names: Arc<Names>, setup: JudgeSetup, guarantees: &[Guarantee]) -> Self {
        let mut weather = Weather::default();
        if setup.manual_commits {
            weather.add(FaultClass::ManualCommits);
        }
        if setup.old_protocol {
            weather.add(FaultClass::OldProtocol);
        }
        let checkers = guarantees.iter().map(|g| (*g, g.checker())).collect();
        Self { view: ClusterView::new(names), setup, weather, checkers, regardless: false }
    }

    /// Judges invariants under fault classes too under which they need not hold, to see what breaks then.
    #[must_use]
    pub fn regardless_of_preconditions(mut self) -> Self {
        self.regardless = true;
        self
    }

    /// Sees one event. Events come in order, each once.
    pub fn observe(&mut self, seq: EventSeq, event: &Event, batches: &BatchTable) {
        if event.kind.is_wire() {
            return;
        }
        self.weather.observe(event, &self.view, &self.setup);
        let moment = Moment {
            seq,
            event,
            before: &self.view,
            batches,
            setup: &self.setup,
            strict: self.regardless,
        };
        for (guarantee, checker) in &mut self.checkers {
            if self.regardless || self.weather.allows(guarantee.holds_under()) {
                checker.observe(&moment);
            }
        }
        self.view.apply(seq, event, batches);
    }

    /// The view so far; wire messages are not in it.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// The verdict on each guarantee so far, in the order of the table.
    pub fn verdicts(&self, batches: &BatchTable) -> Vec<(Guarantee, Verdict)> {
        let fates = self.fates(batches);
        let end = End { view: &self.view, fates: &fates, batches: Some(batches) };
        self.checkers
            .iter()
            .map(|(guarantee, checker)| (*guarantee, checker.verdict(&end)))
            .collect()
    }

    /// The verdicts as rows of a report.
    pub fn rows(&self, batches: &BatchTable) -> Vec<VerdictRow> {
        let row = |(guarantee, verdict): (Guarantee, Verdict)| VerdictRow {
            guarantee: guarantee.name(),
            invariant: guarantee.kind() == Kind::Invariant,
            verdict: verdict.word(),
            text: verdict.violation().map(|v| v.text.clone()).unwrap_or_default(),
            witnesses: verdict.violation().map(|v| v.witnesses.clone()).unwrap_or_default(),
        };
        self.verdicts(batches).into_iter().map(row).collect()
    }

    /// The broken invariants so far: bugs of ours.
    pub fn broken_invariants(&self) -> Vec<(Guarantee, Verdict)> {
        let end = End { view: &self.view, fates: &[], batches: None };
        let invariants = self.checkers.iter().filter(|(g, _)| g.kind() == Kind::Invariant);
        let verdicts = invariants.map(|(guarantee, checker)| (*guarantee, checker.verdict(&end)));
        verdicts.filter(|(_, verdict)| matches!(verdict, Verdict::Broken(_))).collect()
    }

    /// The fate of every message so far.
    pub fn fates(&self, batches: &BatchTable) -> Vec<Fate> {
        fates(&self.view, batches)
    }

    /// What was told, lost, duplicated, reordered and skipped so far.
    pub fn counts(&self, batches: &BatchTable) -> Tally {
        tally(&self.view, &self.fates(batches))
    }
}

/// A growing table with a cell for each partition.
fn cell<T: Clone + Default>(table: &mut Vec<T>, partition: PartitionId) -> &mut T {
    if table.len() <= partition.index() {
        table.resize(partition.index() + 1, T::default());
    }
    &mut table[partition.index()]
}

#[cfg(test)]
mod table_isr;
#[cfg(test)]
mod table_quorum;
#[cfg(test)]
mod table_share;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod table_transactions;
#[cfg(test)]
mod tests;
