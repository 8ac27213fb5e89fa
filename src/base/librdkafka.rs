//! The other client family: librdkafka 2.16 (C, Python, Go, .NET, Node clients), where a recording says that it differs
//! from Kafka's Java client. Its defaults are those that it printed.
//!
//! Simplified: both families share the machines of the Java client; what differs is decided where the setting below
//! is read. Java's names of settings are taken as well.

use crate::base::config::{
    AssignorName, Assignors, ConsumerConfig, IsolationLevel, Partitioner, ProducerConfig,
};
use crate::base::time::Duration;

/// Whose code a client runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ClientFamily {
    /// Kafka's own client.
    #[default]
    Java,
    /// librdkafka.
    Librdkafka,
}

impl ClientFamily {
    /// The names of all families, as a scenario writes them.
    pub const NAMES: [&'static str; 2] = ["java", "librdkafka"];

    /// The family called `name`; nothing means Java.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "java" => Some(Self::Java),
            "librdkafka" => Some(Self::Librdkafka),
            _ => None,
        }
    }
}

/// How a key becomes a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyHash {
    /// CRC-32, unsigned.
    Crc32,
    /// Java's murmur2.
    Murmur2,
    /// FNV-1a of 32 bits, its absolute value as a signed number.
    Fnv1a,
}

impl ProducerConfig {
    /// The defaults of a family.
    pub fn of(family: ClientFamily) -> Self {
        let java = Self::default();
        match family {
            ClientFamily::Java => java,
            ClientFamily::Librdkafka => Self {
                family,
                enable_idempotence: false,
                max_in_flight: 1_000_000,
                delivery_timeout: Duration::from_millis(300_000),
                batch_size: 1_000_000,
                buffer_memory: 1 << 30,
                max_request_size: 1_000_000,
                metadata_max_age: Duration::from_millis(900_000),
                reconnect_backoff: Duration::from_millis(100),
                reconnect_backoff_max: Duration::from_millis(10_000),
                partitioner: Partitioner::ByKey { hash: KeyHash::Crc32, random: true },
                ..java
            },
        }
    }
}

impl ConsumerConfig {
    /// The defaults of a family.
    pub fn of(family: ClientFamily) -> Self {
        let java = Self::default();
        match family {
            ClientFamily::Java => java,
            ClientFamily::Librdkafka => Self {
                family,
                isolation: IsolationLevel::ReadCommitted,
                assignors: Assignors::only(AssignorName::Range)
                    .and(AssignorName::RoundRobin)
                    .expect("two names that differ"),
                max_poll_records: i32::MAX as u32,
                metadata_max_age: Duration::from_millis(900_000),
                reconnect_backoff: Duration::from_millis(100),
                reconnect_backoff_max: Duration::from_millis(10_000),
                ..java
            },
        }
    }
}
