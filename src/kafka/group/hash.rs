//! Which partition of `__consumer_offsets` keeps a group (`GroupCoordinatorService.partitionFor`): Java's
//! `String.hashCode` of the group id, made non-negative, modulo the partition count.

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
