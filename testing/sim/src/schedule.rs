//! One schedule by its seed, and many of them.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{tally::Tally, world::World};

/// A schedule in which something did not hold that must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {what}")]
pub struct Violation {
    /// What repeats it.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
}

/// Schedules to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed; the others follow it.
    pub first: u64,
    /// How many.
    pub schedules: u64,
    /// Threads to run them on.
    pub threads: usize,
}

/// Runs the schedule of a seed.
///
/// # Errors
/// The first thing that did not hold.
pub fn run(seed: u64) -> Result<Tally, Violation> {
    let (tally, what, _) = repeat(seed, false);
    match what {
        None => Ok(tally),
        Some(what) => Err(Violation { seed, what }),
    }
}

/// Runs the schedule of a seed and tells what happens, line by line; the last says what did not
/// hold, if anything did not.
#[must_use]
pub fn replay(seed: u64) -> Vec<String> {
    repeat(seed, true).2
}

fn repeat(seed: u64, trace: bool) -> (Tally, Option<String>, Vec<String>) {
    let run = AssertUnwindSafe(|| World::new(seed, trace).run());
    match catch_unwind(run) {
        Ok(outcome) => (outcome.tally, outcome.violation, outcome.trace),
        // The panic's own message went to standard error.
        Err(_) => (Tally::default(), Some("a panic".to_owned()), Vec::new()),
    }
}

// === impl Campaign ===

impl Campaign {
    /// Runs every schedule, whatever the others do. Returns what happened, and what did not hold,
    /// by seed.
    #[must_use]
    pub fn run(&self) -> (Tally, Vec<Violation>) {
        let next = AtomicU64::new(0);
        let work = || self.work(&next);
        let mut all = Tally::default();
        let mut violations = Vec::new();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(work))
                .collect();
            for thread in threads {
                let (tally, found) = thread.join().expect("schedules catch their panics");
                all.merge(&tally);
                violations.extend(found);
            }
        });
        violations.sort_by_key(|violation| violation.seed);
        (all, violations)
    }

    fn work(&self, next: &AtomicU64) -> (Tally, Vec<Violation>) {
        let mut all = Tally::default();
        let mut violations = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.schedules {
                return (all, violations);
            }
            match run(self.first.wrapping_add(number)) {
                Ok(tally) => all.merge(&tally),
                Err(violation) => violations.push(violation),
            }
        }
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            schedules,
            threads,
        } = self;
        write!(
            f,
            "{schedules} schedules from seed {first} on {threads} threads"
        )
    }
}
