//! The hashes of librdkafka's partitioners (`rdkafka_msg.c`, `rdcrc32.c`, `rdfnv1a.c`, `rdmurmur2.c`).

use crate::base::librdkafka::KeyHash;
use crate::kafka::partitioner::{murmur2, to_positive};

/// CRC-32 of IEEE 802.3.
pub fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// FNV-1a of 32 bits, the absolute value of the signed number.
pub fn fnv1a(data: &[u8]) -> u32 {
    let hash = data
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash as i32).unsigned_abs()
}

/// The partition of `key`, of `partitions`.
///
/// # Panics
/// When `partitions` is 0.
pub fn partition_by(hash: KeyHash, key: &[u8], partitions: u32) -> u32 {
    let number = match hash {
        KeyHash::Crc32 => crc32(key),
        KeyHash::Murmur2 => to_positive(murmur2(key)),
        KeyHash::Fnv1a => fnv1a(key),
    };
    number % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_librdkafka_hashes_them() {
        for (key, crc, fnv) in [
            ("", 0, 2_128_831_035),
            ("k1", 2_517_541_033, 1_740_799_807),
            ("k3", 2_013_315_461, 1_774_355_045),
        ] {
            assert_eq!((crc32(key.as_bytes()), fnv1a(key.as_bytes())), (crc, fnv), "{key}");
        }
        assert_eq!(partition_by(KeyHash::Murmur2, b"k1", 6), 5);
    }
}
