//! What the client allows itself: a token bucket per action, so that one node does not spend the
//! account's budget, and a throttled action slows down.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A bucket of tokens; each attempt takes one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Tokens it holds at most, and at first.
    pub capacity: f64,
    /// Tokens it gains each second; must be above zero.
    pub refill_per_second: f64,
}

/// The buckets by action. The default is what AWS documents for an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Budgets {
    /// For each action that only looks.
    pub describe: Bucket,
    /// For each action that changes something.
    pub mutate: Bucket,
    /// For single actions, by name.
    pub by_action: BTreeMap<String, Bucket>,
}

/// How slow a throttled action becomes at least, as a share of its refill,
const PACE_MIN: f64 = 1.0 / 16.0;
/// and how much of its refill it regains each second without a throttle.
const PACE_REGAINED: f64 = 1.0 / 60.0;

/// The tokens left.
#[derive(Debug)]
pub(crate) struct Ledger {
    budgets: Budgets,
    levels: Mutex<HashMap<&'static str, Level>>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// Below zero by what is promised to those who wait.
    tokens: f64,
    /// The share of its refill that an action has: halved by each throttle.
    pace: f64,
    at: Instant,
}

// === impl Budgets ===

impl Default for Budgets {
    fn default() -> Self {
        Self {
            describe: Bucket {
                capacity: 100.0,
                refill_per_second: 20.0,
            },
            mutate: Bucket {
                capacity: 50.0,
                refill_per_second: 5.0,
            },
            by_action: BTreeMap::new(),
        }
    }
}

impl Budgets {
    /// No limit that anyone would notice, for a VPC of one's own.
    #[must_use]
    pub fn unlimited() -> Self {
        let bucket = Bucket {
            capacity: 1e9,
            refill_per_second: 1e9,
        };
        Self {
            describe: bucket,
            mutate: bucket,
            by_action: BTreeMap::new(),
        }
    }

    fn of(&self, action: &str) -> Bucket {
        let class = if action.starts_with("Describe") {
            self.describe
        } else {
            self.mutate
        };
        self.by_action.get(action).copied().unwrap_or(class)
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(budgets: Budgets) -> Self {
        Self {
            budgets,
            levels: Mutex::default(),
        }
    }

    /// Takes a token of `action` and says how long to wait before using it, or, if that is more
    /// than `patience`, takes none and says how long it would have been.
    pub(crate) fn take(
        &self,
        action: &'static str,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let bucket = self.budgets.of(action);
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry(action).or_insert(Level {
            tokens: bucket.capacity,
            pace: 1.0,
            at: now,
        });
        let elapsed = now.saturating_duration_since(level.at).as_secs_f64();
        let gained = elapsed * bucket.refill_per_second * level.pace;
        level.tokens = (level.tokens + gained).min(bucket.capacity);
        level.pace = elapsed.mul_add(PACE_REGAINED, level.pace).min(1.0);
        level.at = level.at.max(now);
        let missing = (1.0 - level.tokens).max(0.0);
        let wait = missing / (bucket.refill_per_second * level.pace);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        if wait > patience {
            return Err(wait);
        }
        level.tokens -= 1.0;
        Ok(wait)
    }

    /// EC2 throttled `action`: others share the account's bucket, so ours is empty too, and fills
    /// more slowly for a while.
    pub(crate) fn throttled(&self, action: &'static str) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = levels.get_mut(action) {
            level.tokens = level.tokens.min(0.0);
            level.pace = (level.pace / 2.0).max(PACE_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(capacity: f64, refill_per_second: f64) -> Ledger {
        let bucket = Bucket {
            capacity,
            refill_per_second,
        };
        Ledger::new(Budgets {
            describe: bucket,
            mutate: bucket,
            by_action: BTreeMap::new(),
        })
    }

    #[test]
    fn a_burst_is_free_then_the_refill_sets_the_pace() {
        let ledger = ledger(2.0, 4.0);
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        let waits: Vec<_> = (0..4)
            .map(|_| ledger.take("CreateX", now, minute).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 250, 500]);
        let later = now + Duration::from_secs(1);
        assert_eq!(ledger.take("CreateX", later, minute), Ok(Duration::ZERO));
    }

    #[test]
    fn who_cannot_wait_takes_nothing() {
        let ledger = ledger(1.0, 1.0);
        let now = Instant::now();
        assert_eq!(
            ledger.take("CreateX", now, Duration::ZERO),
            Ok(Duration::ZERO)
        );
        for _ in 0..3 {
            let refused = ledger.take("CreateX", now, Duration::from_millis(500));
            assert_eq!(refused, Err(Duration::from_secs(1)));
        }
    }

    #[test]
    fn actions_have_buckets_of_their_own_and_a_throttle_empties_one_and_slows_it() {
        let ledger = ledger(10.0, 1.0);
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        assert_eq!(ledger.take("CreateX", now, minute), Ok(Duration::ZERO));
        ledger.throttled("CreateX");
        assert_eq!(
            ledger.take("CreateX", now, minute),
            Ok(Duration::from_secs(2))
        );
        assert_eq!(ledger.take("CreateY", now, minute), Ok(Duration::ZERO));
    }

    #[test]
    fn a_throttled_action_slows_down_to_a_limit_and_regains_its_pace() {
        let ledger = ledger(1.0, 1.0);
        let mut now = Instant::now();
        let patience = Duration::from_mins(10);
        let wait = |now| ledger.take("CreateX", now, patience).unwrap().as_secs();
        assert_eq!(wait(now), 0);
        let mut waits = Vec::new();
        for _ in 0..6 {
            ledger.throttled("CreateX");
            waits.push(wait(now));
            // What was promised is given up.
            ledger
                .levels
                .lock()
                .unwrap()
                .get_mut("CreateX")
                .unwrap()
                .tokens = 0.0;
        }
        assert_eq!(waits, [2, 4, 8, 16, 16, 16]);
        now += Duration::from_mins(1);
        assert_eq!(wait(now), 0);
        assert_eq!(wait(now), 1);
    }
}
