//! Consumer settings (`ConsumerConfig`), share consumers' included.

use crate::base::config::{
    AssignorName, Assignors, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset,
    RemoteAssignor,
};
use crate::base::librdkafka::ClientFamily;
use crate::base::properties::librdkafka;
use crate::base::properties::value::{REBOOTSTRAP, boolean, int, int_millis, long_millis, one_of};
use crate::base::properties::{
    Configurable, Findings, Given, Kind, NOT_MODELLED, Problem, PropertyError, Row, Set, Settings,
    Support, WITHOUT_GROUP_ID, known, obeyed,
};
use crate::base::time::Duration;

const fn yes(words: [&'static str; 4], set: Set<ConsumerConfig>) -> Row<ConsumerConfig> {
    obeyed(Kind::Consumer, words, set)
}

const fn no(words: [&'static str; 4], support: Support) -> Row<ConsumerConfig> {
    known(Kind::Consumer, words, support)
}

const ISOLATION: &[(&str, IsolationLevel)] = &[
    ("read_uncommitted", IsolationLevel::ReadUncommitted),
    ("read_committed", IsolationLevel::ReadCommitted),
];

#[rustfmt::skip]
const ROWS: &[Row<ConsumerConfig>] = &[
    yes(["enable.auto.commit", "true", "",
        "commits consumed positions in a later poll(), at a rebalance and in close()"],
        |c, v| boolean(v).map(|on| c.enable_auto_commit = on)),
    yes(["auto.commit.interval.ms", "5000", "ms", "least time between two automatic commits"],
        |c, v| int_millis(v, 0).map(|d| c.auto_commit_interval = d)),
    yes(["auto.offset.reset", "latest", "",
        "where to start without a valid committed offset: earliest, latest, by_duration:PT1H, none"],
        set_reset),
    yes(["session.timeout.ms", "45000", "ms", "no heartbeat for so long: the member is removed"],
        |c, v| int_millis(v, 0).map(|d| c.session_timeout = d)),
    yes(["heartbeat.interval.ms", "3000", "ms",
        "how often heartbeats go out; also how soon members hear of a rebalance"],
        |c, v| int_millis(v, 0).map(|d| c.heartbeat_interval = d)),
    yes(["max.poll.interval.ms", "300000", "ms",
        "no poll() for so long: the member leaves; also the rebalance timeout"],
        |c, v| int_millis(v, 1).map(|d| c.max_poll_interval = d)),
    yes(["max.poll.records", "500", "records", "most records one poll() returns"],
        |c, v| int(v, 1).map(|n| c.max_poll_records = n)),
    yes(["fetch.min.bytes", "1", "bytes", "the broker answers as soon as it has so much"],
        |c, v| int(v, 0).map(|n| c.fetch_min_bytes = n)),
    yes(["fetch.max.wait.ms", "500", "ms", "the broker answers after so long in any case"],
        |c, v| int_millis(v, 0).map(|d| c.fetch_max_wait = d)),
    yes(["fetch.max.bytes", "52428800", "bytes", "most bytes of one fetch"],
        |c, v| int(v, 0).map(|n| c.fetch_max_bytes = n)),
    yes(["max.partition.fetch.bytes", "1048576", "bytes",
        "most bytes of one partition in a fetch; the first batch always comes"],
        |c, v| int(v, 0).map(|n| c.max_partition_fetch_bytes = n)),
    yes(["request.timeout.ms", "30000", "ms", "no answer for so long: the connection is dropped"],
        |c, v| int_millis(v, 0).map(|d| c.request_timeout = d)),
    yes(["default.api.timeout.ms", "60000", "ms", "how long commitSync(), position() and their like may take"],
        |c, v| int_millis(v, 0).map(|d| c.default_api_timeout = d)),
    yes(["retry.backoff.ms", "100", "ms", "pause before the first retry"],
        |c, v| long_millis(v, 0).map(|d| c.retry_backoff = d)),
    yes(["retry.backoff.max.ms", "1000", "ms", "longest pause before a retry"],
        |c, v| long_millis(v, 0).map(|d| c.retry_backoff_max = d)),
    yes(["reconnect.backoff.ms", "50", "ms", "pause before the first attempt to connect again"],
        |c, v| long_millis(v, 0).map(|d| c.reconnect_backoff = d)),
    yes(["reconnect.backoff.max.ms", "1000", "ms", "longest pause between attempts to connect"],
        |c, v| long_millis(v, 0).map(|d| c.reconnect_backoff_max = d)),
    yes(["metadata.max.age.ms", "300000", "ms", "how soon new partitions are found without an error"],
        |c, v| long_millis(v, 0).map(|d| c.metadata_max_age = d)),
    yes(["metadata.recovery.strategy", "rebootstrap", "",
        "what a client does that can reach no broker it knows: ask bootstrap.servers again, or none"],
        |c, v| one_of(v, REBOOTSTRAP).map(|on| c.rebootstrap = on)),
    yes(["metadata.recovery.rebootstrap.trigger.ms", "300000", "ms",
        "no metadata for so long: the client closes its connections and asks bootstrap.servers again"],
        |c, v| int_millis(v, 0).map(|d| c.rebootstrap_trigger = d)),
    yes(["partition.assignment.strategy", "RangeAssignor,CooperativeStickyAssignor", "",
        "assignors in order of preference; the group takes one that all its members know"],
        set_assignors),
    yes(["client.rack", "\"\"", "",
        "fetch from a follower in this rack, where replica.selector.class names one"],
        |c, v| { v.trim_matches('"').clone_into(&mut c.client_rack); Ok(()) }),
    yes(["group.protocol", "classic", "", "classic: clients assign; consumer: the broker does (KIP-848)"],
        set_protocol),
    yes(["group.id", "null", "", "the group; without one there are no commits and no subscribe()"], set_group),
    yes(["group.instance.id", "null", "", "makes a static member, which keeps its partitions over a restart"],
        set_instance),
    yes(["group.remote.assignor", "null", "", "the broker's assignor of the consumer protocol"],
        set_remote_assignor),
    yes(["isolation.level", "read_uncommitted", "",
        "read_committed: up to the last stable offset, without aborted records"],
        |c, v| one_of(v, ISOLATION).map(|level| c.isolation = level)),
    no(["allow.auto.create.topics", "true", "", "a subscription to an unknown topic creates it"],
        Support::NoEffect("every topic is declared")),
    yes(["share.acknowledgement.mode", "implicit", "",
        "of a share consumer; implicit: the next poll() accepts everything, explicit: the application says it"],
        |c, v| one_of(&v.to_ascii_lowercase(), &[("implicit", false), ("explicit", true)])
            .map(|explicit| c.explicit_acknowledgement = explicit)),
    yes(["share.acquire.mode", "batch_optimized", "",
        "of a share consumer; batch_optimized: whole batches, beyond max.poll.records; record_limit: never beyond"],
        |c, v| one_of(&v.to_ascii_lowercase(), &[("batch_optimized", false), ("record_limit", true)])
            .map(|limit| c.record_limit = limit)),
    no(["client.id", "\"\"", "", "the name of the client in logs and quotas; begins its member ids"],
        Support::NotModelled("a client's name in the scenario is its client.id")),
    no(["bootstrap.servers", "\"\"", "", "whom to ask for the cluster first"],
        Support::NoEffect("a client knows its cluster")),
    no(["key.deserializer", "null", "", "a key from its bytes"], Support::NoEffect("keys are text as it is")),
    no(["value.deserializer", "null", "", "a value from its bytes"],
        Support::NoEffect("records have a size and no content")),
];

fn set_reset(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    if let Some(span) = value.to_ascii_lowercase().strip_prefix("by_duration:") {
        return iso_duration(span).map(|span| {
            config.auto_offset_reset = OffsetReset::ByDuration(span);
        });
    }
    let words = [
        ("latest", OffsetReset::Latest),
        ("earliest", OffsetReset::Earliest),
        ("none", OffsetReset::None),
    ];
    one_of(&value.to_ascii_lowercase(), &words).map(|reset| config.auto_offset_reset = reset)
}

/// Only the one that Kafka refuses; [`Configurable::check`] says so.
fn set_group(_: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    Err(format!("{NOT_MODELLED}a consumer's group is where the scenario declares it"))
}

/// `Topic.validate`, which `JoinGroupRequest.validateGroupInstanceId` goes by.
fn set_instance(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if value.is_empty() || value == "." || value == ".." || value.len() > 249 {
        return Err("must be 1 to 249 characters, and neither . nor ..".to_owned());
    }
    if !value.chars().all(legal) {
        return Err("may have letters, digits, `.`, `_` and `-`".to_owned());
    }
    value.clone_into(&mut config.group_instance_id);
    Ok(())
}

fn set_protocol(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    let words = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
    one_of(&value.to_ascii_lowercase(), &words).map(|protocol| config.group_protocol = protocol)
}

fn set_remote_assignor(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    let words = RemoteAssignor::ALL.map(|assignor| (assignor.name(), assignor));
    one_of(value, &words).map(|assignor| config.remote_assignor = Some(assignor))
}

/// The span after `by_duration:`, as `java.time.Duration` reads it: `pt1h30m`, `p2d`, `pt0.5s`. Kafka refuses what is
/// negative.
pub(super) fn iso_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration like PT1H, P2D or PT30S");
    let (mut rest, mut micros, mut in_time) = (text.strip_prefix('p').ok_or_else(wrong)?, 0, false);
    let mut units =
        vec![('d', 86_400_000_000u64), ('h', 3_600_000_000), ('m', 60_000_000), ('s', 1_000_000)];
    let mut parts = 0;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('t').filter(|_| !in_time) {
            (rest, in_time) = (time, true);
            parts = 0;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let letter = rest[end..].chars().next().unwrap_or(' ');
        let at = units.iter().position(|(unit, _)| *unit == letter).ok_or_else(wrong)?;
        let (unit, size) = units[at];
        let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
        let fraction_fits = fraction.is_empty() || (unit == 's' && fraction.len() <= 9);
        if (unit != 'd') != in_time || !fraction_fits {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let digits = format!("{fraction:0<6}");
        let fraction: u64 = digits[..6].parse().map_err(|_| wrong())?;
        micros = whole
            .checked_mul(size)
            .and_then(|part| part.checked_add(fraction)?.checked_add(micros))
            .ok_or_else(wrong)?;
        units.drain(..=at);
        rest = &rest[end + 1..];
        parts += 1;
    }
    if parts == 0 { Err(wrong()) } else { Ok(Duration(micros)) }
}

/// Classes, by full or simple name, each once.
fn set_assignors(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    let mut assignors = Assignors::default();
    for name in value.split(',').map(str::trim) {
        let name = name.strip_prefix("class ").unwrap_or(name);
        let name = name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name);
        let Some(known) = AssignorName::ALL.into_iter().find(|known| known.class() == name) else {
            let known = AssignorName::ALL.map(AssignorName::class);
            return Err(format!("must be class names out of {}", known.join(", ")));
        };
        assignors = assignors.and(known).ok_or_else(|| format!("names {name} more than once"))?;
    }
    config.assignors = assignors;
    Ok(())
}

/// `ConsumerConfig.postProcessParsedConfig`, and the check of the heartbeat thread.
impl Configurable for ConsumerConfig {
    const KIND: Kind = Kind::Consumer;
    const ROWS: &'static [Row<Self>] = ROWS;

    fn more(&self) -> &'static [Row<Self>] {
        match self.family {
            ClientFamily::Java => &[],
            ClientFamily::Librdkafka => librdkafka::CONSUMER,
        }
    }

    fn check(&mut self, given: &Given, findings: &mut Findings) {
        if given.has("reconnect.backoff.ms") && !given.has("reconnect.backoff.max.ms") {
            self.reconnect_backoff_max = self.reconnect_backoff;
            findings.notes.push("reconnect.backoff.ms alone switches its growth off".to_owned());
        }
        if given.has("group.id") {
            let problem = Problem::Refused(WITHOUT_GROUP_ID);
            let message = "must not be empty";
            findings.errors.push(PropertyError::new("group.id", "", problem, message));
        }
        check_protocol(self.group_protocol, given, findings);
        let classic = self.group_protocol == GroupProtocol::Classic;
        if classic && self.heartbeat_interval >= self.session_timeout {
            // Thrown by the constructor of the heartbeat, so it arrives wrapped.
            let problem = Problem::Refused("IllegalArgumentException");
            let value = self.heartbeat_interval.as_millis().to_string();
            let session = self.session_timeout.as_millis();
            let message = format!("must be less than session.timeout.ms, which is {session}");
            let error = PropertyError::new("heartbeat.interval.ms", &value, problem, message);
            let hint = "a third of session.timeout.ms is usual".to_owned();
            findings.errors.push(error.or_try(Some(hint)));
        }
    }
}

