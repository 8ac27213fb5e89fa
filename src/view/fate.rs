//! What became of each message: told, stored, processed, and where the three disagree. A pure function of the view,
//! in the words of the delivery anomalies: lost (never stored, truncated, all replicas lost), duplicated,
//! reordered, skipped by a commit.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::batch::BatchTable;
use crate::base::ids::{EventSeq, MessageId, Offset, PartitionId};
use crate::view::cluster::message::{Removal, Told};
use crate::view::cluster::replica::CutReason;
use crate::view::cluster::{ClusterView, ProcessState};
use crate::view::stability::Stability;

/// How an acknowledged record came to be missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LossKind {
    /// No broker ever appended it.
    NeverStored,
    /// A leader was elected whose log ends before it; replicas that had it cut it or will.
    Truncated,
    /// The disks that had it lost it.
    AllReplicasLost,
}

impl LossKind {
    /// `never-stored`, `truncated`, `all-replicas-lost`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverStored => "never-stored",
            Self::Truncated => "truncated",
            Self::AllReplicasLost => "all-replicas-lost",
        }
    }
}

/// Where a message is, as readers can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// In the leader's log, below its high watermark: readable.
    Readable,
    /// In the leader's log, at or above its high watermark.
    AboveHighWatermark,
    /// In the leader's log, in a transaction that was aborted or is still open: not for `read_committed` readers.
    Unstable,
    /// Its offset is below the log start: removed as settings ask.
    Expired,
    /// Compaction removed it: a later record has its key.
    Compacted,
    /// In some replica's log, and the partition has no leader: nobody can say.
    NoLeader,
    /// Not in the leader's log.
    Absent,
}

/// One message at the end, or at a cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    /// Which message.
    pub message: MessageId,
    /// The partition it went to.
    pub partition: Option<PartitionId>,
    /// What its application was told last.
    pub told: Told,
    /// Told at any time that it is stored.
    pub acked: bool,
    /// Where it is.
    pub whereabouts: Whereabouts,
    /// Its offsets in the leader's log; two or more are duplicates. Copies in transactions that were aborted or are
    /// open are left out, but for the first when there is no other.
    pub offsets: Vec<Offset>,
    /// Acknowledged and gone, and how.
    pub lost: Option<LossKind>,
    /// A message that its producer sent later to the partition stands before it.
    pub overtaken_by: Option<MessageId>,
    /// How often each reader processed it: place in [`ClusterView::readers`] and count, zero left out.
    pub processed: Vec<(usize, u16)>,
    /// Groups whose committed offset passed it though none of their members processed it and none will.
    pub skipped_by: Vec<usize>,
    /// The event that decided a bad fate: the election that lost it, the commit that passed it, the append or the
    /// processing that made it two. [`EventSeq::NONE`] when all went well.
    pub decided: EventSeq,
    /// The events that tell the story, oldest first.
    pub witnesses: Vec<EventSeq>,
}

impl Fate {
    /// Stored more than once.
    pub fn is_stored_twice(&self) -> bool {
        self.offsets.len() > 1
    }

    /// The witnesses up to what decided: the last of them is the moment it went wrong.
    pub fn evidence(&self) -> impl Iterator<Item = EventSeq> + '_ {
        self.witnesses.iter().copied().filter(|seq| *seq <= self.decided)
    }

    /// Processed more than once by one reader.
    pub fn is_processed_twice(&self) -> bool {
        self.processed.iter().any(|(_, count)| *count > 1)
    }
}

/// Ids of messages by what went wrong with them, ascending, and the totals of what was told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Sent, each message once.
    pub sent: u32,
    /// Acknowledged at least once, `acks=0` included.
    pub acked: u32,
    /// Failed at least once: id and exception.
    pub failed: Vec<(MessageId, crate::base::error::Exception)>,
    /// Neither.
    pub unknown: Vec<MessageId>,
    /// Acknowledged and gone.
    pub lost: Vec<MessageId>,
    /// In the leader's log more than once.
    pub duplicated: Vec<MessageId>,
    /// Processed more than once by one group.
    pub repeated: Vec<MessageId>,
    /// Behind a message that was sent later.
    pub reordered: Vec<MessageId>,
    /// Passed by a group's committed offset, and no member processed it or will.
    pub skipped: Vec<MessageId>,
    /// Readable, and no member of some group that reads its partition has processed it: skipped, or not yet read.
    pub unprocessed: Vec<MessageId>,
}

