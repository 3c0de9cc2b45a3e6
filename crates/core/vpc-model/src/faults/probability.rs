//! How likely something is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

const WHOLE: u32 = 1_000_000;

/// How likely something is, 0 to 1, to six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(u32);

/// Something that is no probability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no probability: 0 to 1")]
pub struct ProbabilityError(String);

impl Probability {
    /// Every time.
    pub const ALWAYS: Self = Self(WHOLE);
    /// Not once.
    pub const NEVER: Self = Self(0);

    pub(crate) const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }

    /// Draws. Nothing is drawn from `rng` when it is certain.
    pub(crate) fn strikes(self, rng: &mut Rng) -> bool {
        match self.0 {
            0 => false,
            WHOLE => true,
            parts => rng.below(WHOLE) < parts,
        }
    }
}

impl Default for Probability {
    fn default() -> Self {
        Self::ALWAYS
    }
}

impl TryFrom<f64> for Probability {
    type Error = ProbabilityError;

    fn try_from(share: f64) -> Result<Self, Self::Error> {
        if !(0.0..=1.0).contains(&share) {
            return Err(ProbabilityError(share.to_string()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1e6, checked above"
        )]
        let parts = (share * f64::from(WHOLE)).round() as u32;
        Ok(Self(parts))
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        Self::from(probability.0) / Self::from(WHOLE)
    }
}

impl FromStr for Probability {
    type Err = ProbabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = text
            .parse::<f64>()
            .map_err(|_number| ProbabilityError(text.to_owned()))?;
        Self::try_from(share)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(*self))
    }
}
