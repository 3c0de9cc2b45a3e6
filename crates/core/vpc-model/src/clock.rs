//! The VPC's clock: it follows the machine's at some speed, or stands until it is moved by hand.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

/// Thousandths of a second of the VPC that pass in a second of the machine.
const UNIT: u32 = 1_000;

/// The VPC's clock, as a function of the machine's monotonic one. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualClock {
    /// A moment of the machine's clock,
    real: Timestamp,
    /// what the VPC's clock showed then,
    shown: Timestamp,
    /// and how it goes since.
    speed: Speed,
}

/// How fast the VPC's clock goes: 1 as the machine's, 0 not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Speed(u32);

/// Text that is no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no speed: 0 to 1000000, with at most three decimals")]
pub struct SpeedError(String);

// === impl VirtualClock ===

impl VirtualClock {
    /// A clock that shows `shown` at the moment `real` of the machine's.
    #[must_use]
    pub const fn new(real: Timestamp, shown: Timestamp, speed: Speed) -> Self {
        Self { real, shown, speed }
    }

    /// What it shows.
    #[must_use]
    pub fn at(&self, real: Timestamp) -> Timestamp {
        let passed = real.saturating_since(self.real).as_nanos();
        let passed = passed.saturating_mul(u128::from(self.speed.0)) / u128::from(UNIT);
        self.shown + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// How it goes.
    #[must_use]
    pub const fn speed(&self) -> Speed {
        self.speed
    }

    /// Has it go at another speed from now on.
    pub fn set_speed(&mut self, speed: Speed, real: Timestamp) {
        *self = Self::new(real, self.at(real), speed);
    }

    /// Moves it forward. Returns what it shows then.
    pub fn advance(&mut self, by: Duration, real: Timestamp) -> Timestamp {
        *self = Self::new(real, self.at(real) + by, self.speed);
        self.shown
    }

    /// How long the machine has to wait until the clock shows `deadline`; `None` while it stands.
    #[must_use]
    pub fn wait(&self, deadline: Timestamp, real: Timestamp) -> Option<Duration> {
        let left = deadline.saturating_since(self.at(real)).as_nanos();
        if left == 0 {
            return Some(Duration::ZERO);
        }
        // Rounded up: whoever wakes finds the deadline reached.
        let wait = (left.saturating_mul(u128::from(UNIT))).checked_div(u128::from(self.speed.0))?;
        let wait = u64::try_from(wait.saturating_add(1)).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(wait))
    }
}

// === impl Speed ===

impl Speed {
    /// As the machine's clock.
    pub const REAL: Self = Self(UNIT);
    /// Not at all.
    pub const STOPPED: Self = Self(0);
    const MAX: u32 = 1_000_000;
}

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || SpeedError(text.to_owned());
        let digits = |part: &str| part.chars().all(|each| each.is_ascii_digit());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if decimals.is_empty() || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_number| wrong())?;
        let decimals: u32 = format!("{decimals:0<3}")
            .parse()
            .map_err(|_number| wrong())?;
        match whole {
            0..Self::MAX => Ok(Self(whole * UNIT + decimals)),
            Self::MAX if decimals == 0 => Ok(Self(whole * UNIT)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / UNIT, self.0 % UNIT);
        if decimals == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{decimals:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl TryFrom<String> for Speed {
    type Error = SpeedError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Speed> for String {
    fn from(speed: Speed) -> Self {
        speed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn speed(text: &str) -> Speed {
        text.parse().unwrap()
    }

    #[test]
    fn it_goes_at_its_speed_and_keeps_what_it_showed() {
        let mut clock = VirtualClock::new(secs(10), secs(1_000), Speed::REAL);
        assert_eq!(clock.at(secs(15)), secs(1_005));
        clock.set_speed(speed("60"), secs(15));
        assert_eq!(clock.at(secs(17)), secs(1_125));
        clock.set_speed(speed("0.5"), secs(17));
        assert_eq!(clock.at(secs(21)), secs(1_127));
        // A machine's clock that goes back stops it; it does not follow.
        assert_eq!(clock.at(secs(5)), secs(1_125));
    }

    #[test]
    fn by_hand_it_moves_only_when_told() {
        let mut clock = VirtualClock::new(secs(10), secs(1_000), Speed::STOPPED);
        assert_eq!(clock.at(secs(99)), secs(1_000));
        assert_eq!(clock.wait(secs(1_001), secs(99)), None);
        let shown = clock.advance(Duration::from_secs(7), secs(99));
        assert_eq!((shown, clock.at(secs(200))), (secs(1_007), secs(1_007)));
        assert_eq!(clock.wait(secs(1_007), secs(200)), Some(Duration::ZERO));
    }

    #[test]
    fn whoever_waits_as_told_finds_the_deadline_reached() {
        for text in ["0.001", "0.3", "1", "7", "333.333", "1000000"] {
            let clock = VirtualClock::new(secs(10), secs(1_000), speed(text));
            for nanos in [1, 2, 999, 1_000_000_007] {
                let deadline = Timestamp::from_nanos(secs(1_000).as_nanos() + nanos);
                let wait = clock.wait(deadline, secs(10)).unwrap();
                assert!(clock.at(secs(10) + wait) >= deadline, "{text} {nanos}");
            }
        }
    }

    #[test]
    fn speeds_are_read_and_written_alike() {
        for text in ["0", "1", "0.5", "0.001", "60", "12.25", "1000000"] {
            assert_eq!(speed(text).to_string(), text);
        }
        assert_eq!(speed("1.500"), speed("1.5"));
        for text in [
            "",
            ".",
            "1.",
            "-1",
            "+1",
            "1.0001",
            "1000000.001",
            "x",
            "1e3",
        ] {
            assert!(text.parse::<Speed>().is_err(), "{text:?}");
        }
    }
}
