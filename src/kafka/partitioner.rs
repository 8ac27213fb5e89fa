//! Which partition a record goes to: by the hash of its key, sticky without one, or round robin.
//!
//! Kafka: `Utils.murmur2`, `BuiltInPartitioner` (KIP-480, KIP-794), `RoundRobinPartitioner`. Everything here is a
//! pure value; random numbers come in as arguments, so that recorded vectors can drive it. Partitions are indexes
//! within their topic.
//! Simplified: no racks (KIP-1123).

pub mod librdkafka;

/// Kafka's 32-bit murmur2 over `data`, signed as in Java.
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word: [u8; 4] = word.try_into().expect("chunks of four bytes");
        let mut k = u32::from_le_bytes(word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * place);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    (h ^ (h >> 15)) as i32
}

/// `Utils.toPositive`: clears the sign bit, which is not the absolute value.
pub fn to_positive(n: i32) -> u32 {
    n as u32 & 0x7fff_ffff
}

/// The partition of a record with `key`, of `partitions`.
///
/// # Panics
/// When `partitions` is 0.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    to_positive(murmur2(key)) % partitions
}

/// The partitions of a topic as a client sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicPartitions<'a> {
    /// How many there are.
    pub count: u32,
    /// Those with a known leader, in order.
    pub available: &'a [u32],
}

impl TopicPartitions<'_> {
    /// Partition number `n` of the available ones, round and round; of all when none is available.
    fn pick(self, n: u32) -> u32 {
        match self.available {
            [] => n % self.count,
            available => available[n as usize % available.len()],
        }
    }
}

/// The cumulative frequency table of adaptive partitioning: the shorter its queue, the likelier a partition is chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PartitionLoadStats {
    cumulative: Vec<u32>,
    partitions: Vec<u32>,
}

impl PartitionLoadStats {
    /// From the queue lengths of partitions. `queue_sizes` has an entry for every partition of the topic, of which the
    /// first `length` are usable and belong to `partitions`. `None` when weights would not help: fewer than two
    /// partitions, or all queues alike.
    pub fn new(queue_sizes: &[u32], partitions: &[u32], length: usize) -> Option<Self> {
        if length < 1 || queue_sizes.len() < 2 {
            return None;
        }
        let usable = &queue_sizes[..length];
        let all_equal = usable.iter().all(|size| *size == usable[0]);
        if all_equal && length == queue_sizes.len() {
            return None;
        }
        let longest = usable.iter().max().map_or(0, |size| *size);
        let mut sum = 0;
        let cumulative = usable
            .iter()
            .map(|size| {
                sum += longest + 1 - size;
                sum
            })
            .collect();
        Some(Self { cumulative, partitions: partitions[..length].to_vec() })
    }

    /// The partition that `random` stands for.
    fn pick(&self, random: u32) -> u32 {
        let total = self.cumulative[self.cumulative.len() - 1];
        let at = self.cumulative.partition_point(|sum| *sum <= random % total);
        self.partitions[at]
    }
}

/// The sticky partition of one topic.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct BuiltInPartitioner {
    current: Option<Sticky>,
    load: Option<PartitionLoadStats>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Sticky {
    partition: u32,
    produced: u32,
}

impl BuiltInPartitioner {
    /// Replaces the weights of the next choice.
    pub fn update_load_stats(&mut self, load: Option<PartitionLoadStats>) {
        self.load = load;
    }

    /// The partition a record without a key goes to now, if one is chosen.
    pub fn peek(&self) -> Option<u32> {
        self.current.map(|sticky| sticky.partition)
    }

    /// The partition a record without a key goes to now; chosen with `random` (31 bits) when there is none yet.
    pub fn current(&mut self, topic: TopicPartitions<'_>, random: impl FnOnce() -> u32) -> u32 {
        match self.current {
            Some(sticky) => sticky.partition,
            None => self.choose(topic, random()),
        }
    }

    /// `bytes` were appended to the current partition. Once `sticky_batch_size` bytes were, another choice is due,
    /// unless a batch is still open (`enable_switch` is false) and twice the size is not reached. Returns true when it
    /// is; [`BuiltInPartitioner::current`] then chooses, perhaps the same partition. Kafka counts in 32 bits with a
    /// sign: twice a `batch.size` of 1 GiB is below zero there, and every record may bring another partition.
    pub fn appended(
        &mut self,
        (bytes, sticky_batch_size): (u32, u32),
        enable_switch: bool,
    ) -> bool {
        let Some(sticky) = &mut self.current else { return false };
        sticky.produced = sticky.produced.wrapping_add(bytes);
        let (produced, size) = (sticky.produced as i32, sticky_batch_size as i32);
        let switch = (produced >= size && enable_switch) || produced >= size.wrapping_mul(2);
        if switch {
            self.current = None;
        }
        switch
    }

