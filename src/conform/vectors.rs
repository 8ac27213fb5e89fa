//! Vectors: what one of Kafka's own functions returned for one input, a line of JSON each.
//!
//! The hash of keys (`Utils.murmur2`, `Utils.toPositive`, `BuiltInPartitioner.partitionForKey`), the partitioners of
//! records without a key and the classic `RangeAssignor` have a counterpart here. Simplified: the other assignors do
//! not yet; their lines are reported as not modelled.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::conform::{Difference, Outcome};
use crate::kafka::group::assignor::range;
use crate::kafka::partitioner::{
    self, BuiltInPartitioner, PartitionLoadStats, RoundRobinPartitioner, TopicPartitions,
};

/// The longest line that is read, in bytes. The longest recorded one has 35 kB.
const LINE_MAX: u64 = 1 << 20;

/// A line of `keys.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    #[serde(rename = "kind")]
    _kind: String,
    key_hex: String,
    #[serde(rename = "key_utf8")]
    _key_utf8: Option<String>,
    murmur2: i32,
    positive: u32,
    /// Partition by number of partitions.
    partition: BTreeMap<String, u32>,
}

/// A line of `nullkey.jsonl`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum NullKeyLine {
    /// `BuiltInPartitioner`, its random numbers given.
    Sticky(StickyLine),
    /// `RoundRobinPartitioner`: topic, whether the record has a key, partition.
    RoundRobin { partitions: u32, unavailable: Vec<u32>, sequence: Vec<(String, bool, u32)> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StickyLine {
    partitions: u32,
    batch_size: u32,
    unavailable: Vec<u32>,
    queue_sizes: Option<Vec<u32>>,
    length: Option<usize>,
    /// Partition before, bytes, whether a switch is allowed, partition after.
    appends: Vec<(u32, u32, bool, u32)>,
    randoms: Vec<u32>,
}

/// A line of an assignor's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignorLine {
    case: String,
    #[serde(rename = "assignor")]
    _assignor: String,
    #[serde(rename = "subscriptions")]
    _subscriptions: String,
    steps: Vec<AssignorStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignorStep {
    event: String,
    #[serde(rename = "generation")]
    _generation: i32,
    /// Number of partitions by topic.
    topics: BTreeMap<String, u32>,
    members: Vec<AssignorMember>,
    /// The order in which the group leader's Java map hands out the members: an input.
    java_member_order: Vec<String>,
    /// Partitions by member, in the order returned.
    result: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignorMember {
    id: String,
    instance: Option<String>,
    topics: Vec<String>,
}

/// Compares every line of the file; the number of facts compared, and how it came out.
pub fn compare(path: &Path) -> (u64, Outcome) {
    let mut compared = 0;
    let mut lines = 0u64;
    let mut differing = 0u64;
    let mut first = None;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return (0, Outcome::Unreadable(error.to_string())),
    };
    let mut reader = BufReader::new(file);
    loop {
        let mut line = Vec::new();
        // Not `lines()`: a file without an end of line must not fill the memory.
        let read = std::io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => break,
            Ok(n) if n as u64 == LINE_MAX => {
                let what = format!("line {} is longer than {LINE_MAX} bytes", lines + 1);
                return (compared, Outcome::Unreadable(what));
            }
            Ok(_) => {}
            Err(error) => return (compared, Outcome::Unreadable(error.to_string())),
        }
        lines += 1;
        let at = |what: String| format!("line {lines}: {what}");
        match compare_line(&line, &mut compared) {
            Ok(()) => {}
            Err(Outcome::Differs(difference)) => {
                differing += 1;
                first.get_or_insert(Difference { path: at(difference.path), ..difference });
            }
            Err(Outcome::NotModelled(what)) => return (compared, Outcome::NotModelled(at(what))),
            Err(Outcome::Unreadable(what)) => return (compared, Outcome::Unreadable(at(what))),
            Err(Outcome::Agrees) => unreachable!("agreement is no error"),
        }
    }
    match first {
        Some(difference) => {
            let path = difference.path;
            let path = format!("{path} (first of {differing} differing lines of {lines})");
            (compared, Outcome::Differs(Difference { path, ..difference }))
        }
        None if lines == 0 => (0, Outcome::Unreadable("the file is empty".to_owned())),
        None => (compared, Outcome::Agrees),
    }
}

