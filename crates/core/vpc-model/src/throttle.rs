//! Request budgets: token buckets per action, as EC2 keeps them per account and Region.
//!
//! Amazon EC2 Developer Guide, "Request throttling for the Amazon EC2 API". The numbers are those
//! of accounts that nobody raised, as far as they are known; every one can be set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

use crate::{Ec2Error, ErrorCode};

/// A token is counted in units of 1 / (1e9 x 1e3): nanoseconds times thousandths a second.
const UNIT: u128 = 1_000_000_000_000;

/// How many tokens there are at once, and how many come a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Tokens at once.
    pub burst: u32,
    /// Tokens a second.
    pub per_second: Rate,
}

/// Tokens a second, to three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(u32);

/// A number that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no rate: 0 to 1000000 a second")]
pub struct RateError(f64);

/// The budgets of all actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Of each action that only reads: Describe, Get, List, Search.
    pub reading: Budget,
    /// Of each Describe without an id, a filter and a page.
    pub broad: Budget,
    /// Of each other action.
    pub changing: Budget,
    /// Of single actions, instead of the above.
    pub actions: BTreeMap<String, Budget>,
    /// Of what single actions make or end, a token for each; beside the calls themselves.
    pub resources: BTreeMap<String, Budget>,
}

/// What a token is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BucketKind {
    /// A call.
    Requests,
    /// A call that describes everything.
    Broad,
    /// Each thing that a call makes or ends.
    Resources,
}

/// A bucket that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketState {
    /// The action.
    pub action: String,
    /// What a token of it is taken for.
    pub kind: BucketKind,
    /// Whole tokens left.
    pub tokens: u64,
    /// Its budget.
    pub budget: Budget,
}

/// The buckets of one account in one Region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Of actions of the API only: their number is bounded.
    buckets: BTreeMap<(String, BucketKind), Bucket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    tokens: u128,
    filled: Timestamp,
}

// === impl Budget ===

impl Budget {
    const fn new(burst: u32, per_second: u32) -> Self {
        Self {
            burst,
            per_second: Rate(per_second * 1_000),
        }
    }
}

// === impl Rate ===

impl TryFrom<f64> for Rate {
    type Error = RateError;

    fn try_from(rate: f64) -> Result<Self, Self::Error> {
        if !(0.0..=1_000_000.0).contains(&rate) {
            return Err(RateError(rate));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1e9, checked above"
        )]
        let thousandths = (rate * 1_000.0).round() as u32;
        Ok(Self(thousandths))
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        Self::from(rate.0) / 1_000.0
    }
}

// === impl Budgets ===

impl Default for Budgets {
    fn default() -> Self {
        let named = |each: &[(&str, u32, u32)]| {
            let budget = |&(action, burst, per_second): &(&str, u32, u32)| {
                (action.to_owned(), Budget::new(burst, per_second))
            };
            each.iter().map(budget).collect::<BTreeMap<_, _>>()
        };
        let mut actions = named(&[
            ("CreateTags", 100, 10),
            ("RunInstances", 5, 2),
            ("TerminateInstances", 100, 5),
        ]);
        let endpoints = Budget {
            burst: 4,
            per_second: Rate(300),
        };
        for action in ["CreateVpcEndpoint", "ModifyVpcEndpoint"] {
            actions.insert(action.to_owned(), endpoints);
        }
        Self {
            reading: Budget::new(100, 20),
            broad: Budget::new(50, 10),
            changing: Budget::new(50, 5),
            actions,
            resources: named(&[
                ("RunInstances", 1_000, 2),
                ("StartInstances", 1_000, 2),
                ("StopInstances", 1_000, 20),
                ("TerminateInstances", 1_000, 20),
            ]),
        }
    }
}

impl Budgets {
    /// The budget of a bucket; `None` for resources that are not counted.
    #[must_use]
    pub fn of(&self, action: &str, kind: BucketKind) -> Option<Budget> {
        let reads = || {
            let verbs = ["Describe", "Get", "List", "Search"];
            verbs.iter().any(|verb| action.starts_with(verb))
        };
        match kind {
            BucketKind::Broad => Some(self.broad),
            BucketKind::Requests => Some(match self.actions.get(action) {
                Some(budget) => *budget,
                None if reads() => self.reading,
                None => self.changing,
            }),
            BucketKind::Resources => self.resources.get(action).copied(),
        }
    }
}

// === impl Throttle ===

impl Throttle {
    /// Takes a token for the call, and one for each of the `resources` that it makes or ends.
    ///
    /// The call's own token is spent also when those of resources are too few: the documentation
    /// is silent about it.
    ///
    /// # Errors
    /// `RequestLimitExceeded` when there are too few.
    pub fn admit(
        &mut self,
        budgets: &Budgets,
        action: &str,
        broad: bool,
        resources: u64,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let broad = broad && action.starts_with("Describe");
        let kind = if broad {
            BucketKind::Broad
        } else {
            BucketKind::Requests
        };
        let paid = self.take(budgets, action, kind, 1, now)
            && self.take(budgets, action, BucketKind::Resources, resources, now);
        if paid {
            return Ok(());
        }
        let text = "Request limit exceeded.";
        Err(Ec2Error::new(ErrorCode::RequestLimitExceeded, text))
    }

