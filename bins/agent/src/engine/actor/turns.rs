//! Whether somebody came for a lease since it was last looked at.

use std::collections::BTreeMap;

use underlay_types::LeaseKey;

/// Numbers that change whenever an ADD of a key gets its lease or is done.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: u64,
    of_keys: BTreeMap<LeaseKey, u64>,
}

impl Turns {
    /// An ADD has come as far as that.
    pub(super) fn take(&mut self, key: &LeaseKey) {
        self.last += 1;
        self.of_keys.insert(key.clone(), self.last);
    }

    /// The number now; 0 if no ADD came since the agent's start.
    pub(super) fn of(&self, key: &LeaseKey) -> u64 {
        self.of_keys.get(key).copied().unwrap_or_default()
    }

    /// The lease has ended. A later one of the key has other numbers.
    pub(super) fn forget(&mut self, key: &LeaseKey) {
        self.of_keys.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_add_changes_the_number_of_its_key_alone_and_none_comes_twice() {
        let key = |container: &str| LeaseKey {
            network: "underlay".parse().unwrap(),
            container: container.parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        };
        let (one, other) = (key("c1"), key("c2"));
        let mut turns = Turns::default();
        assert_eq!(turns.of(&one), 0);
        turns.take(&one);
        let first = turns.of(&one);
        turns.take(&other);
        assert_eq!(turns.of(&one), first);
        turns.forget(&one);
        assert_eq!(turns.of(&one), 0);
        turns.take(&one);
        assert!(![0, first, turns.of(&other)].contains(&turns.of(&one)));
    }
}