impl Tally {
    /// Duplicated or repeated, ascending: what somebody met twice.
    pub fn twice(&self) -> Vec<MessageId> {
        let both = self.duplicated.iter().chain(&self.repeated);
        both.copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// What the numbers of the verdict strip and of `run --format json` are counted from.
pub fn tally(view: &ClusterView, fates: &[Fate]) -> Tally {
    let mut tally = Tally { sent: view.counts.sent, acked: view.counts.acked, ..Tally::default() };
    for fate in fates {
        let id = fate.message;
        match view.message(id).failed {
            Some((_, exception)) => tally.failed.push((id, exception)),
            None if !fate.acked => tally.unknown.push(id),
            None => {}
        }
        let note = |list: &mut Vec<MessageId>, is: bool| list.extend(is.then_some(id));
        note(&mut tally.lost, fate.lost.is_some());
        note(&mut tally.duplicated, fate.is_stored_twice());
        note(&mut tally.repeated, fate.is_processed_twice());
        note(&mut tally.reordered, fate.overtaken_by.is_some());
        note(&mut tally.skipped, !fate.skipped_by.is_empty());
        note(&mut tally.unprocessed, is_unprocessed(view, fate));
    }
    tally
}

/// Messages that a follower has below its high watermark at an offset where the leader has another one, ascending.
pub fn diverged(view: &ClusterView, batches: &BatchTable) -> Vec<MessageId> {
    let mut found = BTreeSet::new();
    for partition in &view.partitions {
        let Some(leader) = partition.leader_replica() else { continue };
        let theirs: BTreeMap<Offset, MessageId> = leader.messages(batches).collect();
        let followers = partition.replicas.iter().filter(|r| r.broker != leader.broker);
        for follower in followers {
            let below = follower.high_watermark.min(leader.high_watermark);
            let mine = follower.messages(batches).filter(|(at, _)| *at < below);
            found.extend(mine.filter(|(at, id)| theirs.get(at) != Some(id)).map(|(_, id)| id));
        }
    }
    found.into_iter().collect()
}

/// Readable, at or above the lowest position of a group that never processed it.
fn is_unprocessed(view: &ClusterView, fate: &Fate) -> bool {
    let Some((partition, offset)) = fate.partition.zip(fate.offsets.first()) else { return false };
    let readers = view.readers.iter().take(view.groups.len());
    fate.whereabouts == Whereabouts::Readable
        && readers
            .filter(|reader| reader.floor(partition).is_some_and(|floor| *offset >= floor))
            .any(|reader| reader.message(fate.message).count == 0)
}

/// The fate of every message that was sent, in order of ids.
pub fn fates(view: &ClusterView, batches: &BatchTable) -> Vec<Fate> {
    let places = Places::read(view, batches);
    let overtaken = overtaken(view, &places);
    let sent = view.messages.iter().enumerate().filter(|(_, m)| m.is_sent());
    sent.map(|(n, _)| fate(view, MessageId(n as u32), &places, &overtaken)).collect()
}

/// Where messages are, read off the logs once.
struct Places {
    /// Offsets in the leader's log, by message.
    in_leader: BTreeMap<MessageId, Vec<(PartitionId, Offset)>>,
    /// Messages of which every copy in the leader's log is in a transaction that was aborted or is open.
    unstable: BTreeSet<MessageId>,
    /// Messages in any replica of a partition without a leader.
    leaderless: BTreeSet<MessageId>,
    /// Messages that are in some replica's log.
    anywhere: BTreeSet<MessageId>,
    /// Messages that a living consumer still has in its hands, by reader.
    in_hand: Vec<BTreeSet<MessageId>>,
}

impl Places {
    fn read(view: &ClusterView, batches: &BatchTable) -> Self {
        let mut places = Self {
            in_leader: BTreeMap::new(),
            unstable: BTreeSet::new(),
            leaderless: BTreeSet::new(),
            anywhere: BTreeSet::new(),
            in_hand: vec![BTreeSet::new(); view.readers.len()],
        };
        for (n, partition) in view.partitions.iter().enumerate() {
            if let Some(leader) = partition.leader_replica() {
                let stability = Stability::of(leader, batches);
                for (offset, id) in leader.messages(batches) {
                    let at = (PartitionId(n as u16), offset);
                    places.note(id, at, stability.is_stable(offset));
                }
            }
            for (_, id) in partition.replicas.iter().flat_map(|r| r.messages(batches)) {
                places.anywhere.insert(id);
                if partition.leader.is_none() {
                    places.leaderless.insert(id);
                }
            }
        }
        for (n, consumer) in view.consumers.iter().enumerate() {
            if view.ended || consumer.process == ProcessState::Down {
                continue;
            }
            let hand = &mut places.in_hand[view.reader_of(n as u16)];
            for slice in &consumer.unprocessed {
                let (first, count) = (slice.first, slice.count);
                hand.extend(crate::view::words::slice_messages(batches, slice.batch, first, count));
            }
        }
        places
    }

    /// A copy in a leader's log. One that `read_committed` readers see takes the place of any they do not.
    fn note(&mut self, id: MessageId, at: (PartitionId, Offset), stable: bool) {
        let copies = self.in_leader.entry(id).or_default();
        let hidden = self.unstable.contains(&id);
        if stable && hidden {
            copies.clear();
            self.unstable.remove(&id);
        }
        if stable || copies.is_empty() {
            copies.push(at);
        }
        if !stable && copies.as_slice() == [at] {
            self.unstable.insert(id);
        }
    }

    fn offsets(&self, id: MessageId) -> &[(PartitionId, Offset)] {
        self.in_leader.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// The messages of one producer in one partition: when sent, where stored, which.
type Line = Vec<(EventSeq, Offset, MessageId)>;

/// Messages that stand behind one their producer sent later to the same partition, with that one. First copies
/// count; what an application sent again by itself has no place of its own.
fn overtaken(view: &ClusterView, places: &Places) -> BTreeMap<MessageId, MessageId> {
    let mut lines: BTreeMap<(u16, PartitionId), Line> = BTreeMap::new();
    for (id, offsets) in &places.in_leader {
        let m = view.message(*id);
        let (Some(producer), Some((partition, offset))) = (m.producer, offsets.iter().min()) else {
            continue;
        };
        if m.sends == 1 {
            lines.entry((producer, *partition)).or_default().push((m.sent, *offset, *id));
        }
    }
    let mut found = BTreeMap::new();
    for line in lines.values_mut() {
        line.sort_unstable();
        let mut first_later: Option<(Offset, MessageId)> = None;
        for (_, offset, id) in line.iter().rev() {
            match first_later {
                Some((later, by)) if later < *offset => {
                    found.insert(*id, by);
                }
                _ => first_later = Some((*offset, *id)),
            }
        }
    }
    found
}

fn fate(
    view: &ClusterView,
    id: MessageId,
    places: &Places,
    overtaken: &BTreeMap<MessageId, MessageId>,
) -> Fate {
    let m = view.message(id);
    let offsets = places.offsets(id);
    let whereabouts = whereabouts(view, id, places);
    let gone = m.was_acked() && whereabouts == Whereabouts::Absent;
    let lost = gone.then(|| match (m.stored, m.cut) {
        (EventSeq::NONE, _) => LossKind::NeverStored,
        (_, Some((_, CutReason::PowerLoss | CutReason::DiskLost)))
            if !places.anywhere.contains(&id) =>
        {
            LossKind::AllReplicasLost
        }
        _ => LossKind::Truncated,
    });
    let processed: Vec<(usize, u16)> = (0..view.readers.len())
        .map(|reader| (reader, view.readers[reader].message(id).count))
        .filter(|(_, count)| *count > 0)
        .collect();
    let skipped_by: Vec<usize> =
        (0..view.groups.len()).filter(|group| is_skipped(view, id, *group, places)).collect();
    let mut fate = Fate {
        message: id,
        partition: m.partition,
        told: m.told,
        acked: m.was_acked(),
        whereabouts,
        offsets: offsets.iter().map(|(_, offset)| *offset).collect(),
        lost,
        overtaken_by: overtaken.get(&id).copied(),
        processed,
        skipped_by,
        decided: EventSeq::NONE,
        witnesses: Vec::new(),
    };
    fate.decided = decided(view, &fate);
    fate.witnesses = witnesses(view, &fate);
    fate
}

fn whereabouts(view: &ClusterView, id: MessageId, places: &Places) -> Whereabouts {
    let m = view.message(id);
    if let Some((partition, offset)) = places.offsets(id).iter().min() {
        let leader = view.partition(*partition).leader_replica();
        let below = leader.is_some_and(|leader| *offset < leader.high_watermark);
        return match below {
            false => Whereabouts::AboveHighWatermark,
            true if places.unstable.contains(&id) => Whereabouts::Unstable,
            true => Whereabouts::Readable,
        };
    }
    if places.leaderless.contains(&id) {
        return Whereabouts::NoLeader;
    }
    match m.removed {
        Some((_, Removal::Expired)) => return Whereabouts::Expired,
        Some((_, Removal::Compacted)) => return Whereabouts::Compacted,
        None => {}
    }
    if let (Told::Acknowledged(offset), Some(partition)) = (m.told, m.partition) {
        let start = view.partition(partition).leader_replica().map(|leader| leader.log_start);
        if offset != Offset::NONE && start.is_some_and(|start| offset < start) {
            return Whereabouts::Expired;
        }
    }
    Whereabouts::Absent
}

fn is_skipped(view: &ClusterView, id: MessageId, group: usize, places: &Places) -> bool {
    let reader = &view.readers[group];
    reader.message(id).count == 0
        && !places.in_hand[group].contains(&id)
        // What was aborted is owed to nobody.
        && !places.unstable.contains(&id)
        && places.offsets(id).iter().any(|(partition, offset)| {
            let committed = view.groups[group].committed(*partition);
            let floor = reader.floor(*partition);
            committed.is_some_and(|c| *offset < c.offset) && floor.is_some_and(|f| *offset >= f)
        })
}

/// What decided a bad fate.
fn decided(view: &ClusterView, fate: &Fate) -> EventSeq {
    let m = view.message(fate.message);
    if let Some(kind) = fate.lost {
        let election = fate.partition.and_then(|p| losing_election(view, p, fate.message));
        let cut = m.cut.map(|(seq, _)| seq);
        let first =
            if kind == LossKind::AllReplicasLost { cut.or(election) } else { election.or(cut) };
        return first.unwrap_or(m.acked);
    }
    if fate.is_stored_twice() {
        return m.appended;
    }
    let passing = fate.skipped_by.iter().filter_map(|group| {
        let (partition, offset) = fate.partition.zip(fate.offsets.first())?;
        view.groups[*group].first_beyond(partition, *offset)
    });
    let repeats = fate.processed.iter().filter(|(_, count)| *count > 1);
    let repeats = repeats.map(|(reader, _)| view.readers[*reader].message(fate.message).last);
    let behind = fate.overtaken_by.map(|_| m.appended);
    passing.chain(repeats).chain(behind).next().unwrap_or(EventSeq::NONE)
}

/// The first leader made after a leader appended the message whose own log ended before it.
fn losing_election(view: &ClusterView, partition: PartitionId, id: MessageId) -> Option<EventSeq> {
    let m = view.message(id);
    let later = view.partition(partition).elections.iter().filter(|e| e.seq > m.appended);
    let mut without = later.filter(|e| e.end <= m.appended_at && m.appended_at != Offset::NONE);
    without.next().map(|election| election.seq)
}

/// The events a reader of the fate wants to see: sent, told, stored, elected without it, cut, processed, passed by a
/// commit.
fn witnesses(view: &ClusterView, fate: &Fate) -> Vec<EventSeq> {
    let m = view.message(fate.message);
    let mut all = vec![m.sent, m.stored, m.retried, m.acked, fate.decided];
    all.extend(m.failed.map(|(seq, _)| seq));
    if fate.lost.is_some() {
        all.extend(m.cut.map(|(seq, _)| seq));
    }
    for (reader, _) in &fate.processed {
        let done = view.readers[*reader].message(fate.message);
        all.extend([done.first, done.last]);
    }
    all.retain(|seq| *seq != EventSeq::NONE);
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, FaultKind};
    use crate::view::story::Story;

    fn told(story: &Story) -> Tally {
        let view = story.view();
        tally(&view, &fates(&view, &story.batches))
    }

    fn ids(list: &[MessageId]) -> Vec<u32> {
        list.iter().map(|id| id.0).collect()
    }

    /// Recording `1-acks1-retry` in short: what only the dead leader had is lost, and still is when it comes back.
    #[test]
    fn acknowledged_by_the_leader_alone_and_elected_without_it() {
        let mut story = Story::new();
        let safe = story.send(&[0]);
        story.replicate(&[1, 2, 3], safe, 0, 0);
        story.acked(safe, 0);
        let alone = story.send(&[1, 2]);
        story.append(1, alone, 1, 0);
        story.acked(alone, 1);
        story.fault(1, FaultKind::Kill);
        assert_eq!(told(&story).lost, [], "b1 still is the leader");
        story.registers(None, 1, crate::base::broker_set::BrokerSet::EMPTY);
        assert_eq!(told(&story).lost, [], "nobody can say without a leader");
        story.leads(2, 2, &[2, 3]);
        assert_eq!(ids(&told(&story).lost), [1, 2]);
        story.fault(1, FaultKind::Start);
        story.truncate(1, 1, 0);
        let view = story.view();
        let all = fates(&view, &story.batches);
        assert_eq!(ids(&tally(&view, &all).lost), [1, 2]);
        assert_eq!(all[1].lost, Some(LossKind::Truncated));
        assert_eq!(all[0].whereabouts, Whereabouts::Readable);
    }

    /// Recordings `4-disconnect-request-lost-mif5-noidem` and `4-disconnect-ack-lost-mif5-noidem`.
    #[test]
    fn first_copies_decide_the_order() {
        for (log, reordered, twice) in [
            (vec![0, 3, 2, 1, 4], vec![1, 2], vec![]),
            (vec![0, 1, 2, 3, 3, 2, 1, 4], vec![], vec![1, 2, 3]),
        ] {
            let mut story = Story::new();
            let batches: Vec<_> = (0..5).map(|id| story.send(&[id])).collect();
            for (offset, id) in log.iter().enumerate() {
                story.append(1, batches[*id as usize], offset as i64, 0);
            }
            let tally = told(&story);
            assert_eq!(ids(&tally.reordered), reordered, "{log:?}");
            assert_eq!(ids(&tally.duplicated), twice, "{log:?}");
        }
    }

    #[test]
    fn a_commit_skips_what_nobody_processed_and_nobody_holds() {
        let mut story = Story::new();
        let batch = story.send(&[0, 1, 2]);
        story.replicate(&[1, 2, 3], batch, 0, 0);
        story.assign(0, 1, 1);
        story.poll(0, batch, 0);
        story.process(0, batch, 0, (1, 1));
        story.commit(3);
        assert_eq!(told(&story).skipped, [], "m2 is still in the hands of c1");
        story.consumer(0, EventKind::Fault { kind: FaultKind::Kill });
        // The group was handed m0 too; it counts from the lowest position it had.
        assert_eq!(ids(&told(&story).skipped), [0, 2]);
        assert_eq!(ids(&told(&story).unprocessed), [0, 2]);
        story.commit(1);
        assert_eq!(ids(&told(&story).skipped), [0], "m2 will be read again");
    }
}
