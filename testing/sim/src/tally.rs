//! What happened in one schedule, or in many, counted.

use std::{collections::BTreeMap, fmt};

/// What happened, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Schedules without a violation.
    pub schedules: u64,
    /// Events that were handled.
    pub steps: u64,
    /// EC2 calls by action, and what else happened, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Faults by name.
    pub faults: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn add_fault(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.faults.entry(what.to_owned()).or_default() += times;
        }
    }

    /// How often something happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        for (what, times) in &other.counts {
            *self.counts.entry(what).or_default() += times;
        }
        for (what, times) in &other.faults {
            *self.faults.entry(what.clone()).or_default() += times;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} schedules, {} steps", self.schedules, self.steps)?;
        for (what, times) in &self.counts {
            writeln!(f, "  {what:<34} {times:>12}")?;
        }
        writeln!(f, "faults")?;
        for (what, times) in &self.faults {
            writeln!(f, "  {what:<34} {times:>12}")?;
        }
        Ok(())
    }
}
