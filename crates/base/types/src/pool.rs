//! What addresses a pod may draw from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::SecurityGroupSet;

/// Which security groups the ENIs of a pool carry.
///
/// `Default` is a role, the groups of the primary ENI, which may change while the node runs. It
/// never equals an explicit set, even one with the same members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolGroups {
    /// The groups of the primary ENI.
    Default,
    /// Exactly these groups.
    Exactly(SecurityGroupSet),
}

/// The name of a class of subnets that ENIs of a pool may be created in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubnetClassId(String);

impl SubnetClassId {
    /// The class of every node: the subnet of its primary ENI.
    #[must_use]
    pub fn node() -> Self {
        Self("node".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of a pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolKey {
    /// The security groups of the pool's ENIs.
    pub groups: PoolGroups,
    /// The subnets the pool's ENIs are created in.
    pub subnets: SubnetClassId,
    /// The network card the pool's ENIs sit on.
    pub card: u8,
}

impl PoolKey {
    /// The pool of pods that ask for nothing: the node's own groups, subnet and first card.
    #[must_use]
    pub fn default_pool() -> Self {
        Self {
            groups: PoolGroups::Default,
            subnets: SubnetClassId::node(),
            card: 0,
        }
    }

    /// The pool of pods that ask for exactly these groups.
    #[must_use]
    pub fn exactly(set: SecurityGroupSet) -> Self {
        Self {
            groups: PoolGroups::Exactly(set),
            subnets: SubnetClassId::node(),
            card: 0,
        }
    }

    /// The explicit set, if the pool has one.
    #[must_use]
    pub fn explicit_set(&self) -> Option<&SecurityGroupSet> {
        match &self.groups {
            PoolGroups::Default => None,
            PoolGroups::Exactly(set) => Some(set),
        }
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.groups {
            PoolGroups::Default => f.write_str("default")?,
            PoolGroups::Exactly(set) => fmt::Display::fmt(set, f)?,
        }
        if self.subnets != SubnetClassId::node() || self.card != 0 {
            write!(f, " ({}, card {})", self.subnets.as_str(), self.card)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pool_never_equals_an_explicit_one() {
        let set: SecurityGroupSet = "sg-0000000a".parse().unwrap();
        assert_ne!(PoolKey::default_pool(), PoolKey::exactly(set.clone()));
        assert_eq!(PoolKey::exactly(set).to_string(), "sg-0000000a");
    }

    #[test]
    fn keys_round_trip_through_json() {
        for key in [
            PoolKey::default_pool(),
            PoolKey::exactly("sg-0000000a".parse().unwrap()),
        ] {
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<PoolKey>(&json).unwrap(), key);
        }
    }
}
