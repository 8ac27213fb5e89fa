//! Topic settings (`TopicConfig`, `LogConfig`).

use crate::base::config::TopicConfig;
use crate::base::properties::value::{INT_MAX, LONG_MAX, boolean, int, number};
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

const RETENTION: Support = Support::NotModelled("logs keep everything; retention comes later");
const COMPACTION: Support = Support::NotModelled("compaction comes later");
const TIMESTAMPS: Support =
    Support::NotModelled("records carry the producer's clock and none is refused");

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
    no(["cleanup.policy", "delete", "", "delete, compact or both"],
        Support::Only(&["delete"], "compaction comes later")),
    no(["retention.ms", "604800000", "ms", "a segment is deleted when its newest record is older"], RETENTION),
    no(["retention.bytes", "-1", "bytes", "the oldest segments are deleted above this size of a partition"],
        RETENTION),
    no(["segment.ms", "604800000", "ms", "age at which a new segment begins"], RETENTION),
    no(["segment.jitter.ms", "0", "ms", "random part of segment.ms"], RETENTION),
    no(["file.delete.delay.ms", "60000", "ms", "how long a deleted segment's file stays"], RETENTION),
    no(["min.cleanable.dirty.ratio", "0.5", "", "how much of the log is not compacted before the cleaner runs"],
        COMPACTION),
    no(["min.compaction.lag.ms", "0", "ms", "how long a record stays uncompacted at least"], COMPACTION),
    no(["max.compaction.lag.ms", "9223372036854775807", "ms", "when a record is compacted at the latest"],
        COMPACTION),
    no(["delete.retention.ms", "86400000", "ms", "how long a tombstone stays"], COMPACTION),
    no(["message.timestamp.type", "CreateTime", "", "whose clock stamps a record"], TIMESTAMPS),
    no(["message.timestamp.after.max.ms", "3600000", "ms", "records stamped further in the future are refused"],
        TIMESTAMPS),
    yes(["errors.deadletterqueue.group.enable", "false", "", "the topic may take the dead letters of share groups"],
        |c, v| boolean(v).map(|on| c.takes_dead_letters = on)),
];

fn set_flush(config: &mut TopicConfig, value: &str) -> Result<(), String> {
    let n = number(value, 1, LONG_MAX)?;
    // Kafka's default is the largest long: never.
    config.flush_messages = if n == LONG_MAX { u64::MAX } else { n };
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
        ] {
            assert_eq!(load::<TopicConfig>(text).is_ok(), allowed, "{text}");
        }
    }
}