/// What belongs to the other group protocol than the one that is set.
fn check_protocol(protocol: GroupProtocol, given: &Given, findings: &mut Findings) {
    let (protocol, foreign): (_, &[&str]) = match protocol {
        GroupProtocol::Classic => ("CLASSIC", &["group.remote.assignor"]),
        GroupProtocol::Consumer => (
            "CONSUMER",
            &["partition.assignment.strategy", "heartbeat.interval.ms", "session.timeout.ms"],
        ),
    };
    for name in foreign.iter().filter(|name| given.has(name)) {
        let problem = Problem::Refused("ConfigException");
        let message = format!("cannot be set when group.protocol={protocol}");
        findings.errors.push(PropertyError::new(name, "", problem, message));
    }
}

/// What a share consumer may not be told (`ShareConsumerConfig.SHARE_GROUP_UNSUPPORTED_CONFIGS`).
const NOT_FOR_SHARE: [&str; 9] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "group.instance.id",
    "isolation.level",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol",
    "group.remote.assignor",
];

impl Settings<ConsumerConfig> {
    /// [`Settings::finish`] for a share consumer.
    ///
    /// # Errors
    /// All that Kafka refuses.
    pub fn finish_for_share(mut self) -> Result<(ConsumerConfig, Vec<String>), Vec<PropertyError>> {
        let refuse = |name: &&str| {
            let problem = Problem::Refused("ConfigException");
            PropertyError::new(name, "", problem, "cannot be set when using a share group")
        };
        let refused: Vec<PropertyError> =
            NOT_FOR_SHARE.iter().filter(|name| self.given.has(name)).map(refuse).collect();
        self.config.share = true;
        if refused.is_empty() { self.finish() } else { Err(refused) }
    }
}

