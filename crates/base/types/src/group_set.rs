//! A set of security groups: what an ENI carries and what keys a pool of addresses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ResourceIdError, SecurityGroupId};

/// Groups an ENI carries at most, unless the account's quota is raised (to 16 at most).
pub const GROUPS_PER_ENI_DEFAULT: usize = 5;
const GROUPS_PER_ENI_MAX: usize = 16;

/// Security groups, sorted and without duplicates; 1 to 16 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<SecurityGroupId>", into = "Vec<SecurityGroupId>")]
pub struct SecurityGroupSet(Vec<SecurityGroupId>);

/// Why groups do not make a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupSetError {
    /// A member is not a group id.
    #[error(transparent)]
    Id(#[from] ResourceIdError),
    /// No group was named.
    #[error("a security-group set needs at least one group")]
    Empty,
    /// More groups than an ENI can carry.
    #[error("{count} security groups, but an ENI carries at most {limit}")]
    TooMany {
        /// Distinct groups named.
        count: usize,
        /// The limit that applies.
        limit: usize,
    },
}

impl SecurityGroupSet {
    /// A set of 1 to `limit` groups, in any order and with any repetition.
    ///
    /// # Errors
    /// `Empty` without a group; `TooMany` with more than `limit` (or 16) distinct ones.
    pub fn new(
        groups: impl IntoIterator<Item = SecurityGroupId>,
        limit: usize,
    ) -> Result<Self, GroupSetError> {
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable();
        groups.dedup();
        let limit = limit.min(GROUPS_PER_ENI_MAX);
        match groups.len() {
            0 => Err(GroupSetError::Empty),
            count if count > limit => Err(GroupSetError::TooMany { count, limit }),
            _ => Ok(Self(groups)),
        }
    }

    /// The members, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[SecurityGroupId] {
        &self.0
    }

    /// Whether `group` is a member.
    #[must_use]
    pub fn contains(&self, group: &SecurityGroupId) -> bool {
        self.0.binary_search(group).is_ok()
    }
}

impl TryFrom<Vec<SecurityGroupId>> for SecurityGroupSet {
    type Error = GroupSetError;

    fn try_from(groups: Vec<SecurityGroupId>) -> Result<Self, Self::Error> {
        Self::new(groups, GROUPS_PER_ENI_MAX)
    }
}

impl From<SecurityGroupSet> for Vec<SecurityGroupId> {
    fn from(set: SecurityGroupSet) -> Self {
        set.0
    }
}

impl FromStr for SecurityGroupSet {
    type Err = GroupSetError;

    /// Reads ids separated by commas; blanks around them are ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let groups = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<SecurityGroupId>, _>>()?;
        Self::new(groups, GROUPS_PER_ENI_MAX)
    }
}

impl fmt::Display for SecurityGroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(group, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sets_are_sorted_and_without_duplicates() {
        let set: SecurityGroupSet = " sg-0000000b,sg-0000000a, sg-0000000b,".parse().unwrap();
        assert_eq!(set.to_string(), "sg-0000000a,sg-0000000b");
        assert!(set.contains(&"sg-0000000a".parse().unwrap()));
        assert!(!set.contains(&"sg-0000000c".parse().unwrap()));
    }

    #[test]
    fn empty_too_many_and_foreign_ids_are_refused() {
        assert_eq!("".parse::<SecurityGroupSet>(), Err(GroupSetError::Empty));
        assert_eq!(" , ".parse::<SecurityGroupSet>(), Err(GroupSetError::Empty));
        let six: Vec<_> = (0..6).map(SecurityGroupId::from_serial).collect();
        assert_eq!(
            SecurityGroupSet::new(six, GROUPS_PER_ENI_DEFAULT),
            Err(GroupSetError::TooMany { count: 6, limit: 5 })
        );
        assert!(matches!(
            "eni-01234567".parse::<SecurityGroupSet>(),
            Err(GroupSetError::Id(_))
        ));
    }

    proptest! {
        #[test]
        fn text_round_trips(serials in proptest::collection::vec(any::<u64>(), 1..16)) {
            let groups = serials.into_iter().map(SecurityGroupId::from_serial);
            let set = SecurityGroupSet::new(groups, 16).unwrap();
            prop_assert_eq!(set.to_string().parse::<SecurityGroupSet>().unwrap(), set);
        }
    }
}
