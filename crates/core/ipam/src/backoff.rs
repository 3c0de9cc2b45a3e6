//! How long to leave EC2 alone after it refused.

use std::time::Duration;

use underlay_types::{Class, Timestamp};

use crate::Ec2Failure;

/// Consecutive failures of one kind of work. The pause doubles with each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Timestamp,
    last: Option<Ec2Failure>,
}

impl Backoff {
    pub(crate) fn failed(&mut self, now: Timestamp, failure: Ec2Failure) {
        let (first, longest) = match failure.class {
            Class::Throttled { after: Some(after) } => (after, Duration::from_secs(60).max(after)),
            Class::Retry | Class::Throttled { after: None } => {
                (Duration::from_millis(500), Duration::from_secs(30))
            }
            Class::Conflict | Class::NotFound => (Duration::from_secs(2), Duration::from_secs(60)),
            Class::Bug | Class::Denied | Class::Invalid => {
                (Duration::from_secs(15), Duration::from_secs(300))
            }
        };
        let pause = first
            .saturating_mul(1 << self.failures.min(16))
            .min(longest);
        self.failures = self.failures.saturating_add(1);
        self.until = now + pause;
        self.last = Some(failure);
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn pauses(&self, now: Timestamp) -> bool {
        now < self.until
    }

    pub(crate) const fn until(&self) -> Timestamp {
        self.until
    }

    pub(crate) const fn last(&self) -> Option<&Ec2Failure> {
        self.last.as_ref()
    }

    /// Whether the next try may well succeed, and comes before `deadline`.
    pub(crate) fn may_pass_by(&self, deadline: Timestamp) -> bool {
        self.until < deadline
            && self.last.as_ref().is_none_or(|failure| {
                matches!(failure.class, Class::Retry | Class::Throttled { .. })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: Class) -> Ec2Failure {
        Ec2Failure {
            code: "X".to_owned(),
            message: "x".to_owned(),
            class,
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            backoff.failed(Timestamp::ZERO, failure(Class::Retry));
            pauses.push(
                backoff
                    .until()
                    .saturating_since(Timestamp::ZERO)
                    .as_millis(),
            );
        }
        assert_eq!(
            pauses,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        backoff.succeeded();
        assert!(!backoff.pauses(Timestamp::ZERO));
        assert_eq!(backoff.last(), None);
    }

    #[test]
    fn only_passing_failures_are_worth_waiting_for() {
        let mut backoff = Backoff::default();
        backoff.failed(Timestamp::ZERO, failure(Class::Throttled { after: None }));
        assert!(backoff.may_pass_by(Timestamp::from_secs(25)));
        assert!(!backoff.may_pass_by(Timestamp::from_nanos(1)));
        backoff.succeeded();
        backoff.failed(Timestamp::ZERO, failure(Class::Denied));
        assert!(!backoff.may_pass_by(Timestamp::from_secs(3600)));
    }
}
