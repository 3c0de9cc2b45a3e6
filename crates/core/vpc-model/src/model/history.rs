//! Earlier states of an object, as long as somebody still sees them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

/// States kept per object; the oldest make room.
const MOST: usize = 64;

/// What an object was, for those who see its changes late. It only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History<T> {
    versions: VecDeque<Version<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version<T> {
    /// The object; `None` while there was none.
    was: Option<T>,
    /// Until when it is seen so.
    until: Timestamp,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            versions: VecDeque::new(),
        }
    }
}

impl<T> History<T> {
    /// Notes what the object was before a change that is seen from `until` on.
    pub(crate) fn push(&mut self, was: Option<T>, until: Timestamp) {
        // Seen no longer than the state before it: never.
        if self.versions.back().is_some_and(|last| last.until >= until) {
            return;
        }
        if self.versions.len() == MOST {
            self.versions.pop_front();
        }
        self.versions.push_back(Version { was, until });
    }

    /// What is seen at `now`: `None` when that is the present.
    pub(crate) fn seen(&self, now: Timestamp) -> Option<Option<&T>> {
        let version = self.versions.iter().find(|each| each.until > now)?;
        Some(version.was.as_ref())
    }

    /// Forgets what nobody sees any more; whether nothing is left.
    pub(crate) fn forget(&mut self, now: Timestamp) -> bool {
        self.versions.retain(|each| each.until > now);
        self.versions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_in_their_order_however_late_each_is() {
        let at = Timestamp::from_secs;
        let mut history = History::default();
        history.push(None, at(10));
        // Later, but to be seen earlier: it waits for the one before it.
        history.push(Some(1), at(5));
        history.push(Some(2), at(20));
        let seen = |history: &History<i32>, now| history.seen(at(now)).map(Option::<&i32>::copied);
        assert_eq!(seen(&history, 4), Some(None));
        assert_eq!(seen(&history, 9), Some(None));
        assert_eq!(seen(&history, 10), Some(Some(2)));
        assert_eq!(seen(&history, 20), None);
        assert!(!history.forget(at(10)));
        assert_eq!(seen(&history, 12), Some(Some(2)));
        assert!(history.forget(at(20)));
    }

    #[test]
    fn a_busy_object_is_kept_in_bounds() {
        let mut history = History::default();
        for second in 1..1_000 {
            history.push(Some(second), Timestamp::from_secs(second));
        }
        assert_eq!(history.versions.len(), MOST);
        assert_eq!(history.seen(Timestamp::from_secs(998)), Some(Some(&999)));
    }
}
