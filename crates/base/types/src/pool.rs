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
/// What comes then, with the card's number and a slash, for a pool that is pinned to one.
const CARD: &str = "card";

/// The key of a pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolKey {
    /// The security groups of the pool's ENIs.
    pub groups: PoolGroups,
    /// The subnets the pool's ENIs are created in.
    pub subnets: SubnetClassId,
    /// The network card the pool's ENIs sit on; `None` is any. Card 0 is one of them.
    #[serde(with = "counted_from_one")]
    pub card: Option<u8>,
    /// Who uses the pool's ENIs.
    #[serde(default, skip_serializing_if = "EniUse::is_shared")]
    pub eni_use: EniUse,
}

/// 0 is any card, as it was written when no pool was pinned to one.
mod counted_from_one {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(card: &Option<u8>, to: S) -> Result<S::Ok, S::Error> {
        card.map_or(0, |card| u16::from(card) + 1).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<u8>, D::Error> {
        match u16::deserialize(from)?.checked_sub(1) {
            None => Ok(None),
            Some(card) => u8::try_from(card)
                .map(Some)
                .map_err(serde::de::Error::custom),
        }
    }
}

impl PoolKey {
    /// The pool of pods that ask for nothing: the node's own groups and subnet.
    #[must_use]
    pub fn default_pool() -> Self {
        Self {
            groups: PoolGroups::Default,
            subnets: SubnetClassId::node(),
            card: None,
            eni_use: EniUse::Shared,
        }
    }

    /// The pool of pods that ask for exactly these groups.
    #[must_use]
    pub fn exactly(set: SecurityGroupSet) -> Self {
        Self {
            groups: PoolGroups::Exactly(set),
            subnets: SubnetClassId::node(),
            card: None,
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

    /// The pool with the same groups, subnets and use on one network card.
    #[must_use]
    pub fn on_card(self, card: u8) -> Self {
        Self {
            card: Some(card),
            ..self
        }
    }

    /// Whether pods that ask for nothing draw from it: the one that is filled ahead of need.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.groups == PoolGroups::Default && !self.is_whole() && self.card.is_none()
    }

    /// Whether each ENI of the pool is one pod's.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.eni_use, EniUse::Whole)
    }

    /// What the text says before the groups: who uses the ENI, and its network card.
    #[must_use]
    pub fn prefix(&self) -> String {
        let whole = if self.is_whole() { WHOLE } else { "" };
        let card = self.card.map(|card| format!("{CARD}{card}/"));
        whole.to_owned() + &card.unwrap_or_default()
    }

    /// Reads what a tag says before the groups ([`Self::prefix`]), and the rest of the text.
    #[must_use]
    pub fn split_prefix(text: &str) -> (EniUse, Option<u8>, &str) {
        let (eni_use, rest) = text
            .strip_prefix(WHOLE)
            .map_or((EniUse::Shared, text), |rest| (EniUse::Whole, rest));
        let on_card = rest.strip_prefix(CARD).and_then(|rest| {
            let (number, rest) = rest.split_once('/')?;
            Some((number.parse().ok()?, rest))
        });
        on_card.map_or((eni_use, None, rest), |(card, rest)| {
            (eni_use, Some(card), rest)
        })
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
        f.write_str(&self.prefix())?;
        match &self.groups {
            PoolGroups::Default => f.write_str("default")?,
            PoolGroups::Exactly(set) => fmt::Display::fmt(set, f)?,
        }
        if self.subnets != SubnetClassId::node() {
            write!(f, " ({})", self.subnets.as_str())?;
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
            PoolKey::default_pool().on_card(0),
            PoolKey::default_pool().on_card(u8::MAX),
        ] {
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<PoolKey>(&json).unwrap(), key);
        }
        // As it was written when no pool had a card.
        let json = r#"{"groups":"default","subnets":"node","card":0}"#;
        let former: PoolKey = serde_json::from_str(json).unwrap();
        assert!(former.is_default());
        assert_eq!(serde_json::to_string(&former).unwrap(), json);
        assert!(serde_json::from_str::<PoolKey>(&json.replace(":0", ":257")).is_err());
        assert!(!PoolKey::default_pool().on_card(0).is_default());
    }

    #[test]
    fn the_text_of_a_pool_says_use_and_card_and_is_no_other_pools() {
        let set: SecurityGroupSet = "sg-0000000a".parse().unwrap();
        let pool = PoolKey::exactly(set).whole();
        assert_eq!(pool.to_string(), "whole/sg-0000000a");
        let on_card = pool.clone().on_card(12).to_string();
        assert_eq!(on_card, "whole/card12/sg-0000000a");
        let shared = PoolKey::default_pool().on_card(0).to_string();
        for (text, wanted) in [
            (
                pool.to_string().as_str(),
                (EniUse::Whole, None, "sg-0000000a"),
            ),
            (&on_card, (EniUse::Whole, Some(12), "sg-0000000a")),
            (&shared, (EniUse::Shared, Some(0), "default")),
            ("default", (EniUse::Shared, None, "default")),
            ("card", (EniUse::Shared, None, "card")),
            ("card300/default", (EniUse::Shared, None, "card300/default")),
        ] {
            assert_eq!(PoolKey::split_prefix(text), wanted, "{text}");
        }
        assert!("whole/sg-0000000a".parse::<SecurityGroupSet>().is_err());
    }
}
