//! Lengths of time as a person writes them: `300ms`, `10s`, `2m`, or a range such as `1s..10s`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How long something takes: any time between two, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delay {
    from_ms: u64,
    to_ms: u64,
}

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time such as 300ms, 10s, 2m or 1h, nor a range such as 1s..10s")]
pub struct DelayError(String);

impl Delay {
    /// No time at all.
    pub const NONE: Self = Self::millis(0, 0);
    /// More is taken for a mistake.
    const MAX_MS: u64 = 366 * 24 * 3_600_000;

    pub(crate) const fn millis(from_ms: u64, to_ms: u64) -> Self {
        Self { from_ms, to_ms }
    }

    /// The longest it can take.
    #[must_use]
    pub const fn longest(self) -> Duration {
        Duration::from_millis(self.to_ms)
    }

    /// Draws one. Nothing is drawn from `rng` when there is no choice.
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        let width = u32::try_from(self.to_ms - self.from_ms).unwrap_or(u32::MAX - 1);
        let more = if width == 0 { 0 } else { rng.below(width + 1) };
        Duration::from_millis(self.from_ms + u64::from(more))
    }
}

impl FromStr for Delay {
    type Err = DelayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DelayError(text.to_owned());
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from_ms, to_ms) = (
            millis(from).ok_or_else(wrong)?,
            millis(to).ok_or_else(wrong)?,
        );
        if from_ms > to_ms || to_ms > Self::MAX_MS {
            return Err(wrong());
        }
        Ok(Self { from_ms, to_ms })
    }
}

fn millis(text: &str) -> Option<u64> {
    let at = text.find(|each: char| !each.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self.from_ms))?;
        if self.from_ms == self.to_ms {
            return Ok(());
        }
        write!(f, "..{}", text(self.to_ms))
    }
}

fn text(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

impl TryFrom<String> for Delay {
    type Error = DelayError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Delay> for String {
    fn from(delay: Delay) -> Self {
        delay.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read_and_written_alike() {
        for text in [
            "0s",
            "300ms",
            "10s",
            "2m",
            "1h",
            "300ms..1s",
            "1s..10s",
            "0s..5m",
        ] {
            assert_eq!(text.parse::<Delay>().unwrap().to_string(), text);
        }
        assert_eq!("2d".parse::<Delay>().unwrap().to_string(), "48h");
        for text in [
            "",
            "1",
            "s",
            "-1s",
            "2s..1s",
            "1s..",
            "..1s",
            "1.5s",
            "400d",
            "1s..2s..3s",
        ] {
            assert!(text.parse::<Delay>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends() {
        let mut rng = Rng::new(1);
        let delay: Delay = "1ms..3ms".parse().unwrap();
        let drawn: std::collections::BTreeSet<_> =
            (0..100).map(|_| delay.draw(&mut rng).as_millis()).collect();
        assert_eq!(drawn, [1, 2, 3].into());
        let before = rng.clone();
        assert_eq!(Delay::millis(5, 5).draw(&mut rng), Duration::from_millis(5));
        assert_eq!(rng, before);
    }
}
