//! Request budgets, one token bucket per action, as EC2 keeps them per account and Region; and how
//! long a call takes.

use std::{collections::BTreeMap, time::Duration};

use underlay_types::Timestamp;

use crate::{Ec2Error, ErrorCode};

/// Nanoseconds in a second: a token is counted in units of 1 / 1e9.
const UNIT: u64 = 1_000_000_000;

/// How many calls an action may take at once, and how many a second in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Calls at once.
    pub burst: u64,
    /// Calls a second.
    pub per_second: u64,
}

impl Budget {
    /// The budget of an action; `broad` says that it describes without a filter, an id or a page.
    #[must_use]
    pub fn of(action: &str, broad: bool) -> Self {
        let (burst, per_second) = match action {
            "RunInstances" => (5, 2),
            "CreateTags" => (100, 10),
            "TerminateInstances" => (100, 5),
            _ if action.starts_with("Describe") && broad => (50, 10),
            _ if action.starts_with("Describe") => (100, 20),
            _ => (50, 5),
        };
        Self { burst, per_second }
    }
}

/// How long EC2 takes to answer a call of `action`; `luck` places it within the usual range.
///
/// The ranges are those that users of EC2 report, not documented ones.
#[must_use]
pub fn call_latency(action: &str, luck: u8) -> Duration {
    let (from, to) = match action {
        "AssignPrivateIpAddresses" | "UnassignPrivateIpAddresses" => (300, 1_000),
        "AttachNetworkInterface" | "DetachNetworkInterface" => (300, 800),
        "CreateNetworkInterface" => (200, 1_000),
        "RunInstances" => (800, 2_000),
        _ if action.starts_with("Describe") || action.starts_with("Get") => (30, 120),
        _ => (80, 300),
    };
    Duration::from_millis(from + (to - from) * u64::from(luck) / 255)
}

/// The buckets of one account in one Region.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    buckets: BTreeMap<(String, bool), Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u64,
    filled: Timestamp,
}

impl Throttle {
    /// Takes a token of `action`'s bucket.
    ///
    /// # Errors
    /// `RequestLimitExceeded` when there is none.
    pub fn admit(&mut self, action: &str, broad: bool, now: Timestamp) -> Result<(), Ec2Error> {
        let budget = Budget::of(action, broad);
        let full = budget.burst * UNIT;
        let bucket = self
            .buckets
            .entry((action.to_owned(), broad))
            .or_insert(Bucket {
                tokens: full,
                filled: now,
            });
        let waited = u64::try_from(now.saturating_since(bucket.filled).as_nanos());
        let earned = waited.unwrap_or(u64::MAX).saturating_mul(budget.per_second);
        bucket.tokens = bucket.tokens.saturating_add(earned).min(full);
        bucket.filled = now;
        match bucket.tokens.checked_sub(UNIT) {
            Some(rest) => {
                bucket.tokens = rest;
                Ok(())
            }
            None => {
                let text = "Request limit exceeded.";
                Err(Ec2Error::new(ErrorCode::RequestLimitExceeded, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(throttle: &mut Throttle, action: &str, now: Timestamp) -> usize {
        (0..1_000)
            .take_while(|_| throttle.admit(action, false, now).is_ok())
            .count()
    }

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let mut throttle = Throttle::default();
        let start = Timestamp::from_secs(100);
        assert_eq!(admitted(&mut throttle, "AttachNetworkInterface", start), 50);
        let later = start + Duration::from_secs(3);
        assert_eq!(admitted(&mut throttle, "AttachNetworkInterface", later), 15);
        let much_later = start + Duration::from_secs(1_000);
        assert_eq!(
            admitted(&mut throttle, "AttachNetworkInterface", much_later),
            50
        );
    }

    #[test]
    fn actions_have_buckets_of_their_own() {
        let mut throttle = Throttle::default();
        let now = Timestamp::ZERO;
        assert_eq!(admitted(&mut throttle, "RunInstances", now), 5);
        assert_eq!(admitted(&mut throttle, "DescribeInstances", now), 100);
        let refused = throttle.admit("RunInstances", false, now).unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.code.status()),
            ("RequestLimitExceeded", 503)
        );
    }
}
