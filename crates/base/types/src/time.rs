//! Time as a value: decisions take it as an argument and never read a clock.

use std::{ops::Add, time::Duration};

use serde::{Deserialize, Serialize};

/// Nanoseconds on one clock; which clock is the program's choice and said where it is read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// `nanos` after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `secs` after the clock's origin; saturates.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the clock's origin.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of time (584 years after the origin).
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Timestamp::from_secs(1);
        assert_eq!(
            second + Duration::from_millis(500),
            Timestamp::from_nanos(1_500_000_000)
        );
        assert_eq!((second + Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Timestamp::ZERO.saturating_since(second), Duration::ZERO);
        assert_eq!(
            second.saturating_since(Timestamp::ZERO),
            Duration::from_secs(1)
        );
    }
}
