//! Settings that librdkafka has besides, or by another name, and its checks.

use crate::base::config::{
    Acks, AssignorName, Assignors, ConsumerConfig, OffsetReset, Partitioner, ProducerConfig,
};
use crate::base::librdkafka::KeyHash;
use crate::base::properties::value::{boolean, int, int_millis, long_millis, one_of};
use crate::base::properties::{
    Findings, Given, Kind, NOT_MODELLED, Problem, PropertyError, Row, Set, Support, known, obeyed,
};

const fn producer(words: [&'static str; 4], set: Set<ProducerConfig>) -> Row<ProducerConfig> {
    obeyed(Kind::Producer, words, set)
}

const fn consumer(words: [&'static str; 4], set: Set<ConsumerConfig>) -> Row<ConsumerConfig> {
    obeyed(Kind::Consumer, words, set)
}

const ACKS: &[(&str, Acks)] =
    &[("all", Acks::All), ("-1", Acks::All), ("0", Acks::None), ("1", Acks::Leader)];

#[rustfmt::skip]
pub(super) const PRODUCER: &[Row<ProducerConfig>] = &[
    producer(["partitioner", "consistent_random", "",
        "crc32, murmur2 or fnv1a of the key; with _random, any partition without a key"],
        |c, v| one_of(v, PARTITIONERS).map(|partitioner| c.partitioner = partitioner)),
    producer(["sticky.partitioning.linger.ms", "10", "ms",
        "records without a key stay with a partition for so long; unset: twice linger.ms; 0: each anywhere"],
        |c, v| long_millis(v, 0).map(|d| c.sticky_linger = Some(d))),
    producer(["message.timeout.ms", "300000", "ms", "delivery.timeout.ms of Java"],
        |c, v| int_millis(v, 0).map(|d| c.delivery_timeout = d)),
    producer(["queue.buffering.max.ms", "5", "ms", "linger.ms of Java"],
        |c, v| long_millis(v, 0).map(|d| c.linger = d)),
    producer(["socket.timeout.ms", "60000", "ms", "request.timeout.ms of Java"],
        |c, v| int_millis(v, 0).map(|d| c.request_timeout = d)),
    producer(["request.required.acks", "-1", "", "acks of Java"],
        |c, v| one_of(v, ACKS).map(|acks| c.acks = acks)),
    producer(["message.send.max.retries", "2147483647", "", "retries of Java"],
        |c, v| int(v, 0).map(|n| c.retries = n)),
    producer(["max.in.flight", "1000000", "requests", "max.in.flight.requests.per.connection of Java"],
        |c, v| int(v, 1).map(|n| c.max_in_flight = n)),
    producer(["message.max.bytes", "1000000", "bytes", "max.request.size of Java"],
        |c, v| int(v, 1_000).map(|n| c.max_request_size = n)),
];

#[rustfmt::skip]
pub(super) const CONSUMER: &[Row<ConsumerConfig>] = &[
    consumer(["enable.auto.offset.store", "true", "",
        "true: what is handed out is stored for the next commit; false: the application stores by itself"],
        |c, v| boolean(v).map(|on| c.auto_offset_store = on)),
    consumer(["auto.offset.reset", "largest", "", "where to start without a valid committed offset"],
        |c, v| one_of(v, RESETS).map(|reset| c.auto_offset_reset = reset)),
    consumer(["partition.assignment.strategy", "range,roundrobin", "", "assignors in order of preference"],
        set_assignors),
    known(Kind::Consumer, ["group.protocol", "classic", "", "classic: clients assign; consumer: the broker does"],
        Support::Only(&["classic"], "what librdkafka does in the consumer protocol was never recorded")),
    known(Kind::Consumer, ["enable.partition.eof", "false", "", "the end of a partition is an event"],
        Support::Only(&["false"], "there are no such events")),
];

const fn by_key(hash: KeyHash, random: bool) -> Partitioner {
    Partitioner::ByKey { hash, random }
}

const PARTITIONERS: &[(&str, Partitioner)] = &[
    ("consistent_random", by_key(KeyHash::Crc32, true)),
    ("consistent", by_key(KeyHash::Crc32, false)),
    ("murmur2_random", by_key(KeyHash::Murmur2, true)),
    ("murmur2", by_key(KeyHash::Murmur2, false)),
    ("fnv1a_random", by_key(KeyHash::Fnv1a, true)),
    ("fnv1a", by_key(KeyHash::Fnv1a, false)),
    ("random", Partitioner::Random),
];

const RESETS: &[(&str, OffsetReset)] = &[
    ("largest", OffsetReset::Latest),
    ("latest", OffsetReset::Latest),
    ("end", OffsetReset::Latest),
    ("smallest", OffsetReset::Earliest),
    ("earliest", OffsetReset::Earliest),
    ("beginning", OffsetReset::Earliest),
    ("error", OffsetReset::None),
];

fn set_assignors(config: &mut ConsumerConfig, value: &str) -> Result<(), String> {
    let mut assignors = Assignors::default();
    for name in value.split(',').map(str::trim) {
        let known = match AssignorName::ALL.into_iter().find(|known| known.name() == name) {
            Some(AssignorName::Sticky) | None => {
                return Err("must be names out of range, roundrobin, cooperative-sticky".to_owned());
            }
            Some(known) => known,
        };
        let eager = assignors.iter().any(|other| other != AssignorName::CooperativeSticky);
        if known == AssignorName::CooperativeSticky && eager {
            return Err(format!("{NOT_MODELLED}eager and cooperative assignors do not mix"));
        }
        assignors = assignors.and(known).ok_or_else(|| format!("names {name} more than once"))?;
    }
    config.assignors = assignors;
    Ok(())
}

/// `enable.idempotence=true` brings `acks`, `retries` and `max.in.flight` along, unless they were set otherwise.
pub(super) fn check_producer(config: &mut ProducerConfig, given: &Given, findings: &mut Findings) {
    const IN_FLIGHT: [&str; 2] = ["max.in.flight", "max.in.flight.requests.per.connection"];
    if !config.enable_idempotence {
        return;
    }
    let mut refuse = |name: &str, value: String, must: &str| {
        let message = format!("must {must} for an idempotent producer");
        let problem = Problem::Refused("ConfigException");
        findings.errors.push(PropertyError::new(name, &value, problem, message));
    };
    if !IN_FLIGHT.iter().any(|name| given.has(name)) {
        config.max_in_flight = 5;
    } else if config.max_in_flight > 5 {
        refuse(IN_FLIGHT[0], config.max_in_flight.to_string(), "be at most 5");
    }
    if config.acks != Acks::All {
        refuse("acks", String::new(), "be all");
    }
    if config.retries == 0 {
        refuse("retries", "0".to_owned(), "be more than 0");
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::{ConsumerConfig, ProducerConfig};
    use crate::base::librdkafka::ClientFamily::Librdkafka;
    use crate::base::properties::{Configurable, Settings};

    fn load<C: Configurable>(base: C, text: &str) -> Result<C, String> {
        let mut settings = Settings::over(base);
        for pair in text.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            settings.apply(name, value).map_err(|error| error.to_string())?;
        }
        settings.finish().map(|(config, _)| config).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn librdkafka_is_idempotent_when_asked_and_then_allows_five_in_flight() {
        let producer = |text| load(ProducerConfig::of(Librdkafka), text);
        let plain = producer("").unwrap();
        assert!(!plain.enable_idempotence && plain.max_in_flight == 1_000_000);
        assert_eq!(producer("enable.idempotence=true").unwrap().max_in_flight, 5);
        assert_eq!(producer("enable.idempotence=true max.in.flight=1").unwrap().max_in_flight, 1);
        for wrong in ["max.in.flight=6", "acks=1", "retries=0"] {
            let text = format!("enable.idempotence=true {wrong}");
            let error = load(ProducerConfig::of(Librdkafka), &text).unwrap_err();
            assert!(error.contains("ConfigException"), "{error}");
        }
        assert!(producer("message.timeout.ms=1 linger.ms=10").is_ok(), "no sum is checked");
    }

    #[test]
    fn its_own_names_are_taken_from_it_alone() {
        let consumer = |text| load(ConsumerConfig::of(Librdkafka), text);
        assert!(!consumer("enable.auto.offset.store=false").unwrap().auto_offset_store);
        assert!(consumer("auto.offset.reset=smallest").is_ok());
        assert!(consumer("partition.assignment.strategy=roundrobin").is_ok());
        assert!(consumer("group.protocol=classic").is_ok());
        let error = consumer("group.protocol=consumer").unwrap_err();
        assert!(error.contains("group.protocol") && error.contains("never recorded"), "{error}");
        let java = load(ConsumerConfig::default(), "enable.auto.offset.store=false");
        assert!(java.is_err());
        assert!(load(ProducerConfig::default(), "partitioner=murmur2").is_err());
    }
}