    /// The buckets that were used, and what is left in each.
    #[must_use]
    pub fn state(&self, budgets: &Budgets, now: Timestamp) -> Vec<BucketState> {
        let state = |((action, kind), bucket): (&(String, BucketKind), &Bucket)| {
            let budget = budgets.of(action, *kind)?;
            let tokens = bucket.refilled(budget, now).tokens / UNIT;
            Some(BucketState {
                action: action.clone(),
                kind: *kind,
                tokens: u64::try_from(tokens).unwrap_or(u64::MAX),
                budget,
            })
        };
        self.buckets.iter().filter_map(state).collect()
    }

    /// Fills all buckets.
    pub fn refill(&mut self) {
        self.buckets.clear();
    }

    fn take(
        &mut self,
        budgets: &Budgets,
        action: &str,
        kind: BucketKind,
        tokens: u64,
        now: Timestamp,
    ) -> bool {
        let Some(budget) = budgets.of(action, kind).filter(|_| tokens > 0) else {
            return true;
        };
        let full = Bucket {
            tokens: u128::from(budget.burst) * UNIT,
            filled: now,
        };
        let bucket = self
            .buckets
            .entry((action.to_owned(), kind))
            .or_insert(full);
        *bucket = bucket.refilled(budget, now);
        match bucket.tokens.checked_sub(u128::from(tokens) * UNIT) {
            Some(rest) => {
                bucket.tokens = rest;
                true
            }
            None => false,
        }
    }
}

impl Bucket {
    fn refilled(self, budget: Budget, now: Timestamp) -> Self {
        let waited = now.saturating_since(self.filled).as_nanos();
        let earned = waited.saturating_mul(u128::from(budget.per_second.0));
        let full = u128::from(budget.burst) * UNIT;
        Self {
            tokens: self.tokens.saturating_add(earned).min(full),
            filled: now.max(self.filled),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admitted(throttle: &mut Throttle, action: &str, broad: bool, now: Timestamp) -> usize {
        let budgets = Budgets::default();
        (0..10_000)
            .take_while(|_| throttle.admit(&budgets, action, broad, 0, now).is_ok())
            .count()
    }

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let mut throttle = Throttle::default();
        let start = Timestamp::from_secs(100);
        let attach = "AttachNetworkInterface";
        assert_eq!(admitted(&mut throttle, attach, false, start), 50);
        let later = start + Duration::from_secs(3);
        assert_eq!(admitted(&mut throttle, attach, false, later), 15);
        let much_later = start + Duration::from_secs(1_000);
        assert_eq!(admitted(&mut throttle, attach, false, much_later), 50);
    }

    #[test]
    fn a_thousand_attachments_take_190_seconds_at_best() {
        let (mut throttle, budgets) = (Throttle::default(), Budgets::default());
        let mut now = Timestamp::from_secs(100);
        let mut done = 0;
        while done < 1_000 {
            let attach = "AttachNetworkInterface";
            match throttle.admit(&budgets, attach, false, 0, now) {
                Ok(()) => done += 1,
                Err(_) => now = now + Duration::from_millis(100),
            }
        }
        assert_eq!(now, Timestamp::from_secs(100 + 190));
    }

    #[test]
    fn actions_and_broad_calls_have_buckets_of_their_own() {
        let mut throttle = Throttle::default();
        let now = Timestamp::ZERO;
        for (action, broad, calls) in [
            ("RunInstances", false, 5),
            ("DescribeInstances", false, 100),
            ("DescribeInstances", true, 50),
            ("GetSecurityGroupsForVpc", false, 100),
            ("GetSecurityGroupsForVpc", true, 0),
            ("CreateVpcEndpoint", false, 4),
            ("CreateTags", false, 100),
        ] {
            assert_eq!(
                admitted(&mut throttle, action, broad, now),
                calls,
                "{action}"
            );
        }
        let refused = throttle.admit(&Budgets::default(), "RunInstances", false, 1, now);
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.code.status()),
            ("RequestLimitExceeded", 503)
        );
    }

    #[test]
    fn instances_cost_tokens_beside_the_call() {
        let (mut throttle, budgets) = (Throttle::default(), Budgets::default());
        let now = Timestamp::from_secs(1);
        let mut run = |count, now| throttle.admit(&budgets, "RunInstances", false, count, now);
        assert!(run(900, now).is_ok());
        assert!(run(101, now).is_err());
        assert!(run(100, now).is_ok());
        assert!(run(7, now + Duration::from_secs(3)).is_err());
        assert!(run(6, now + Duration::from_secs(3)).is_ok());
        let states = throttle.state(&budgets, now + Duration::from_secs(3));
        let left: Vec<_> = states.iter().map(|each| (each.kind, each.tokens)).collect();
        assert_eq!(
            left,
            [(BucketKind::Requests, 3), (BucketKind::Resources, 0)]
        );
    }
}