impl Settings<ConsumerConfig> {
    /// [`Settings::finish`] for a consumer without `group.id`: it has no automatic commits, and Kafka refuses to be
    /// asked for them.
    ///
    /// # Errors
    /// All that Kafka refuses.
    pub fn finish_without_group(
        mut self,
    ) -> Result<(ConsumerConfig, Vec<String>), Vec<PropertyError>> {
        const NAME: &str = "enable.auto.commit";
        let asked = self.given.has(NAME) && self.config.enable_auto_commit;
        self.config.enable_auto_commit = false;
        let finished = self.finish();
        if !asked {
            return finished;
        }
        let problem = Problem::Refused("InvalidConfigurationException");
        let message = "must not be true for a consumer without a group";
        let mut errors = vec![PropertyError::new(NAME, "true", problem, message)];
        errors.extend(finished.err().into_iter().flatten());
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::properties::tests::load;

    #[test]
    fn heartbeats_must_be_more_frequent_than_sessions_are_long() {
        assert!(load::<ConsumerConfig>("session.timeout.ms=3001").is_ok());
        for text in ["session.timeout.ms=3000", "heartbeat.interval.ms=45000"] {
            let error = load::<ConsumerConfig>(text).unwrap_err();
            assert!(error.contains("(IllegalArgumentException)"), "{text}: {error}");
        }
    }

    #[test]
    fn each_protocol_refuses_the_settings_of_the_other() {
        let (config, _) =
            load::<ConsumerConfig>("group.protocol=CONSUMER\ngroup.remote.assignor=range").unwrap();
        assert_eq!(config.remote_assignor, Some(RemoteAssignor::Range));
        for (protocol, setting) in [
            ("consumer", "session.timeout.ms=3000"),
            ("consumer", "heartbeat.interval.ms=300"),
            ("consumer", "partition.assignment.strategy=RangeAssignor"),
            ("classic", "group.remote.assignor=uniform"),
        ] {
            let text = format!("group.protocol={protocol}\n{setting}");
            let error = load::<ConsumerConfig>(&text).unwrap_err();
            assert!(error.contains("cannot be set when group.protocol="), "{text}: {error}");
        }
    }

    #[test]
    fn assignors_by_full_or_simple_class_name_each_once() {
        use AssignorName::{CooperativeSticky, Range, RoundRobin, Sticky};
        let package = "org.apache.kafka.clients.consumer.";
        let load = |strategy: &str| {
            load::<ConsumerConfig>(&format!("partition.assignment.strategy={strategy}"))
        };
        for (strategy, expected) in [
            ("RangeAssignor".to_owned(), &[Range][..]),
            (format!("{package}RoundRobinAssignor"), &[RoundRobin]),
            (
                format!("{package}RangeAssignor,{package}CooperativeStickyAssignor"),
                &[Range, CooperativeSticky],
            ),
            ("StickyAssignor,RangeAssignor".to_owned(), &[Sticky, Range]),
            ("CooperativeStickyAssignor".to_owned(), &[CooperativeSticky]),
        ] {
            let (config, _) = load(&strategy).unwrap();
            assert_eq!(config.assignors.iter().collect::<Vec<_>>(), expected, "{strategy}");
        }
        for (strategy, expected) in [
            ("RangeAssignor,RangeAssignor", "more than once"),
            ("range", "ConfigException"),
            ("", "ConfigException"),
        ] {
            let error = load(strategy).unwrap_err();
            assert!(error.contains(expected), "{strategy}: {error}");
        }
        let default: Vec<_> = ConsumerConfig::default().assignors.iter().collect();
        assert_eq!(default, [Range, CooperativeSticky]);
    }

    #[test]
    fn without_a_group_there_is_no_auto_commit_and_asking_for_it_is_an_error() {
        let mut settings = Settings::<ConsumerConfig>::new();
        let (config, _) = settings.clone().finish_without_group().unwrap();
        assert!(!config.enable_auto_commit);
        settings.apply("enable.auto.commit", "true").unwrap();
        let errors = settings.finish_without_group().unwrap_err();
        assert_eq!(errors[0].problem, Problem::Refused("InvalidConfigurationException"));
    }

    #[test]
    fn a_rack_is_any_text_and_the_one_selector_goes_by_its_full_name() {
        use crate::base::config::{BrokerConfig, ReplicaSelector};
        let (config, _) = load::<ConsumerConfig>("client.rack=b").unwrap();
        assert_eq!(config.client_rack, "b");
        let selector = |name: &str| load::<BrokerConfig>(&format!("replica.selector.class={name}"));
        let (config, _) =
            selector("org.apache.kafka.common.replica.RackAwareReplicaSelector").unwrap();
        assert_eq!(config.replica_selector, ReplicaSelector::RackAware);
        let error = selector("RackAwareReplicaSelector").unwrap_err();
        assert!(error.contains("not modelled"), "{error}");
    }

    #[test]
    fn where_to_start_without_a_committed_offset() {
        let (config, _) = load::<ConsumerConfig>("auto.offset.reset=earliest").unwrap();
        assert_eq!(config.auto_offset_reset, OffsetReset::Earliest);
        let error = load::<ConsumerConfig>("auto.offset.reset=oldest").unwrap_err();
        assert!(error.contains("latest, earliest, none"), "{error}");
        for (text, millis) in [
            ("PT1H", Some(3_600_000)),
            ("P1DT1H30M", Some(91_800_000)),
            ("pt0.25s", Some(250)),
            ("PT0S", Some(0)),
            ("PT", None),
            ("P1H", None),
            ("PT1M1H", None),
            ("-PT1H", None),
            ("PT-1H", None),
            ("1h", None),
            ("PT1.5H", None),
        ] {
            let loaded = load::<ConsumerConfig>(&format!("auto.offset.reset=by_duration:{text}"));
            let found = loaded.map(|(config, _)| config.auto_offset_reset).ok();
            let expected = millis.map(|n| OffsetReset::ByDuration(Duration::from_millis(n)));
            assert_eq!(found, expected, "{text}");
        }
    }
}
