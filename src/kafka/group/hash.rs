//! Where Java's `String.hashCode` decides what Kafka does: which partition of `__consumer_offsets` keeps a group
//! (`GroupCoordinatorService.partitionFor`), and in which order a `HashMap` of names is gone through.
//!
//! Simplified: a bucket of a `HashMap` that collected eight keys becomes a tree there and stays a list here; its
//! order is the same unless keys are removed.

/// The `__consumer_offsets` partition of the group called `name` when there are `count` of them.
pub fn partition_for_group(name: &str, count: u32) -> u32 {
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
    // 16 buckets, doubled as soon as more than three quarters are full.
    let mut buckets = 16;
    while keys.len() > buckets * 3 / 4 {
        buckets *= 2;
    }
    let mask = buckets as u32 - 1;
    let bucket = |key: &str| {
        let hash = java_hash(key) as u32;
        (hash ^ (hash >> 16)) & mask
    };
    let mut order = keys.to_vec();
    order.sort_by_key(|key| bucket(key));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hash_to_the_partitions_that_kafka_gives_them() {
        for (name, partition) in
            [("orders", 31), ("payments", 13), ("feeds_group", 21), ("billing", 9)]
        {
            assert_eq!(partition_for_group(name, 50), partition, "{name}");
        }
    }

    #[test]
    fn the_hash_is_java_s_also_at_its_edges() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN, "the classic string of this hash");
        assert_eq!(partition_for_group("polygenelubricants", 50), 0);
        assert_eq!(java_hash("\u{1f600}"), 0xd83d * 31 + 0xde00, "code units, not characters");
    }
}
