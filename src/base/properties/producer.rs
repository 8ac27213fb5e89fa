//! Producer settings (`ProducerConfig`).

use crate::base::config::{Acks, Partitioner, ProducerConfig};
use crate::base::librdkafka::ClientFamily;
use crate::base::properties::librdkafka;
use crate::base::properties::value::{
    LONG_MAX, REBOOTSTRAP, boolean, int, int_millis, long_millis, number, one_of,
};
use crate::base::properties::{
    Configurable, Findings, Given, KAFKA_EXCEPTION, Kind, NOT_MODELLED, Problem, PropertyError,
    Row, Set, Support, known, obeyed,
};

const fn yes(words: [&'static str; 4], set: Set<ProducerConfig>) -> Row<ProducerConfig> {
    obeyed(Kind::Producer, words, set)
}

const fn no(words: [&'static str; 4], support: Support) -> Row<ProducerConfig> {
    known(Kind::Producer, words, support)
}

const ACKS: &[(&str, Acks)] =
    &[("all", Acks::All), ("-1", Acks::All), ("0", Acks::None), ("1", Acks::Leader)];

#[rustfmt::skip]
const ROWS: &[Row<ProducerConfig>] = &[
    yes(["acks", "all", "",
        "0: no answer is waited for; 1: the leader's append; all: the high watermark passes the batch"],
        |c, v| one_of(v, ACKS).map(|acks| c.acks = acks)),
    yes(["enable.idempotence", "true", "",
        "sequence numbers let the leader drop repeats; quietly off with acks other than all, or retries=0"],
        |c, v| boolean(v).map(|on| c.enable_idempotence = on)),
    yes(["max.in.flight.requests.per.connection", "5", "requests",
        "requests under way to one broker; more than 5 is an error with idempotence"],
        |c, v| int(v, 1).map(|n| c.max_in_flight = n)),
    yes(["retries", "2147483647", "", "attempts after the first; delivery.timeout.ms ends them sooner"],
        |c, v| int(v, 0).map(|n| c.retries = n)),
    yes(["delivery.timeout.ms", "120000", "ms",
        "from send() to success or failure; at least linger.ms + request.timeout.ms"],
        |c, v| int_millis(v, 0).map(|d| c.delivery_timeout = d)),
    yes(["request.timeout.ms", "30000", "ms",
        "no answer for so long: the connection is dropped and the batch retried"],
        |c, v| int_millis(v, 0).map(|d| c.request_timeout = d)),
    yes(["retry.backoff.ms", "100", "ms", "pause before the first retry; doubles from there, give or take 20 %"],
        |c, v| long_millis(v, 0).map(|d| c.retry_backoff = d)),
    yes(["retry.backoff.max.ms", "1000", "ms", "longest pause before a retry"],
        |c, v| long_millis(v, 0).map(|d| c.retry_backoff_max = d)),
    yes(["reconnect.backoff.ms", "50", "ms", "pause before the first attempt to connect again"],
        |c, v| long_millis(v, 0).map(|d| c.reconnect_backoff = d)),
    yes(["reconnect.backoff.max.ms", "1000", "ms", "longest pause between attempts to connect"],
        |c, v| long_millis(v, 0).map(|d| c.reconnect_backoff_max = d)),
    yes(["linger.ms", "5", "ms", "how long a batch waits for more records (0 before Kafka 4.0)"],
        |c, v| long_millis(v, 0).map(|d| c.linger = d)),
    yes(["batch.size", "16384", "bytes",
        "a batch is sent when it is this full; keyless records change partition then"],
        |c, v| int(v, 0).map(|n| c.batch_size = n)),
    yes(["buffer.memory", "33554432", "bytes", "records unsent and under way; send() blocks when it is full"],
        |c, v| number(v, 0, LONG_MAX).map(|n| c.buffer_memory = n)),
    yes(["max.block.ms", "60000", "ms", "how long send() may block for metadata or memory"],
        |c, v| long_millis(v, 0).map(|d| c.max_block = d)),
    yes(["max.request.size", "1048576", "bytes", "largest record and request the client sends"],
        |c, v| int(v, 0).map(|n| c.max_request_size = n)),
    yes(["metadata.max.age.ms", "300000", "ms", "how soon new partitions and leaders are found without an error"],
        |c, v| long_millis(v, 0).map(|d| c.metadata_max_age = d)),
    yes(["metadata.recovery.strategy", "rebootstrap", "",
        "what a client does that can reach no broker it knows: ask bootstrap.servers again, or none"],
        |c, v| one_of(v, REBOOTSTRAP).map(|on| c.rebootstrap = on)),
    yes(["metadata.recovery.rebootstrap.trigger.ms", "300000", "ms",
        "no metadata for so long: the client closes its connections and asks bootstrap.servers again"],
        |c, v| int_millis(v, 0).map(|d| c.rebootstrap_trigger = d)),
    yes(["partitioner.class", "null", "",
        "null: by key, or sticky without one; RoundRobinPartitioner: one after the other"],
        set_partitioner),
    yes(["partitioner.ignore.keys", "false", "", "true: sticky also with keys"],
        |c, v| boolean(v).map(|on| c.partitioner_ignore_keys = on)),
    yes(["partitioner.adaptive.partitioning.enable", "true", "",
        "keyless records prefer partitions with shorter queues"],
        |c, v| boolean(v).map(|on| c.adaptive_partitioning = on)),
    yes(["partitioner.availability.timeout.ms", "0", "ms",
        "a partition whose broker takes nothing for so long is passed over; 0: never"],
        |c, v| long_millis(v, 0).map(|d| c.availability_timeout = d)),
    no(["partitioner.rack.aware", "false", "", "keyless records go to leaders in the same rack"],
        Support::Only(&["false"], "brokers have no racks")),
    no(["buffer.memory.allocation.strategy", "full", "", "full: an open batch reserves batch.size"],
        Support::Only(&["full"], "memory is reserved by whole batches")),
    no(["compression.type", "none", "", "how batches are compressed"],
        Support::Only(&["none"], "records have a size and no content to compress")),
    yes(["transactional.id", "null", "", "turns transactions on; the key of fencing"], set_transactional_id),
    yes(["transaction.timeout.ms", "60000", "ms", "the coordinator aborts a transaction that is open longer"],
        |c, v| int_millis(v, 0).map(|d| c.transaction_timeout = d)),
    no(["transaction.two.phase.commit.enable", "false", "", "true: a transaction never times out"],
        Support::Only(&["false"], "two-phase commit (KIP-939) is not modelled")),
    no(["client.id", "\"\"", "", "the name of the client in logs and quotas"],
        Support::NotModelled("a client's name in the scenario is its client.id")),
    no(["bootstrap.servers", "\"\"", "", "whom to ask for the cluster first"],
        Support::NoEffect("a client knows its cluster")),
    no(["key.serializer", "null", "", "bytes of a key"], Support::NoEffect("keys are text as it is")),
    no(["value.serializer", "null", "", "bytes of a value"], Support::NoEffect("records have a size and no content")),
];

fn set_transactional_id(config: &mut ProducerConfig, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    value.clone_into(&mut config.transactional_id);
    Ok(())
}

fn set_partitioner(config: &mut ProducerConfig, value: &str) -> Result<(), String> {
    let name = value.strip_prefix("org.apache.kafka.clients.producer.").unwrap_or(value);
    if name != "RoundRobinPartitioner" {
        return Err(format!("{NOT_MODELLED}RoundRobinPartitioner is the only class there is"));
    }
    config.partitioner = Partitioner::RoundRobin;
    Ok(())
}

/// `ProducerConfig.postProcessAndValidateIdempotenceConfigs` and `KafkaProducer.configureDeliveryTimeout`.
impl Configurable for ProducerConfig {
    const KIND: Kind = Kind::Producer;
    const ROWS: &'static [Row<Self>] = ROWS;

    fn more(&self) -> &'static [Row<Self>] {
        match self.family {
            ClientFamily::Java => &[],
            ClientFamily::Librdkafka => librdkafka::PRODUCER,
        }
    }

    fn check(&mut self, given: &Given, findings: &mut Findings) {
        if self.family == ClientFamily::Librdkafka {
            return librdkafka::check_producer(self, given, findings);
        }
        if given.has("reconnect.backoff.ms") && !given.has("reconnect.backoff.max.ms") {
            self.reconnect_backoff_max = self.reconnect_backoff;
            findings.notes.push("reconnect.backoff.ms alone switches its growth off".to_owned());
        }
        check_idempotence(self, given, findings);
        if given.has("transactional.id") && !self.enable_idempotence {
            let message = "needs enable.idempotence, with acks=all and retries";
            findings.errors.push(refused("transactional.id", "", message));
        }
        check_delivery_timeout(self, given, findings);
    }
}

fn check_idempotence(config: &mut ProducerConfig, given: &Given, findings: &mut Findings) {
    if !config.enable_idempotence {
        return;
    }
    let explicit = given.has("enable.idempotence");
    let retries = (config.retries == 0).then_some(("retries", "0", "be more than 0"));
    let acks = match config.acks {
        Acks::All => None,
        Acks::Leader => Some(("acks", "1", "be all")),
        Acks::None => Some(("acks", "0", "be all")),
    };
    let mut switch_off = false;
    for (name, value, must) in [retries, acks].into_iter().flatten() {
        if explicit {
            let message = format!("must {must} for an idempotent producer");
            let hint = "or leave enable.idempotence out, and it is switched off quietly";
            findings.errors.push(refused(name, value, message).or_try(Some(hint.to_owned())));
        } else {
            switch_off = true;
            findings.notes.push(format!("{name}={value} switches idempotence off quietly"));
        }
    }
    // Also without having asked for idempotence: since 4.0 this is an error.
    if config.max_in_flight > 5 {
        let value = config.max_in_flight.to_string();
        let message = "must be at most 5 for an idempotent producer";
        let hint = "or set enable.idempotence=false";
        let error = refused("max.in.flight.requests.per.connection", &value, message);
        findings.errors.push(error.or_try(Some(hint.to_owned())));
    }
    config.enable_idempotence = !switch_off;
}

fn check_delivery_timeout(config: &mut ProducerConfig, given: &Given, findings: &mut Findings) {
    let least = config.linger + config.request_timeout;
    if config.delivery_timeout >= least {
        return;
    }
    let least_ms = least.as_millis();
    if given.has("delivery.timeout.ms") {
        let value = config.delivery_timeout.as_millis().to_string();
        let message =
            format!("must be at least linger.ms + request.timeout.ms, which is {least_ms}");
        let problem = Problem::Refused(KAFKA_EXCEPTION);
        let error = PropertyError::new("delivery.timeout.ms", &value, problem, message);
        findings.errors.push(error);
    } else {
        config.delivery_timeout = least;
        findings.notes.push(format!("delivery.timeout.ms is raised to {least_ms} quietly"));
    }
}

fn refused(name: &str, value: &str, message: impl Into<String>) -> PropertyError {
    PropertyError::new(name, value, Problem::Refused("ConfigException"), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::properties::tests::load;

    #[test]
    fn acks_or_retries_alone_switch_idempotence_off_quietly() {
        for (text, on, notes) in [
            ("", true, 0),
            ("acks=all", true, 0),
            ("acks=-1", true, 0),
            ("acks=1", false, 1),
            ("acks=0", false, 1),
            ("retries=0", false, 1),
            ("retries=0 acks=1", false, 2),
            ("enable.idempotence=false acks=1 retries=0", false, 0),
        ] {
            let (config, said) = load::<ProducerConfig>(text).unwrap();
            assert_eq!((config.enable_idempotence, said.len()), (on, notes), "{text}");
        }
    }

    #[test]
    fn the_recorded_config_exceptions() {
        for text in [
            "acks=1 enable.idempotence=true",
            "acks=0 enable.idempotence=true",
            "retries=0 enable.idempotence=true",
            "max.in.flight.requests.per.connection=6 enable.idempotence=true",
            "max.in.flight.requests.per.connection=6",
            "max.in.flight.requests.per.connection=6 acks=1",
            "delivery.timeout.ms=1000",
            "acks=2",
            "acks=ALL",
            "batch.size=-1",
            "linger.ms=soon",
            "max.in.flight.requests.per.connection=0",
            "retries=2147483648",
            "enable.idempotence=yes",
            "transactional.id=x acks=1",
            "transactional.id=x enable.idempotence=false",
            "transactional.id=x retries=0",
        ] {
            let error = load::<ProducerConfig>(text).unwrap_err();
            assert!(error.contains("ConfigException)"), "{text}: {error}");
        }
        assert!(
            load::<ProducerConfig>(
                "max.in.flight.requests.per.connection=6 enable.idempotence=false"
            )
            .is_ok()
        );
    }

    #[test]
    fn a_transactional_id_turns_transactions_on() {
        let text = "transactional.id=pay-1 transaction.timeout.ms=3000";
        let (config, notes) = load::<ProducerConfig>(text).unwrap();
        assert_eq!((config.transactional_id.as_str(), notes.len()), ("pay-1", 0));
        assert_eq!(config.transaction_timeout.as_millis(), 3_000);
    }

    #[test]
    fn a_delivery_timeout_nobody_set_gives_way() {
        let (config, notes) = load::<ProducerConfig>("request.timeout.ms=200000").unwrap();
        assert_eq!((config.delivery_timeout.as_millis(), notes.len()), (200_005, 1));
    }

    #[test]
    fn a_first_reconnect_pause_alone_is_the_only_pause() {
        let (config, _) = load::<ProducerConfig>("reconnect.backoff.ms=20").unwrap();
        assert_eq!(config.reconnect_backoff_max.as_millis(), 20);
    }
}
