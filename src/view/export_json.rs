//! `run --format json`: one object with every run, its keys and their order part of the promise (schema 1).
//!
//! `duplicated` names messages that somebody met twice, in the log or in the processing: the union of
//! `stored_twice` (in the leader's log more than once) and `repeated` (processed more than once by one group).
//! `unprocessed` names readable messages that a group reading their partition has
//! not processed; `skipped` those of them that its committed offset has passed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::base::broker_set::BrokerSet;
use crate::base::ids::{GroupId, MessageId, PartitionId};
use crate::view::cluster::ClusterView;
use crate::view::cluster::table::TableView;
use crate::view::report::RunReport;

/// The version of the shape below.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    scenario: &'a str,
    scenario_hash: &'a str,
    seed: u64,
    variant: &'a str,
    trace_hash: &'a str,
    exit: u8,
    verdicts: Vec<VerdictJson<'a>>,
    counts: Counts,
    lost: Vec<String>,
    duplicated: Vec<String>,
    stored_twice: Vec<String>,
    reordered: Vec<String>,
    repeated: Vec<String>,
    skipped: Vec<String>,
    unprocessed: Vec<String>,
    unknown: Vec<String>,
    failed: BTreeMap<String, &'static str>,
    observed: &'a BTreeMap<String, Value>,
    topics: BTreeMap<String, Vec<PartitionJson>>,
    groups: BTreeMap<String, GroupJson>,
    /// Tables that applications write to besides Kafka.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tables: BTreeMap<String, TableJson>,
}

#[derive(Serialize)]
struct TableJson {
    rows: u64,
    messages: usize,
}

#[derive(Serialize)]
struct VerdictJson<'a> {
    guarantee: &'static str,
    kind: &'static str,
    verdict: &'static str,
    text: &'a str,
    witnesses: Vec<u32>,
}

#[derive(Serialize)]
struct Counts {
    sent: u32,
    acked: u32,
    failed: usize,
    unknown: usize,
    lost: usize,
    duplicated: usize,
    reordered: usize,
    repeated: usize,
    skipped: usize,
    unprocessed: usize,
}

#[derive(Serialize)]
struct PartitionJson {
    partition: u32,
    leader: Option<u8>,
    leader_epoch: i32,
    isr: Vec<u8>,
    elr: Vec<u8>,
    log_start: Option<i64>,
    high_watermark: Option<i64>,
    log_end: Option<i64>,
    /// The leader's log: offset, id, leader epoch. Null while there is no leader.
    log: Option<Vec<(i64, String, i32)>>,
}

#[derive(Serialize)]
struct GroupJson {
    state: &'static str,
    members: BTreeMap<String, Vec<String>>,
    committed: BTreeMap<String, i64>,
    lag: Option<i64>,
}

/// The whole answer of `run --format json`, pretty-printed, with a line break at the end. `observed` goes with the run
/// at the same place: what the script noted, by name.
pub fn document(runs: &[(RunReport<'_>, BTreeMap<String, Value>)]) -> String {
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        runs: runs.iter().map(|(report, observed)| run(report, observed)).collect(),
    };
    let text = serde_json::to_string_pretty(&document);
    text.expect("string keys and plain values are always JSON") + "\n"
}

fn run<'a>(report: &'a RunReport<'_>, observed: &'a BTreeMap<String, Value>) -> Run<'a> {
    let (view, tally) = (report.view, report.tally());
    let names = &view.names;
    let ids =
        |list: &[MessageId]| -> Vec<String> { list.iter().map(|id| names.message(*id)).collect() };
    let twice = tally.twice();
    let counts = Counts {
        sent: tally.sent,
        acked: tally.acked,
        failed: tally.failed.len(),
        unknown: tally.unknown.len(),
        lost: tally.lost.len(),
        duplicated: twice.len(),
        reordered: tally.reordered.len(),
        repeated: tally.repeated.len(),
        skipped: tally.skipped.len(),
        unprocessed: tally.unprocessed.len(),
    };
    let verdicts = report.verdicts.iter().map(|row| VerdictJson {
        guarantee: row.guarantee,
        kind: if row.invariant { "invariant" } else { "delivery" },
        verdict: row.verdict,
        text: &row.text,
        witnesses: row.witnesses.iter().map(|seq| seq.0).collect(),
    });
    Run {
        scenario: report.scenario,
        scenario_hash: &report.scenario_hash,
        seed: report.seed,
        variant: report.variant,
        trace_hash: &report.trace_hash,
        exit: report.exit,
        verdicts: verdicts.collect(),
        counts,
        lost: ids(&tally.lost),
        duplicated: ids(&twice),
        stored_twice: ids(&tally.duplicated),
        reordered: ids(&tally.reordered),
        repeated: ids(&tally.repeated),
        skipped: ids(&tally.skipped),
        unprocessed: ids(&tally.unprocessed),
        unknown: ids(&tally.unknown),
        failed: tally.failed.iter().map(|(id, e)| (names.message(*id), e.name())).collect(),
        observed,
        topics: topics(report),
        groups: groups(view),
        tables: tables(view),
    }
}

