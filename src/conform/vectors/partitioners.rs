//! The vectors of `Partitioner`s: `keys.jsonl` and `nullkey.jsonl`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::expect;
use crate::base::librdkafka::KeyHash;
use crate::conform::Outcome;
use crate::kafka::partitioner::{
    self, BuiltInPartitioner, PartitionLoadStats, RoundRobinPartitioner, TopicPartitions,
    librdkafka,
};

/// A line of `keys.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
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

/// A line of `partitioner_vectors.jsonl`: librdkafka's partitioners, and Java's beside them.
#[derive(Deserialize)]
pub(super) struct LibrdkafkaLine {
    key_hex: String,
    crc32: u32,
    murmur2: i32,
    fnv1a_abs: u32,
    partition: LibrdkafkaPartitions,
}

/// Partition by number of partitions.
#[derive(Deserialize)]
struct LibrdkafkaPartitions {
    consistent_random: BTreeMap<String, u32>,
    murmur2_random: BTreeMap<String, u32>,
    fnv1a_random: BTreeMap<String, u32>,
    java_default: BTreeMap<String, u32>,
}

/// A line of `nullkey.jsonl`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum NullKeyLine {
    /// `BuiltInPartitioner`, its random numbers given.
    Sticky(StickyLine),
    /// `RoundRobinPartitioner`: topic, whether the record has a key, partition.
    RoundRobin { partitions: u32, unavailable: Vec<u32>, sequence: Vec<(String, bool, u32)> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StickyLine {
    partitions: u32,
    batch_size: u32,
    unavailable: Vec<u32>,
    queue_sizes: Option<Vec<u32>>,
    length: Option<usize>,
    /// Partition before, bytes, whether a switch is allowed, partition after.
    appends: Vec<(u32, u32, bool, u32)>,
    randoms: Vec<u32>,
}

pub(super) fn compare_key(line: &KeyLine, compared: &mut u64) -> Result<(), Outcome> {
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

pub(super) fn compare_librdkafka(line: &LibrdkafkaLine, compared: &mut u64) -> Result<(), Outcome> {
    let hex = &line.key_hex;
    let key = from_hex(hex)
        .ok_or_else(|| Outcome::Unreadable(format!("key_hex {hex:?} is no hexadecimal number")))?;
    let of = |what: &str| format!("{what} of {hex}");
    expect(|| of("crc32"), &line.crc32, &librdkafka::crc32(&key), compared)?;
    expect(|| of("murmur2"), &line.murmur2, &partitioner::murmur2(&key), compared)?;
    expect(|| of("fnv1a"), &line.fnv1a_abs, &librdkafka::fnv1a(&key), compared)?;
    let by = [
        ("consistent_random", KeyHash::Crc32, &line.partition.consistent_random),
        ("murmur2_random", KeyHash::Murmur2, &line.partition.murmur2_random),
        ("fnv1a_random", KeyHash::Fnv1a, &line.partition.fnv1a_random),
        ("java_default", KeyHash::Murmur2, &line.partition.java_default),
    ];
    for (name, hash, partitions) in by {
        if name == "consistent_random" && key.is_empty() {
            // To librdkafka an empty key is none: what stands there is luck.
            continue;
        }
        for (count, expected) in partitions {
            let n = count.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                Outcome::Unreadable(format!("{count:?} is no number of partitions"))
            })?;
            let got = librdkafka::partition_by(hash, &key, n);
            expect(|| format!("{name} of {hex} of {n}"), expected, &got, compared)?;
        }
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

pub(super) fn compare_null_key(line: &NullKeyLine, compared: &mut u64) -> Result<(), Outcome> {
    match line {
        NullKeyLine::Sticky(line) => compare_sticky(line, compared),
        NullKeyLine::RoundRobin { partitions, unavailable, sequence } => {
            compare_round_robin((*partitions, unavailable), sequence, compared)
        }
    }
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
