//! Topic settings (`TopicConfig`, `LogConfig`).

use crate::base::config::{CleanupPolicy, TopicConfig};
use crate::base::properties::value::{
    INT_MAX, LONG_MAX, boolean, int, long_millis, number, one_of,
};
use crate::base::properties::{
    Configurable, Findings, Given, Kind, Row, Set, Support, known, obeyed,
};
use crate::base::time::Duration;

const fn yes(words: [&'static str; 4], set: Set<TopicConfig>) -> Row<TopicConfig> {
    obeyed(Kind::Topic, words, set)
}

const fn no(words: [&'static str; 4], support: Support) -> Row<TopicConfig> {
    known(Kind::Topic, words, support)
}

#[rustfmt::skip]
const ROWS: &[Row<TopicConfig>] = &[
    yes(["min.insync.replicas", "1", "replicas", "below it acks=all is refused and the high watermark stands still"],
        |c, v| int(v, 1).map(|n| c.min_insync_replicas = n)),
    yes(["unclean.leader.election.enable", "false", "",
        "true: a replica outside the ISR may lead, at the price of data"],
        |c, v| boolean(v).map(|on| c.unclean_leader_election = on)),
    yes(["segment.bytes", "1073741824", "bytes", "size at which a new segment begins; at least 1 MiB"],
        |c, v| number(v, 1_048_576, INT_MAX).map(|n| c.segment_bytes = n as u32)),
    yes(["max.message.bytes", "1048588", "bytes", "largest batch the broker takes"],
        |c, v| int(v, 0).map(|n| c.max_message_bytes = n)),
    yes(["flush.messages", "9223372036854775807", "records",
        "records between two forced flushes; by default there are none"],
        set_flush),
    yes(["flush.ms", "9223372036854775807", "ms",
        "time between two forced flushes; the broker looks every log.flush.scheduler.interval.ms, by default never"],
        |c, v| forever(v).map(|d| c.flush_ms = d)),
    yes(["cleanup.policy", "delete", "", "delete, compact, both or neither"], set_cleanup),
    yes(["retention.ms", "604800000", "ms", "a segment is deleted when its newest record is older; -1: never"],
        |c, v| unlimited(v).map(|n| c.retention = n.map(Duration::from_millis))),
    yes(["retention.bytes", "-1", "bytes", "the oldest segments are deleted above this size of a partition"],
        |c, v| unlimited(v).map(|n| c.retention_bytes = n)),
    yes(["segment.ms", "604800000", "ms", "a segment whose first record is older ends with the next append"],
        |c, v| long_millis(v, 1).map(|d| c.segment_ms = d)),
    yes(["segment.jitter.ms", "0", "ms", "segment.ms is shorter by up to this, by chance"],
        |c, v| long_millis(v, 0).map(|d| c.segment_jitter = d)),
    no(["file.delete.delay.ms", "60000", "ms", "how long a deleted segment's file stays"],
        Support::NoEffect("nobody can read the file of a deleted segment")),
    yes(["min.cleanable.dirty.ratio", "0.5", "", "how much of the log is not compacted before the cleaner runs"],
        |c, v| ratio(v).map(|ppm| c.min_cleanable_dirty_ppm = ppm)),
    yes(["min.compaction.lag.ms", "0", "ms", "how long a record stays uncompacted at least"],
        |c, v| long_millis(v, 0).map(|d| c.min_compaction_lag = d)),
    yes(["max.compaction.lag.ms", "9223372036854775807", "ms", "when a record is compacted at the latest"],
        |c, v| number(v, 1, LONG_MAX).and_then(|_| forever(v)).map(|d| c.max_compaction_lag = d)),
    yes(["delete.retention.ms", "86400000", "ms", "how long a tombstone stays after the first cleaning"],
        |c, v| long_millis(v, 0).map(|d| c.delete_retention = d)),
    yes(["message.timestamp.type", "CreateTime", "", "whose clock stamps a record"],
        |c, v| one_of(v, &[("CreateTime", false), ("LogAppendTime", true)]).map(|on| c.log_append_time = on)),
    yes(["message.timestamp.before.max.ms", "9223372036854775807", "ms",
        "records stamped further in the past are refused"],
        |c, v| forever(v).map(|d| c.timestamp_before_max = d)),
    yes(["message.timestamp.after.max.ms", "3600000", "ms", "records stamped further in the future are refused"],
        |c, v| forever(v).map(|d| c.timestamp_after_max = d)),
    yes(["errors.deadletterqueue.group.enable", "false", "", "the topic may take the dead letters of share groups"],
        |c, v| boolean(v).map(|on| c.takes_dead_letters = on)),
];

fn set_flush(config: &mut TopicConfig, value: &str) -> Result<(), String> {
    let n = number(value, 1, LONG_MAX)?;
    // Kafka's default is the largest long: never.
    config.flush_messages = if n == LONG_MAX { u64::MAX } else { n };
    Ok(())
}

/// A number, or `None` for -1.
fn unlimited(value: &str) -> Result<Option<u64>, String> {
    match value.strip_prefix('-') {
        Some("1") => Ok(None),
        Some(_) => Err("must be at least -1".to_owned()),
        None => number(value, 0, LONG_MAX).map(Some),
    }
}

/// A share from 0 to 1, in millionths; further digits are dropped.
fn ratio(value: &str) -> Result<u32, String> {
    let (whole, digits) = value.split_once('.').unwrap_or((value, ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(digits) || (whole.is_empty() && digits.is_empty()) {
        return Err("must be a number from 0 to 1".to_owned());
    }
    let ppm = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    let ppm = ppm.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match (whole.trim_start_matches('0'), ppm) {
        ("", ppm) => Ok(ppm),
        ("1", 0) => Ok(1_000_000),
        _ => Err("must be at most 1".to_owned()),
    }
}

/// Words separated by commas; none at all keeps everything.
fn set_cleanup(config: &mut TopicConfig, value: &str) -> Result<(), String> {
    let mut policy = CleanupPolicy { delete: false, compact: false };
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            _ => return Err("must be one of compact, delete, or both with a comma".to_owned()),
        }
    }
    config.cleanup = policy;
    Ok(())
}

/// Kafka's default for intervals of flushes is the largest long: never.
pub(super) fn forever(value: &str) -> Result<Duration, String> {
    let millis = number(value, 0, LONG_MAX)?;
    Ok(if millis == LONG_MAX { Duration(u64::MAX) } else { Duration::from_millis(millis) })
}

impl Configurable for TopicConfig {
    const KIND: Kind = Kind::Topic;
    const ROWS: &'static [Row<Self>] = ROWS;

    /// Topic settings do not depend on each other.
    fn check(&mut self, _given: &Given, _findings: &mut Findings) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::properties::tests::load;

    #[test]
    fn the_recorded_limits() {
        for (text, allowed) in [
            ("segment.bytes=1000", false),
            ("segment.bytes=1048575", false),
            ("segment.bytes=1048576", true),
            ("min.insync.replicas=0", false),
            ("min.insync.replicas=2", true),
            ("flush.messages=1", true),
            ("segment.ms=1", true),
            ("segment.ms=0", false),
            ("retention.ms=0", true),
            ("retention.ms=-1", true),
            ("retention.ms=-2", false),
            ("retention.bytes=0", true),
            ("cleanup.policy=compact,delete", true),
            ("cleanup.policy=none", false),
            ("min.cleanable.dirty.ratio=0.01", true),
            ("min.cleanable.dirty.ratio=1.5", false),
            ("min.cleanable.dirty.ratio=1", true),
        ] {
            assert_eq!(load::<TopicConfig>(text).is_ok(), allowed, "{text}");
        }
    }
}