fn tables(view: &ClusterView) -> BTreeMap<String, TableJson> {
    let count = |(name, table): (&String, &TableView)| {
        let (rows, messages) = table.count();
        (name.clone(), TableJson { rows, messages })
    };
    view.names.tables.iter().zip(&view.tables).map(count).collect()
}

fn topics(report: &RunReport<'_>) -> BTreeMap<String, Vec<PartitionJson>> {
    let declared = report.view.names.topics.iter().filter(|topic| !topic.internal);
    let rows = declared.map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .filter(|id| report.view.exists(**id))
            .map(|id| partition(report, *id))
            .collect();
        (topic.name.clone(), partitions)
    });
    rows.collect()
}

fn partition(report: &RunReport<'_>, id: PartitionId) -> PartitionJson {
    let (view, batches) = (report.view, report.batches);
    let (p, names) = (view.partition(id), &view.names);
    let leader = p.leader_replica();
    let brokers = |set: BrokerSet| set.iter().map(|b| b.0).collect();
    let log = leader.map(|leader| {
        let entries = leader.log.iter().flat_map(|entry| {
            let messages = batches.records(entry.batch).enumerate();
            messages.filter_map(|(n, record)| match record.body {
                crate::base::batch::RecordBody::Message(message) => {
                    let offset = entry.base_offset + n as i64;
                    Some((offset, names.message(message), entry.epoch.0))
                }
                _ => None,
            })
        });
        let kept = entries.filter(|(offset, ..)| *offset >= leader.log_start);
        kept.map(|(offset, id, epoch)| (offset.0, id, epoch)).collect()
    });
    PartitionJson {
        partition: names.partitions[id.index()].index,
        leader: p.leader.map(|b| b.0),
        leader_epoch: p.leader_epoch.0,
        isr: brokers(p.isr),
        elr: brokers(p.elr),
        log_start: leader.map(|leader| leader.log_start.0),
        high_watermark: leader.map(|leader| leader.high_watermark.0),
        log_end: leader.map(|leader| leader.end.0),
        log,
    }
}

