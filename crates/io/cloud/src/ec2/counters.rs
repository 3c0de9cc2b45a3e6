//! What was called and how it went.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::error::Ec2Failure;

/// Distinct results kept per action; EC2 chooses the codes, so their number is bounded here.
const RESULTS_MAX: usize = 32;

/// How every action went, by its name.
pub type CallCounters = BTreeMap<String, ActionCounters>;

/// How one action went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionCounters {
    /// Attempts by their result: `ok`, EC2's error code, or `Unreachable`, `NoAnswer`, `Budget`,
    /// `Credentials`, `Request`, `Reply`.
    pub results: BTreeMap<String, u64>,
    /// How long callers waited for the client's own budget.
    pub budget_wait: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<CallCounters>);

// === impl Counters ===

impl Counters {
    pub(crate) fn succeeded(&self, action: &'static str) {
        self.change(action, |counters| counters.count("ok"));
    }

    pub(crate) fn failed(&self, action: &'static str, failure: &Ec2Failure) {
        self.change(action, |counters| counters.count(result_name(failure)));
    }

    pub(crate) fn waited(&self, action: &'static str, wait: Duration) {
        if !wait.is_zero() {
            self.change(action, |counters| counters.budget_wait += wait);
        }
    }

    pub(crate) fn snapshot(&self) -> CallCounters {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, action: &'static str, change: impl FnOnce(&mut ActionCounters)) {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(actions.entry(action.to_owned()).or_default());
    }
}

// === impl ActionCounters ===

impl ActionCounters {
    fn count(&mut self, result: &str) {
        let known = self.results.contains_key(result) || self.results.len() < RESULTS_MAX;
        let key = if known { result } else { "other" };
        *self.results.entry(key.to_owned()).or_default() += 1;
    }
}

fn result_name(failure: &Ec2Failure) -> &str {
    match failure {
        Ec2Failure::Refused(refusal) => &refusal.code,
        Ec2Failure::Credentials(_) => "Credentials",
        Ec2Failure::Request(_) => "Request",
        Ec2Failure::Unreachable { .. } => "Unreachable",
        Ec2Failure::NoAnswer { .. } => "NoAnswer",
        Ec2Failure::Budget(_) => "Budget",
        Ec2Failure::Reply(_) => "Reply",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_by_action_and_their_names_are_bounded() {
        let counters = Counters::default();
        counters.succeeded("DescribeX");
        for serial in 0..50 {
            counters.failed(
                "CreateX",
                &Ec2Failure::Refused(crate::ec2::Refusal {
                    status: 400,
                    code: format!("Code{serial}"),
                    message: String::new(),
                    request_id: String::new(),
                }),
            );
        }
        let snapshot = counters.snapshot();
        assert_eq!(
            snapshot["DescribeX"].results,
            BTreeMap::from([("ok".to_owned(), 1)])
        );
        assert_eq!(snapshot["CreateX"].results["other"], 18);
        assert_eq!(snapshot["CreateX"].results.len(), 33);
    }
}
