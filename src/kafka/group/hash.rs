//! Where Java's `String.hashCode` decides what Kafka does: which partition of `__consumer_offsets` keeps a group
//! (`GroupCoordinatorService.partitionFor`) and which one of `__transaction_state` a transactional id, and in which
//! order a `HashMap` or a `HashSet` is gone through.
//!
//! Simplified: a bucket of a `HashMap` that collected eight keys becomes a tree there and stays a list here; its
//! order is the same unless keys are removed.

/// The buckets of an empty `HashMap`.
const BUCKETS: usize = 16;

/// The partition of an internal topic that keeps the group or transactional id `name` when there are `count` of them.
pub fn partition_for(name: &str, count: u32) -> u32 {
    absolute(java_hash(name)) % count
}

/// Java's `String.hashCode`: over UTF-16 code units, wrapping.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// Kafka's `Utils.abs`: 0 for the one number that has no positive counterpart.
fn absolute(n: i32) -> u32 {
    n.checked_abs().unwrap_or(0) as u32
}

/// `keys`, inserted into an empty `HashMap` in this order, in the order of its iteration.
pub fn hash_map_order<'a>(keys: &[&'a str]) -> Vec<&'a str> {
    // Doubled as soon as more than three quarters are full.
    in_buckets(keys, grown(BUCKETS, keys.len()), |key| java_hash(key))
}

/// `items` as `new HashSet<>(items)` hands them out: it is made large enough at once.
pub fn hash_set_order<T: Copy>(items: &[T], hash: impl Fn(&T) -> i32) -> Vec<T> {
    in_buckets(items, (items.len() * 4 / 3 + 1).max(BUCKETS).next_power_of_two(), hash)
}

/// `items`, put one after the other into a `HashMap`, in the order of its iteration.
pub fn hash_order<T: Copy>(items: &[T], hash: impl Fn(&T) -> i32) -> Vec<T> {
    in_buckets(items, grown(BUCKETS, items.len()), hash)
}

fn in_buckets<T: Copy>(items: &[T], buckets: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let mut order = items.to_vec();
    order.sort_by_key(|item| bucket(hash(item), buckets));
    order
}

fn grown(mut buckets: usize, items: usize) -> usize {
    while items > buckets * 3 / 4 {
        buckets *= 2;
    }
    buckets
}

/// `HashMap.hash`, and the bucket it selects.
fn bucket(hash: i32, buckets: usize) -> u32 {
    let hash = hash as u32;
    (hash ^ (hash >> 16)) & (buckets as u32 - 1)
}

/// The elements of a `HashSet` that grew and shrank: its table never gets smaller.
#[derive(Clone, Debug)]
pub struct HashOrdered<T> {
    /// With their hashes, in the order of insertion.
    items: Vec<(i32, T)>,
    buckets: usize,
}

impl<T> Default for HashOrdered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), buckets: BUCKETS }
    }
}

impl<T: Copy + PartialEq> HashOrdered<T> {
    /// Adds an item that is not in it.
    pub fn insert(&mut self, hash: i32, item: T) {
        self.items.push((hash, item));
        self.buckets = grown(self.buckets, self.items.len());
    }

    /// Removes an item.
    pub fn remove(&mut self, item: T) {
        self.items.retain(|(_, other)| *other != item);
    }

    /// What its iterator hands out first.
    pub fn first(&self) -> Option<T> {
        self.items.iter().min_by_key(|(hash, _)| bucket(*hash, self.buckets)).map(|(_, item)| *item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hash_to_the_partitions_that_kafka_gives_them() {
        for (name, partition) in
            [("orders", 31), ("payments", 13), ("feeds_group", 21), ("billing", 9)]
        {
            assert_eq!(partition_for(name, 50), partition, "{name}");
        }
    }

    #[test]
    fn the_hash_is_java_s_also_at_its_edges() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN, "the classic string of this hash");
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(java_hash("\u{1f600}"), 0xd83d * 31 + 0xde00, "code units, not characters");
    }

    #[test]
    fn a_set_made_of_a_collection_is_larger_than_one_that_grew() {
        let twelve: Vec<u32> = (0..12).map(|n| n * 2 + 10).collect();
        let hash = |n: &u32| *n as i32;
        assert_eq!(hash_order(&twelve, hash)[..3], [16, 32, 18], "16 buckets");
        assert_eq!(hash_set_order(&twelve, hash)[..3], [32, 10, 12], "32 buckets");
    }

    #[test]
    fn a_set_that_shrank_keeps_its_table() {
        let mut set = HashOrdered::default();
        for n in 4..17 {
            set.insert(n, n);
        }
        (5..16).for_each(|n| set.remove(n));
        assert_eq!(set.first(), Some(4), "32 buckets: 16 does not come first");
    }
}
