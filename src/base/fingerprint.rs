//! A stable 64-bit hash of state, for bounded exhaustive search and for comparing two simulations: FNV-1a, the same on
//! every platform and in every version of Rust. Stored times go in relative to now, histories stay out, so that
//! two states with the same future have the same fingerprint.

use std::hash::{Hash, Hasher};

use crate::base::time::Time;

/// Collects a fingerprint. Machines have `fn fingerprint(&self, now: Time, into: &mut Fingerprint)`.
#[derive(Clone, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds any plain value.
    pub fn add(&mut self, value: impl Hash) {
        value.hash(self);
    }

    /// Adds a stored moment as its distance from `now`.
    pub fn add_time(&mut self, now: Time, at: Time) {
        self.add(at.0.wrapping_sub(now.0));
    }

    /// The fingerprint so far.
    pub fn value(&self) -> u64 {
        self.0
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    // The integers are written little-endian so that the value does not depend on the platform.
    fn write_u16(&mut self, n: u16) {
        self.write(&n.to_le_bytes());
    }
    fn write_u32(&mut self, n: u32) {
        self.write(&n.to_le_bytes());
    }
    fn write_u64(&mut self, n: u64) {
        self.write(&n.to_le_bytes());
    }
    fn write_usize(&mut self, n: usize) {
        self.write(&(n as u64).to_le_bytes());
    }
}