/// Tells the kind of line from its keys and compares it.
fn compare_line(line: &[u8], compared: &mut u64) -> Result<(), Outcome> {
    let unreadable = |error: serde_json::Error| Outcome::Unreadable(error.to_string());
    let value: Value = serde_json::from_slice(line).map_err(unreadable)?;
    if value.get("key_hex").is_some() {
        let line = KeyLine::deserialize(value).map_err(unreadable)?;
        return compare_key(&line, compared);
    }
    match (value.get("assignor").and_then(Value::as_str), value.pointer("/steps/0/generation")) {
        (Some("range"), Some(_)) => {
            let line = AssignorLine::deserialize(value).map_err(unreadable)?;
            let name = &line.case;
            line.steps.iter().try_for_each(|step| compare_range(name, step, compared))
        }
        (Some(name), Some(_)) => {
            Err(Outcome::NotModelled(format!("the assignor {name} of the classic protocol")))
        }
        (Some(name), None) => {
            Err(Outcome::NotModelled(format!("the assignor {name} of the consumer protocol")))
        }
        (None, _) => match value.get("kind").and_then(Value::as_str) {
            Some("sticky" | "roundrobin") => {
                match NullKeyLine::deserialize(value).map_err(unreadable)? {
                    NullKeyLine::Sticky(line) => compare_sticky(&line, compared),
                    NullKeyLine::RoundRobin { partitions, unavailable, sequence } => {
                        compare_round_robin((partitions, &unavailable), &sequence, compared)
                    }
                }
            }
            Some(kind) => Err(Outcome::NotModelled(format!("vectors of the kind {kind}"))),
            None => Err(Outcome::Unreadable("neither a key, a kind nor an assignor".to_owned())),
        },
    }
}

fn expect<T: PartialEq + std::fmt::Display>(
    path: impl FnOnce() -> String,
    expected: &T,
    got: &T,
    compared: &mut u64,
) -> Result<(), Outcome> {
    *compared += 1;
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(Outcome::Differs(Difference { path: path(), expected, got }))
}

fn compare_key(line: &KeyLine, compared: &mut u64) -> Result<(), Outcome> {
    let hex = &line.key_hex;
    let key = from_hex(hex)
        .ok_or_else(|| Outcome::Unreadable(format!("key_hex {hex:?} is no hexadecimal number")))?;
    let hash = partitioner::murmur2(&key);
    expect(|| format!("murmur2 of {hex}"), &line.murmur2, &hash, compared)?;
    let positive = partitioner::to_positive(hash);
    expect(|| format!("positive of {hex}"), &line.positive, &positive, compared)?;
    for (count, expected) in &line.partition {
        let n =
            count.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                Outcome::Unreadable(format!("{count:?} is no number of partitions"))
            })?;
        let got = partitioner::partition_for_key(&key, n);
        expect(|| format!("partition of {hex} of {n}"), expected, &got, compared)?;
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

fn available(partitions: u32, unavailable: &[u32]) -> Result<Vec<u32>, Outcome> {
    if !(1..=100_000).contains(&partitions) {
        return Err(Outcome::Unreadable(format!("{partitions} is no number of partitions")));
    }
    Ok((0..partitions).filter(|partition| !unavailable.contains(partition)).collect())
}

