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

/// Who uses the ENIs of a pool.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EniUse {
    /// Any number of pods, each with addresses of its own.
    #[default]
    Shared,
    /// One pod each, which gets the device and its primary address.
    Whole,
}

impl EniUse {
    /// Whether pods share an ENI.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }
}

/// What the text of a pool of whole ENIs begins with. Versions that know no such pools take an ENI
/// that is tagged so for somebody else's, and leave it alone.
const WHOLE: &str = "whole/";

/// The key of a pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolKey {
    /// The security groups of the pool's ENIs.
    pub groups: PoolGroups,
    /// The subnets the pool's ENIs are created in.
    pub subnets: SubnetClassId,
    /// The network card the pool's ENIs sit on.
    pub card: u8,
    /// Who uses the pool's ENIs.
    #[serde(default, skip_serializing_if = "EniUse::is_shared")]
    pub eni_use: EniUse,
}

impl PoolKey {
    /// The pool of pods that ask for nothing: the node's own groups, subnet and first card.
    #[must_use]
    pub fn default_pool() -> Self {
        Self {
            groups: PoolGroups::Default,
            subnets: SubnetClassId::node(),
            card: 0,
            eni_use: EniUse::Shared,
        }
    }

    /// The pool of pods that ask for exactly these groups.
    #[must_use]
    pub fn exactly(set: SecurityGroupSet) -> Self {
        Self {
            groups: PoolGroups::Exactly(set),
            subnets: SubnetClassId::node(),
            card: 0,
            eni_use: EniUse::Shared,
        }
    }

    /// The pool of whole ENIs with the same groups and subnets.
    #[must_use]
    pub fn whole(self) -> Self {
        Self {
            eni_use: EniUse::Whole,
            ..self
        }
    }

    /// Whether each ENI of the pool is one pod's.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.eni_use, EniUse::Whole)
    }

    /// Reads what a tag says before the groups: who uses the ENI, and the rest of the text.
    #[must_use]
    pub fn split_use(text: &str) -> (EniUse, &str) {
        text.strip_prefix(WHOLE)
            .map_or((EniUse::Shared, text), |rest| (EniUse::Whole, rest))
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
        if self.is_whole() {
            f.write_str(WHOLE)?;
        }
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
            PoolKey::default_pool().whole(),
        ] {
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<PoolKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn the_text_of_a_pool_of_whole_enis_is_no_other_pools() {
        let set: SecurityGroupSet = "sg-0000000a".parse().unwrap();
        let pool = PoolKey::exactly(set).whole();
        assert_eq!(pool.to_string(), "whole/sg-0000000a");
        assert_eq!(
            PoolKey::split_use("whole/sg-0000000a"),
            (EniUse::Whole, "sg-0000000a")
        );
        assert_eq!(PoolKey::split_use("default"), (EniUse::Shared, "default"));
        assert!("whole/sg-0000000a".parse::<SecurityGroupSet>().is_err());
    }
}
