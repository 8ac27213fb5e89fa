//! The state caption under the group: the one fact that is true now and matters. First records at risk, then a
//! partition nobody leads, then the largest gap between read, processed and committed, else nothing.

use crate::base::batch::BatchTable;
use crate::base::ids::{GroupId, MessageId, PartitionId};
use crate::view::cluster::ClusterView;
use crate::view::words::{fold_ids, is_are, plural};

/// The caption of the moment, or the empty string.
pub fn caption(view: &ClusterView, batches: &BatchTable) -> String {
    let partitions = (0..view.partitions.len()).map(|n| PartitionId(n as u16));
    let mine = partitions.filter(|p| view.exists(*p) && !view.names.topic_of(*p).internal);
    let partitions: Vec<PartitionId> = mine.collect();
    let at_risk = partitions.iter().find_map(|p| at_risk(view, batches, *p));
    let leaderless = || partitions.iter().find_map(|p| leaderless(view, *p));
    let above = || partitions.iter().find_map(|p| above_high_watermark(view, batches, *p));
    at_risk.or_else(leaderless).or_else(above).or_else(|| gap(view)).unwrap_or_default()
}

/// Records of the leader that no other replica has.
fn at_risk(view: &ClusterView, batches: &BatchTable, id: PartitionId) -> Option<String> {
    let p = view.partition(id);
    let leader = p.leader_replica()?;
    let others = p.replicas.iter().filter(|r| r.broker != leader.broker).map(|r| r.end).max()?;
    let from = others.max(leader.high_watermark);
    let ids: Vec<MessageId> = leader.messages_from(from, batches).map(|(_, id)| id).collect();
    let are = is_are(ids.len());
    let (it, is) = if ids.len() == 1 { ("it", "it is") } else { ("them", "they are") };
    (!ids.is_empty()).then(|| {
        let ids = fold_ids(&view.names, &ids);
        format!("{ids} {are} on one disk only. No reader can see {it}: {is} above the HW.")
    })
}

fn leaderless(view: &ClusterView, id: PartitionId) -> Option<String> {
    let p = view.partition(id);
    let since = p.leaderless_since?;
    let (name, time) = (view.names.partition(id), view.now.since(since));
    Some(match p.leader {
        Some(leader) => format!("{name} is led by nobody for {time}: {leader} does not answer."),
        None => format!("{name} has no leader for {time}: nobody can write to it or read it."),
    })
}

fn above_high_watermark(
    view: &ClusterView,
    batches: &BatchTable,
    id: PartitionId,
) -> Option<String> {
    let leader = view.partition(id).leader_replica()?;
    let from = leader.high_watermark;
    let ids: Vec<MessageId> = leader.messages_from(from, batches).map(|(_, id)| id).collect();
    let are = is_are(ids.len());
    (!ids.is_empty()).then(|| {
        let ids = fold_ids(&view.names, &ids);
        format!("{ids} {are} above the HW, {from}: no reader can see what is there.")
    })
}

/// The largest gap of any group: committed and not processed (a crash would skip it), or processed and not committed
/// (a crash would repeat it).
fn gap(view: &ClusterView) -> Option<String> {
    let groups = (0..view.groups.len()).map(|n| GroupId(n as u16));
    let gaps = groups.flat_map(|group| {
        let (skipped, repeated) = gaps(view, group);
        [(skipped, true, group), (repeated, false, group)]
    });
    let (n, skips, group) =
        gaps.filter(|(n, ..)| *n > 0).max_by_key(|(n, skips, _)| (*n, *skips))?;
    let (records, are) = (plural(n as u64, "record"), is_are(n as usize));
    let name = view.names.group(group);
    let them = if n == 1 { "it" } else { "them" };
    Some(if skips {
        format!(
            "{records} {are} below {name}'s committed offset and not processed: a crash would skip {them}."
        )
    } else {
        format!(
            "{records} {are} processed and above {name}'s committed offset: a crash would repeat {them}."
        )
    })
}

/// Records in hand below the committed offset, and records processed above it, over the members of a group.
fn gaps(view: &ClusterView, group: GroupId) -> (i64, i64) {
    let (mut skipped, mut repeated) = (0, 0);
    let clients = view.names.consumers.iter().zip(&view.consumers);
    for consumer in clients.filter(|(client, _)| client.group == Some(group)).map(|(_, c)| c) {
        for p in &consumer.partitions {
            let Some(position) = p.position else { continue };
            let floor = view.readers[group.index()].floor(p.partition).unwrap_or_default();
            let committed = view.groups[group.index()].committed(p.partition);
            let committed = committed.map_or(floor, |c| c.offset);
            let slices = consumer.unprocessed.iter().filter(|s| s.partition == p.partition);
            let (mut below, mut above) = (0, 0);
            for slice in slices {
                let under =
                    (committed.min(slice.end()) - slice.start()).clamp(0, i64::from(slice.count));
                below += under;
                above += i64::from(slice.count) - under;
            }
            skipped += below;
            repeated += (position - committed - above).max(0);
        }
    }
    (skipped, repeated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FaultKind;
    use crate::view::story::Story;

    #[test]
    fn the_caption_says_what_matters_most() {
        let mut story = Story::new();
        let text = |story: &Story| caption(&story.view(), &story.batches);
        assert_eq!(text(&story), "");
        let safe = story.send(&[0, 1, 2]);
        story.replicate(&[1, 2, 3], safe, 0, 0);
        story.assign(0, 1, 0);
        story.poll(0, safe, 0);
        assert_eq!(
            text(&story),
            "",
            "read and neither processed nor committed: nothing is at stake"
        );
        story.process(0, safe, 0, (0, 2));
        let repeat = "2 records are processed and above billing's committed offset: a crash would repeat them.";
        assert_eq!(text(&story), repeat);
        story.commit(3);
        let skip = "1 record is below billing's committed offset and not processed: a crash would skip it.";
        assert_eq!(text(&story), skip);
        let alone = story.send(&[4, 5, 6]);
        story.append(1, alone, 3, 0);
        let risk = "m4-m6 are on one disk only. No reader can see them: they are above the HW.";
        assert_eq!(text(&story), risk);
        story.append(2, alone, 3, 0);
        let above = "m4-m6 are above the HW, 3: no reader can see what is there.";
        assert_eq!(text(&story), above);
        story.fault(1, FaultKind::Kill);
        assert!(text(&story).starts_with("orders-0 is led by nobody for"));
    }
}
