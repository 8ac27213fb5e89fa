//! Virtual time: whole microseconds since the start of a run. Nothing in the simulator reads a wall clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// A moment of virtual time, in microseconds since the start of the run.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Time(pub u64);

/// A span of virtual time, in microseconds.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Duration(pub u64);

impl Time {
    /// The start of every run.
    pub const ZERO: Self = Self(0);
    /// Later than every moment a run can reach.
    pub const NEVER: Self = Self(u64::MAX);

    /// What clocks show: milliseconds since 1970, as Kafka stamps records. Every run starts with the year 2026.
    pub fn timestamp(self) -> i64 {
        1_767_225_600_000 + (self.0 / 1_000) as i64
    }

    /// The span since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole milliseconds, the unit of Kafka's settings.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

/// Seconds with millisecond digits, as every screen and transcript writes a moment: `2.104`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

/// In the reader's unit: `250 µs`, `2 ms`, `8.3 s`, `45 s`, `2 min`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us < 1_000 => write!(f, "{us} µs"),
            us if us < 1_000_000 => write!(f, "{} ms", us / 1_000),
            us if us < 120_000_000 && us % 1_000_000 >= 50_000 => {
                write!(f, "{}.{} s", us / 1_000_000, us / 100_000 % 10)
            }
            us if us < 120_000_000 => write!(f, "{} s", us / 1_000_000),
            us if us < 7_200_000_000 => write!(f, "{} min", us / 60_000_000),
            us => write!(f, "{} h", us / 3_600_000_000),
        }
    }
}
