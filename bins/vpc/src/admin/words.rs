//! What goes over the admin socket.

use serde::{Deserialize, Serialize};
use underlay_vpc_model::{Budget, Budgets, Delay, Hazard, Rate, Speed, Timings};

/// The VPC's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockState {
    /// What it shows, in UTC.
    pub now: String,
    /// The same as nanoseconds of the Unix clock.
    pub unix_nanos: u64,
    /// How it goes: 1 as the machine's, 0 by hand.
    pub speed: Speed,
    /// How long until something ends by itself; null when nothing will.
    pub next_in_seconds: Option<f64>,
}

/// What to do with the clock: one of the three, or several, the speed first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockRequest {
    /// How it is to go.
    pub speed: Option<Speed>,
    /// How far to move it.
    pub advance: Option<Delay>,
    /// Whether to move it to when something ends next.
    pub step: bool,
}

/// Which faults to switch off: those of all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultsOff {
    /// The one with this number.
    pub id: Option<u64>,
    /// Those of this hazard.
    pub hazard: Option<Hazard>,
    /// All of them, when nothing else is said.
    pub all: bool,
}

/// How many faults were switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedOff {
    /// How many.
    pub faults: usize,
}

/// What calls may cost and how long things take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Whether buckets throttle.
    pub throttles: bool,
    /// The budgets of calls.
    pub budgets: Budgets,
    /// The quotas.
    pub quotas: underlay_vpc_model::Limits,
    /// How long things take.
    pub timings: Timings,
}

/// What to change of the limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsRequest {
    /// Whether buckets are to throttle; they begin full.
    pub throttles: Option<bool>,
    /// Budgets to set.
    pub budgets: Vec<BudgetSetting>,
}

/// A budget to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSetting {
    /// `reading`, `broad`, `changing`, or an action.
    pub of: String,
    /// Whether it is that of the things an action makes or ends.
    #[serde(default)]
    pub resources: bool,
    /// Tokens at once.
    pub burst: u32,
    /// Tokens a second.
    pub per_second: Rate,
}

impl BudgetSetting {
    /// Sets it in `budgets`.
    pub(super) fn apply(&self, budgets: &mut Budgets) {
        let budget = Budget {
            burst: self.burst,
            per_second: self.per_second,
        };
        match (self.of.as_str(), self.resources) {
            ("reading", false) => budgets.reading = budget,
            ("broad", false) => budgets.broad = budget,
            ("changing", false) => budgets.changing = budget,
            (action, false) => {
                budgets.actions.insert(action.to_owned(), budget);
            }
            (action, true) => {
                budgets.resources.insert(action.to_owned(), budget);
            }
        }
    }
}

impl std::str::FromStr for BudgetSetting {
    type Err = String;

    /// Reads `AttachNetworkInterface=50/5`, or `RunInstances:resources=1000/2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no budget such as AttachNetworkInterface=50/5");
        let (of, numbers) = text.split_once('=').ok_or_else(wrong)?;
        let (of, resources) = match of.strip_suffix(":resources") {
            Some(action) => (action, true),
            None => (of, false),
        };
        let (burst, rate) = numbers.split_once('/').ok_or_else(wrong)?;
        let rate: f64 = rate.parse().map_err(|_number| wrong())?;
        Ok(Self {
            of: of.to_owned(),
            resources,
            burst: burst.parse().map_err(|_number| wrong())?,
            per_second: Rate::try_from(rate).map_err(|error| error.to_string())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_a_person_writes_them() {
        let mut budgets = Budgets::default();
        for text in [
            "reading=10/2",
            "AttachNetworkInterface=4/0.3",
            "RunInstances:resources=20/1",
        ] {
            text.parse::<BudgetSetting>().unwrap().apply(&mut budgets);
        }
        let budget = |burst, rate| Budget {
            burst,
            per_second: Rate::try_from(rate).unwrap(),
        };
        assert_eq!(budgets.reading, budget(10, 2.0));
        assert_eq!(budgets.actions["AttachNetworkInterface"], budget(4, 0.3));
        assert_eq!(budgets.resources["RunInstances"], budget(20, 1.0));
        for text in [
            "", "a", "a=1", "a=1/x", "a=-1/1", "a=1/-1", "a=1/NaN", "a=1/2/3",
        ] {
            assert!(text.parse::<BudgetSetting>().is_err(), "{text}");
        }
    }
}
