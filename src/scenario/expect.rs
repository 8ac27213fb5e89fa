//! What a scenario expects of a variant. A met expectation is success also when it is a loss.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::scenario::value::{Fact, TopicPartition};

/// One expectation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expectation {
    /// Messages the applications sent.
    Sent(Tally),
    /// Messages the producer was told are stored.
    Acked(Tally),
    /// Messages the producer was told have failed.
    Failed(Tally),
    /// Messages whose outcome the producer never learned.
    Unknown(Tally),
    /// The exception of each message that failed.
    FailedWith(BTreeMap<String, String>),
    /// Acknowledged messages that cannot be read at the end.
    Lost(Tally),
    /// Messages that are in the log more than once.
    Duplicated(Tally),
    /// Messages that a reader meets after one that was sent later to the same partition.
    Reordered(Tally),
    /// Messages that a follower has below its high watermark where the leader has another one.
    Diverged(Tally),
    /// Messages an application finished more than once in one group.
    Repeated(Tally),
    /// Readable messages below the committed offset that no member of the group has finished.
    Skipped(Tally),
    /// Readable messages that no member of a group has finished.
    Unprocessed(Tally),
    /// Readable messages of which an application should have made an output that `read_committed` readers see, and has
    /// not.
    Missing(Tally),
    /// Transactions of which `read_committed` readers find a part and not the rest, or a part though they were aborted:
    /// their first messages that can be read.
    Torn(Tally),
    /// Partitions whose last stable offset is held by a transaction that no coordinator will end.
    Hanging(Tally),
    /// Members of a group that own nothing at the end.
    Idle(String, Tally),
    /// Rows of a table that applications write to, by the id of the message they are of.
    Rows(String, Tally),
    /// Committed offsets of a group at the end.
    Committed(String, BTreeMap<TopicPartition, i64>),
    /// A fact recorded by `Observe`.
    Observed(String, Fact),
    /// A number recorded by `Observe`, or the length of a list it recorded: as many as this.
    Measured(String, Tally),
    /// Ids in the log of a partition at the end, in order.
    Log(TopicPartition, Vec<String>),
    /// Kafka refuses the settings: nothing runs. `ConfigException` from this client's constructor.
    ConfigException(String),
}

/// How many, or which: `3`, `["m3", "m4"]`, `"20..45"` (both ends included), `"1.."`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tally {
    /// From so many to so many.
    Between(u64, u64),
    /// Exactly these, by id.
    Ids(Vec<String>),
}

impl Tally {
    /// True when `ids` are as expected.
    pub fn holds(&self, ids: &[String]) -> bool {
        match self {
            Self::Between(low, high) => (*low..=*high).contains(&(ids.len() as u64)),
            Self::Ids(wanted) => {
                let (mut wanted, mut ids) = (wanted.clone(), ids.to_vec());
                wanted.sort_unstable();
                ids.sort_unstable();
                wanted == ids
            }
        }
    }

    /// True when so many are as expected; of a tally by id, its length counts.
    pub fn holds_count(&self, count: u64) -> bool {
        match self {
            Self::Between(low, high) => (*low..=*high).contains(&count),
            Self::Ids(wanted) => wanted.len() as u64 == count,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(low, high) if low == high => write!(f, "{low}"),
            Self::Between(low, u64::MAX) => write!(f, "{low}.."),
            Self::Between(low, high) => write!(f, "{low}..{high}"),
            Self::Ids(ids) => write!(f, "{}", ids.join(" ")),
        }
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Between(low, high) if low == high => serializer.serialize_u64(*low),
            Self::Between(..) => serializer.collect_str(self),
            Self::Ids(ids) => ids.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TallyVisitor;
        impl<'de> Visitor<'de> for TallyVisitor {
            type Value = Tally;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a range like \"20..45\" or \"1..\", or a list of ids")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Tally, E> {
                Ok(Tally::Between(v, v))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Tally, E> {
                let (low, high) = v
                    .split_once("..")
                    .ok_or_else(|| E::custom("a range is \"20..45\" or \"1..\""))?;
                let number = |s: &str| {
                    s.trim().parse::<u64>().map_err(|_| E::custom("a range has whole numbers"))
                };
                let high = if high.trim().is_empty() { u64::MAX } else { number(high)? };
                let low = number(low)?;
                if low > high {
                    return Err(E::custom(
                        "the range is empty: its first number is above its last",
                    ));
                }
                Ok(Tally::Between(low, high))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tally, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element()? {
                    ids.push(id);
                }
                Ok(Tally::Ids(ids))
            }
        }
        deserializer.deserialize_any(TallyVisitor)
    }
}
