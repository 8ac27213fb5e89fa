//! Group settings (`GroupConfig`): set by group id, they hold for all its members. All of them are about share groups.

use crate::base::config::IsolationLevel;
use crate::base::properties::consumer::iso_duration;
use crate::base::properties::value::{boolean, int_millis, number, one_of};
use crate::base::properties::{Configurable, Findings, Given, Kind, Row, Set, obeyed};
use crate::base::share::{GroupConfig, ShareReset};

const fn yes(words: [&'static str; 4], set: Set<GroupConfig>) -> Row<GroupConfig> {
    obeyed(Kind::Group, words, set)
}

#[rustfmt::skip]
const ROWS: &[Row<GroupConfig>] = &[
    yes(["share.auto.offset.reset", "latest", "",
        "where a share group begins to read a partition: latest, earliest or by_duration:PT1H"],
        set_reset),
    yes(["share.isolation.level", "read_uncommitted", "", "read_committed: without aborted records"],
        |c, v| one_of(&v.to_ascii_lowercase(), &[
            ("read_uncommitted", IsolationLevel::ReadUncommitted), ("read_committed", IsolationLevel::ReadCommitted),
        ]).map(|level| c.isolation = level)),
    yes(["share.renew.acknowledge.enable", "true", "", "a record's lock may be renewed"],
        |c, v| boolean(v).map(|on| c.renew = on)),
    yes(["share.delivery.count.limit", "5", "deliveries",
        "after so many a record is archived; group.share.delivery.count.limit where not set"],
        |c, v| number(v, 2, 10).map(|n| c.deliveries = Some(n as u16))),
    yes(["share.record.lock.duration.ms", "30000", "ms",
        "how long a record may be held; group.share.record.lock.duration.ms where not set"],
        |c, v| int_millis(v, 1).map(|d| c.lock = Some(d))),
    yes(["share.partition.max.record.locks", "2000", "records",
        "records of a partition under way at once; group.share.partition.max.record.locks where not set"],
        |c, v| number(v, 100, 4_000).map(|n| c.max_locks = Some(n as u32))),
    yes(["share.session.timeout.ms", "45000", "ms",
        "session of its members; group.share.session.timeout.ms where not set"],
        |c, v| int_millis(v, 1).map(|d| c.session_timeout = Some(d))),
    yes(["share.heartbeat.interval.ms", "5000", "ms",
        "heartbeats of its members; group.share.heartbeat.interval.ms where not set"],
        |c, v| int_millis(v, 1).map(|d| c.heartbeat_interval = Some(d))),
    yes(["errors.deadletterqueue.topic.name", "\"\"", "", "where archived records go; empty: nowhere"],
        |c, v| { v.trim_matches('"').clone_into(&mut c.dead_letters); Ok(()) }),
    yes(["errors.deadletterqueue.copy.record.enable", "false", "", "whether the record itself goes there"],
        |c, v| boolean(v).map(|on| c.copy_dead_letters = on)),
];

fn set_reset(config: &mut GroupConfig, value: &str) -> Result<(), String> {
    let value = value.to_ascii_lowercase();
    config.reset = match value.strip_prefix("by_duration:") {
        Some(span) => ShareReset::ByDuration(iso_duration(span)?),
        None => {
            one_of(&value, &[("latest", ShareReset::Latest), ("earliest", ShareReset::Earliest)])?
        }
    };
    Ok(())
}

impl Configurable for GroupConfig {
    const KIND: Kind = Kind::Group;
    const ROWS: &'static [Row<Self>] = ROWS;

    /// What is not set follows the brokers, whose own default is the same. What they allow is checked where their
    /// settings are known ([`GroupConfig::out_of_bounds`]).
    fn check(&mut self, given: &Given, _findings: &mut Findings) {
        self.deliveries.take_if(|_| !given.has("share.delivery.count.limit"));
        self.lock.take_if(|_| !given.has("share.record.lock.duration.ms"));
        self.max_locks.take_if(|_| !given.has("share.partition.max.record.locks"));
        self.session_timeout.take_if(|_| !given.has("share.session.timeout.ms"));
        self.heartbeat_interval.take_if(|_| !given.has("share.heartbeat.interval.ms"));
    }
}