fn groups(view: &ClusterView) -> BTreeMap<String, GroupJson> {
    let names = &view.names;
    let rows = view.groups.iter().enumerate().map(|(n, group)| {
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for member in &group.members {
            let node = names.consumer_of(member.member);
            let id = node.map_or_else(|| format!("{:?}", member.member), |node| names.node(node));
            let owned = member.partitions.iter().map(|p| names.partition(*p));
            members.entry(id).or_default().extend(owned);
        }
        let committed = group.committed.iter().map(|c| (names.partition(c.partition), c.offset.0));
        let json = GroupJson {
            state: group.state.name(),
            members,
            committed: committed.collect(),
            lag: view.lag(GroupId(n as u16)),
        };
        (names.groups[n].clone(), json)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::report::VerdictRow;
    use crate::view::story::Story;
    use serde_json::json;

    /// Six messages under acks=1; the leader dies with the last three, as in recording `1-acks1-retry`.
    fn ladder() -> Story {
        let mut story = Story::new();
        let safe = story.send(&[0, 1, 2]);
        story.replicate(&[1, 2, 3], safe, 0, 0);
        story.acked(safe, 0);
        story.assign(0, 1, 0);
        story.poll(0, safe, 0);
        story.process(0, safe, 0, (0, 2));
        story.commit(3);
        let alone = story.send(&[3, 4, 5]);
        story.append(1, alone, 3, 0);
        story.acked(alone, 3);
        let failed = story.send(&[6]);
        story.failed(failed);
        story.leads(2, 1, &[2, 3]);
        story
    }

    #[test]
    fn the_object_has_the_promised_shape() {
        let story = ladder();
        let view = story.view();
        let report = RunReport {
            scenario: "acks-ladder",
            scenario_hash: "00ff".to_owned(),
            seed: 1,
            variant: "acks=1",
            trace_hash: "abcd".to_owned(),
            exit: 0,
            verdicts: vec![VerdictRow {
                guarantee: "lost-write",
                invariant: false,
                verdict: "broken",
                text: "m3-m5 were acknowledged and are gone (truncated).".to_owned(),
                witnesses: vec![crate::base::ids::EventSeq(7)],
            }],
            view: &view,
            batches: &story.batches,
        };
        let block = report.verdict_block();
        let observed = BTreeMap::from([("leader".to_owned(), json!(2))]);
        let text = document(&[(report, observed)]);
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "schema": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "runs": [{
                "scenario": "acks-ladder", "scenario_hash": "00ff", "seed": 1, "variant": "acks=1",
                "trace_hash": "abcd", "exit": 0,
                "verdicts": [{
                    "guarantee": "lost-write", "kind": "delivery", "verdict": "broken",
                    "text": "m3-m5 were acknowledged and are gone (truncated).", "witnesses": [7],
                }],
                "counts": {
                    "sent": 7, "acked": 6, "failed": 1, "unknown": 0, "lost": 3, "duplicated": 0,
                    "reordered": 0, "repeated": 0, "skipped": 0, "unprocessed": 1,
                },
                "lost": ["m3", "m4", "m5"], "duplicated": [], "stored_twice": [], "reordered": [],
                "repeated": [],
                "skipped": [], "unprocessed": ["m2"], "unknown": [],
                "failed": {"m6": "TimeoutException"},
                "observed": {"leader": 2},
                "topics": {"orders": [
                    {
                        "partition": 0, "leader": 2, "leader_epoch": 1, "isr": [2, 3], "elr": [],
                        "log_start": 0, "high_watermark": 3, "log_end": 3,
                        "log": [[0, "m0", 0], [1, "m1", 0], [2, "m2", 0]],
                    },
                    {
                        "partition": 1, "leader": null, "leader_epoch": -1, "isr": [], "elr": [],
                        "log_start": null, "high_watermark": null, "log_end": null, "log": null,
                    },
                ]},
                "groups": {"billing": {
                    "state": "Stable", "members": {"c1": ["orders-0"]},
                    "committed": {"orders-0": 3}, "lag": 0,
                }},
            }],
        });
        assert_eq!(value, expected);
        assert!(text.starts_with("{\n  \"schema\": 1,"), "the schema comes first");
        assert_eq!(
            block,
            "broken   lost-write               m3-m5 were acknowledged and are gone\n\
             \u{20}                                 (truncated).\n\
             Invariants: 0 hold, 0 broken, 0 not exercised.\n\
             Told: 7 sent, 6 acknowledged, 1 failed, 0 unknown.\n\
             Found: lost 3 (m3-m5), stored twice 0, processed twice 0, reordered 0, skipped\n       0."
        );
    }

    /// A message stored twice and one processed twice are both duplicated, each once, and told apart beside it.
    #[test]
    fn duplicated_is_whatever_somebody_met_twice() {
        let mut story = Story::new();
        let batch = story.send(&[0, 1]);
        story.replicate(&[1, 2, 3], batch, 0, 0);
        story.replicate(&[1, 2, 3], batch, 2, 0);
        let once = story.send(&[2, 3]);
        story.replicate(&[1, 2, 3], once, 4, 0);
        story.assign(0, 1, 0);
        story.poll(0, batch, 0);
        story.poll(0, once, 4);
        story.process(0, batch, 0, (0, 1));
        story.process(0, batch, 2, (0, 1));
        story.process(0, once, 4, (0, 2));
        story.process(0, once, 4, (1, 1));
        let view = story.view();
        let report = RunReport {
            scenario: "s",
            scenario_hash: String::new(),
            seed: 1,
            variant: "v",
            trace_hash: String::new(),
            exit: 0,
            verdicts: Vec::new(),
            view: &view,
            batches: &story.batches,
        };
        let value: Value = serde_json::from_str(&document(&[(report, BTreeMap::new())])).unwrap();
        let run = &value["runs"][0];
        assert_eq!(run["stored_twice"], json!(["m0", "m1"]));
        assert_eq!(run["repeated"], json!(["m0", "m3"]));
        assert_eq!(run["duplicated"], json!(["m0", "m1", "m3"]));
        let counts = &run["counts"];
        assert_eq!((&counts["duplicated"], &counts["repeated"]), (&json!(3), &json!(2)));
    }
}
