//! How long clients wait before they try again: doubling, capped, with 20 % jitter either way.
//!
//! Kafka: `ExponentialBackoff` (KIP-580), with `CommonClientConfigs.RETRY_BACKOFF_EXP_BASE` and `_JITTER`.
//! Simplified: Kafka draws the jitter anew each time it looks at the clock; here it is drawn once an attempt, which
//! gives the same range and one draw of luck instead of an unbounded number.

use crate::base::time::Duration;
use crate::kafka::effects::Effects;

/// Parts per thousand by which a wait may be shorter or longer.
const JITTER: u64 = 200;

/// A doubling back-off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExponentialBackoff {
    initial: Duration,
    max: Duration,
}

impl ExponentialBackoff {
    /// From `initial` (capped by `max`) doubling up to `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial: initial.min(max), max }
    }

    /// The wait before attempt number `attempts` (from 0) is repeated, without jitter.
    pub fn term(self, attempts: u32) -> Duration {
        Duration(self.initial.0.saturating_mul(1 << attempts.min(40))).min(self.max)
    }

    /// The wait before attempt number `attempts` (from 0) is repeated. Where there is nothing to double there is no
    /// jitter either, and the cap holds after the jitter: both as in Kafka.
    pub fn backoff(self, attempts: u32, fx: &mut Effects) -> Duration {
        if self.max <= self.initial || self.initial == Duration::ZERO {
            return self.initial;
        }
        let factor = 1_000 - JITTER + fx.choose(2 * JITTER);
        self.scaled(attempts, factor)
    }

    /// The wait with a given jitter, in parts per thousand.
    fn scaled(self, attempts: u32, per_mille: u64) -> Duration {
        let micros = u128::from(self.term(attempts).0) * u128::from(per_mille) / 1_000;
        // Kafka counts whole milliseconds.
        Duration::from_millis(micros as u64 / 1_000).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_cap_and_the_cap_holds_after_jitter() {
        let backoff =
            ExponentialBackoff::new(Duration::from_millis(100), Duration::from_millis(1_000));
        let table: [(u32, u64, u64); 7] = [
            (0, 1_000, 100),
            (1, 1_000, 200),
            (3, 1_000, 800),
            (4, 1_000, 1_000),
            (40, 1_199, 1_000),
            (0, 800, 80),
            (4, 800, 800),
        ];
        for (attempts, per_mille, millis) in table {
            assert_eq!(backoff.scaled(attempts, per_mille), Duration::from_millis(millis));
        }
    }
}