    fn choose(&mut self, topic: TopicPartitions<'_>, random: u32) -> u32 {
        let partition = match &self.load {
            Some(load) => load.pick(random),
            None => topic.pick(random),
        };
        self.current = Some(Sticky { partition, produced: 0 });
        partition
    }
}

/// `RoundRobinPartitioner` for one topic: keys are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RoundRobinPartitioner {
    counter: i32,
}

impl RoundRobinPartitioner {
    /// The next partition of the cycle over the available ones.
    pub fn next(&mut self, topic: TopicPartitions<'_>) -> u32 {
        let n = to_positive(self.counter);
        self.counter = self.counter.wrapping_add(1);
        topic.pick(n)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Key {
        #[serde(rename = "key_hex")]
        hex: String,
        murmur2: i32,
        positive: u32,
        partition: std::collections::BTreeMap<String, u32>,
    }

    #[test]
    fn keys_hash_as_kafka_hashes_them() {
        let mut seen = 0;
        for line in include_str!("../../tests/vectors/keys.jsonl").lines() {
            let vector: Key = serde_json::from_str(line).unwrap();
            let hex = vector.hex.as_bytes().chunks(2);
            let key: Vec<u8> = hex
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            assert_eq!(murmur2(&key), vector.murmur2, "{line}");
            assert_eq!(to_positive(murmur2(&key)), vector.positive, "{line}");
            for (partitions, expected) in &vector.partition {
                assert_eq!(partition_for_key(&key, partitions.parse().unwrap()), *expected);
            }
            seen += 1;
        }
        assert!(seen >= 60);
    }

    #[derive(Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum NullKey {
        Sticky {
            partitions: u32,
            batch_size: u32,
            unavailable: Vec<u32>,
            queue_sizes: Option<Vec<u32>>,
            length: Option<usize>,
            appends: Vec<(u32, u32, bool, u32)>,
            randoms: Vec<u32>,
        },
        RoundRobin {
            partitions: u32,
            unavailable: Vec<u32>,
            sequence: Vec<(String, bool, u32)>,
        },
    }

    #[test]
    fn records_without_a_key_go_where_kafka_puts_them() {
        let mut seen = 0;
        for line in include_str!("../../tests/vectors/nullkey.jsonl").lines() {
            match serde_json::from_str(line).unwrap() {
                NullKey::RoundRobin { partitions, unavailable, sequence } => {
                    let available = without(partitions, &unavailable);
                    let [mut t, mut u] = [RoundRobinPartitioner::default(); 2];
                    for (topic, _, expected) in sequence {
                        let got = match topic.as_str() {
                            "t" => {
                                t.next(TopicPartitions { count: partitions, available: &available })
                            }
                            _ => u.next(TopicPartitions { count: 3, available: &[0, 1, 2] }),
                        };
                        assert_eq!(got, expected, "{line}");
                    }
                }
                vector @ NullKey::Sticky { .. } => sticky(line, vector),
            }
            seen += 1;
        }
        assert!(seen >= 15);
    }

    fn without(partitions: u32, unavailable: &[u32]) -> Vec<u32> {
        (0..partitions).filter(|p| !unavailable.contains(p)).collect()
    }

    fn sticky(line: &str, vector: NullKey) {
        let NullKey::Sticky {
            partitions,
            batch_size,
            unavailable,
            queue_sizes,
            length,
            appends,
            randoms,
        } = vector
        else {
            unreachable!("the caller looked");
        };
        let available = without(partitions, &unavailable);
        let topic = TopicPartitions { count: partitions, available: &available };
        let mut partitioner = BuiltInPartitioner::default();
        if let Some(sizes) = queue_sizes {
            let ids: Vec<u32> = (0..sizes.len() as u32).collect();
            let length = length.unwrap_or(sizes.len());
            partitioner.update_load_stats(PartitionLoadStats::new(&sizes, &ids, length));
        }
        let mut randoms = randoms.into_iter();
        for (before, bytes, enable_switch, after) in appends {
            assert_eq!(partitioner.current(topic, || randoms.next().unwrap()), before, "{line}");
            partitioner.appended((bytes, batch_size), enable_switch);
            assert_eq!(partitioner.current(topic, || randoms.next().unwrap()), after, "{line}");
        }
    }
}