fn compare_sticky(line: &StickyLine, compared: &mut u64) -> Result<(), Outcome> {
    let available = available(line.partitions, &line.unavailable)?;
    let topic = TopicPartitions { count: line.partitions, available: &available };
    let mut partitioner = BuiltInPartitioner::default();
    if let Some(sizes) = &line.queue_sizes {
        let ids: Vec<u32> = (0..sizes.len() as u32).collect();
        let length = line.length.unwrap_or(sizes.len());
        if length > sizes.len() {
            return Err(Outcome::Unreadable("length is above the number of queues".to_owned()));
        }
        partitioner.update_load_stats(PartitionLoadStats::new(sizes, &ids, length));
    }
    let mut randoms = line.randoms.iter().copied();
    // Too few random numbers show as a difference below, not as a panic.
    let mut random = || randoms.next().unwrap_or_default();
    for (n, (before, bytes, enable_switch, after)) in line.appends.iter().enumerate() {
        let got = partitioner.current(topic, &mut random);
        expect(|| format!("partition before append {n}"), before, &got, compared)?;
        partitioner.appended((*bytes, line.batch_size), *enable_switch);
        let got = partitioner.current(topic, &mut random);
        expect(|| format!("partition after append {n}"), after, &got, compared)?;
    }
    Ok(())
}

fn compare_round_robin(
    (partitions, unavailable): (u32, &[u32]),
    sequence: &[(String, bool, u32)],
    compared: &mut u64,
) -> Result<(), Outcome> {
    let available = available(partitions, unavailable)?;
    let mut partitioners: BTreeMap<&str, RoundRobinPartitioner> = BTreeMap::new();
    for (n, (topic, _, expected)) in sequence.iter().enumerate() {
        // The recorder's second topic, `u`, has three partitions, all with a leader.
        let partitions = match topic.as_str() {
            "u" => TopicPartitions { count: 3, available: &[0, 1, 2] },
            _ => TopicPartitions { count: partitions, available: &available },
        };
        let got = partitioners.entry(topic).or_default().next(partitions);
        expect(|| format!("partition of record {n} of topic {topic}"), expected, &got, compared)?;
    }
    Ok(())
}

fn compare_range(case: &str, step: &AssignorStep, compared: &mut u64) -> Result<(), Outcome> {
    let find = |id: &String| step.members.iter().find(|member| member.id == *id);
    let members: Option<Vec<_>> = step.java_member_order.iter().map(find).collect();
    let members = members.filter(|found| found.len() == step.members.len()).ok_or_else(|| {
        Outcome::Unreadable(format!("{case}: java_member_order is not the order of its members"))
    })?;
    let members: Vec<_> = members
        .into_iter()
        .map(|member| range::Member {
            id: &member.id,
            instance: member.instance.as_deref(),
            topics: member.topics.iter().map(String::as_str).collect(),
        })
        .collect();
    let topics = step.topics.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let assignment = range::assign(&members, &topics);
    for (member, expected) in &step.result {
        let got = assignment.get(member.as_str()).map_or(&[][..], Vec::as_slice);
        let got: Vec<String> = got.iter().map(|(topic, n)| format!("{topic}-{n}")).collect();
        let path = || format!("{case}, {}, {member}", step.event);
        expect(path, &expected.join(" "), &got.join(" "), compared)?;
    }
    let members = assignment.len();
    expect(|| format!("{case}: members in the result"), &step.result.len(), &members, compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<(), Outcome> {
        compare_line(text.as_bytes(), &mut 0)
    }

    #[test]
    fn a_line_that_kafka_did_not_write_differs_or_is_refused() {
        let key = r#"{"kind":"ascii","key_hex":"6b30","murmur2":-704538303,"positive":1442945345,"partition":{"3":2}}"#;
        assert_eq!(line(key), Ok(()));
        let wrong = line(&key.replace(r#""3":2"#, r#""3":1"#));
        assert!(matches!(wrong, Err(Outcome::Differs(d)) if d.expected == "1" && d.got == "2"));
        for (refused, by) in [
            (key.replace(r#""3":2"#, r#""0":0"#), "no number of partitions"),
            (key.replace("6b30", "6b3"), "hexadecimal"),
            (key.replace("positive", "absolute"), "absolute"),
            ("[".to_owned(), "EOF"),
            ("{}".to_owned(), "neither"),
        ] {
            assert!(
                matches!(line(&refused), Err(Outcome::Unreadable(why)) if why.contains(by)),
                "{refused}"
            );
        }
        let other = r#"{"case":"x","assignor":"sticky","steps":[{"generation":1}]}"#;
        assert!(matches!(line(other), Err(Outcome::NotModelled(_))));
    }
}
