//! Where Java's `String.hashCode` decides what Kafka does: which partition of `__consumer_offsets` keeps a group
//! (`GroupCoordinatorService.partitionFor`) and which one of `__transaction_state` a transactional id, and in which
//! order a `HashMap` or a `HashSet` is gone through.
//!
//! Simplified: in a table of 64 buckets or more, one that collected nine keys becomes a tree there and stays a list
//! here. Of random keys that is one in ten million.

/// The buckets of an empty `HashMap`.
const BUCKETS: usize = 16;

/// Tables with fewer buckets than this (`MIN_TREEIFY_CAPACITY`) double instead of making a tree of a long bucket.
const TREES_FROM: usize = 64;

/// As many keys are too many for a bucket when another one comes (`TREEIFY_THRESHOLD`).
const LONG_BUCKET: usize = 8;

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

/// `keys`, put one after the other into an empty `HashMap`, in the order of its iteration.
pub fn hash_map_order<'a>(keys: &[&'a str]) -> Vec<&'a str> {
    hash_order(keys, |key| java_hash(key))
}

/// The keys of a `HashMap` that was asked by `computeIfAbsent` for each of `keys`, which may repeat. Unlike `put` it
/// doubles a full table only with the next call, of whatever key, and makes a new key the head of its bucket.
pub fn compute_if_absent_order<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let hash = |key: &&str| java_hash(key);
    let (mut buckets, mut seen) = (BUCKETS, Vec::new());
    for key in keys {
        if full(buckets, seen.len()) {
            buckets *= 2;
        }
        if seen.contains(&key) {
            continue;
        }
        if in_bucket(buckets, &seen, &key, hash) + 1 >= LONG_BUCKET {
            buckets *= 2;
        }
        seen.push(key);
    }
    seen.reverse();
    in_buckets(&seen, buckets, hash)
}

/// `items` as `new HashSet<>(items)` hands them out: it is made large enough at once.
pub fn hash_set_order<T: Copy>(items: &[T], hash: impl Fn(&T) -> i32) -> Vec<T> {
    let buckets = (items.len() * 4 / 3 + 1).max(BUCKETS).next_power_of_two();
    in_buckets(items, grown(buckets, items, &hash), hash)
}

/// `items`, put one after the other into a `HashMap`, in the order of its iteration.
pub fn hash_order<T: Copy>(items: &[T], hash: impl Fn(&T) -> i32) -> Vec<T> {
    in_buckets(items, grown(BUCKETS, items, &hash), hash)
}

fn in_buckets<T: Copy>(items: &[T], buckets: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let mut order = items.to_vec();
    order.sort_by_key(|item| bucket(hash(item), buckets));
    order
}

/// The buckets of a table after all `items` were put into it.
fn grown<T>(buckets: usize, items: &[T], hash: impl Fn(&T) -> i32) -> usize {
    let table = |buckets, len: usize| grown_by(buckets, &items[..len], &items[len], &hash);
    (0..items.len()).fold(buckets, table)
}

/// The buckets of a table of `items` after `new` was put into it: doubled where its bucket is too long for a small
/// table, and as soon as more than three quarters are full.
fn grown_by<T>(mut buckets: usize, items: &[T], new: &T, hash: impl Fn(&T) -> i32) -> usize {
    if in_bucket(buckets, items, new, hash) >= LONG_BUCKET {
        buckets *= 2;
    }
    if full(buckets, items.len() + 1) { buckets * 2 } else { buckets }
}

fn full(buckets: usize, len: usize) -> bool {
    len > buckets * 3 / 4
}

/// How many of `items` are in the bucket of `new`; 0 in a table so large that it does not matter.
fn in_bucket<T>(buckets: usize, items: &[T], new: &T, hash: impl Fn(&T) -> i32) -> usize {
    let of = |item| bucket(hash(item), buckets);
    if buckets < TREES_FROM { items.iter().filter(|item| of(item) == of(new)).count() } else { 0 }
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
        let new = (hash, item);
        self.buckets = grown_by(self.buckets, &self.items, &new, |(hash, _)| *hash);
        self.items.push(new);
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
    fn computed_keys_fill_a_table_further_and_come_first() {
        let keys = ["H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T"];
        let has = |buckets, order: &[&str]| {
            let place = |key: &str| bucket(java_hash(key), buckets);
            order.windows(2).all(|pair| place(pair[0]) <= place(pair[1]))
        };
        let computed = |more: &[&'static str]| {
            compute_if_absent_order(keys.iter().copied().chain(more.iter().copied()))
        };
        let (put, full, asked_again) = (hash_map_order(&keys), computed(&[]), computed(&["H"]));
        assert!(has(32, &put) && !has(16, &put), "{put:?}");
        assert!(has(16, &full) && !has(32, &full), "{full:?}");
        assert!(has(32, &asked_again) && asked_again.len() == 13, "{asked_again:?}");
        assert_eq!(compute_if_absent_order(["Aa", "BB"].into_iter()), ["BB", "Aa"], "one bucket");
    }

    #[test]
    fn a_small_table_doubles_for_the_ninth_key_of_a_bucket() {
        let same: Vec<i32> = (0..9).map(|n| n * 32).chain([16]).collect();
        assert_eq!(hash_order(&same, |n| *n)[8..], [256, 16], "32 buckets");
        let eight: Vec<i32> = (0..8).map(|n| n * 32).chain([1]).collect();
        assert_eq!(hash_order(&eight, |n| *n)[8..], [1]);
        let mut set = HashOrdered::default();
        (0..9).for_each(|n| set.insert(16 + n * 32, 16 + n * 32));
        set.insert(1, 1);
        assert_eq!(set.first(), Some(1), "32 buckets: 16 does not come first");
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
