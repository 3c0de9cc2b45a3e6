//! How a pod is on the network.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{Mac, PodAddresses};

/// How a pod is on the network: what it has of an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// Addresses of an ENI that the node and other pods use too: a veth, routed by the node.
    #[default]
    Shared,
    /// A whole ENI: its own device, moved into the pod's namespace.
    Whole(WholeEni),
    /// A branch ENI of its own: a veth, whose packets the node tags.
    Branch(BranchEni),
}

impl Interface {
    /// Whether it is [`Self::Shared`].
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }

    /// The branch ENI, if there is one.
    #[must_use]
    pub const fn branch(&self) -> Option<&BranchEni> {
        match self {
            Self::Shared | Self::Whole(_) => None,
            Self::Branch(branch) => Some(branch),
        }
    }
}

/// What must be known of an ENI that a pod owns, to find its device and to configure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WholeEni {
    /// Its Ethernet address, by which its device is found: names change as it moves.
    pub mac: Mac,
    /// The IPv4 block of its subnet.
    pub subnet: Ipv4Net,
}

/// A branch ENI: its packets are frames with a VLAN tag on the device of its trunk ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchEni {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address, if its pod is to have one.
    #[serde(flatten)]
    pub ipv4: Option<BranchIpv4>,
    /// Its IPv6 address, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// The tag of its frames.
    pub vlan: VlanId,
    /// Which of the pod's packets its groups see.
    pub enforcement: Enforcement,
}

/// What a branch ENI has of IPv4. The router of IPv6 is the same in every subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchIpv4 {
    /// Its address.
    pub address: Ipv4Addr,
    /// The router of its subnet.
    pub router: Ipv4Addr,
}

impl BranchEni {
    /// Its addresses, unless it has none.
    #[must_use]
    pub fn addresses(&self) -> Option<PodAddresses> {
        PodAddresses::new(self.ipv4.map(|ipv4| ipv4.address), self.ipv6)
    }
}

/// Which packets of a pod with a branch ENI pass the groups of that ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// All, also to pods of the same node.
    #[default]
    Strict,
    /// Those that leave the node for the VPC.
    Standard,
}

/// Why a text is no way to enforce groups.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be \"strict\" or \"standard\", not {0:?}")]
pub struct EnforcementError(pub String);

impl FromStr for Enforcement {
    type Err = EnforcementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Strict, Self::Standard]
            .into_iter()
            .find(|one| one.to_string() == text)
            .ok_or_else(|| EnforcementError(text.to_owned()))
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Standard => "standard",
        })
    }
}

/// The tag of a branch ENI's frames: 1 to 4094, as in IEEE 802.1Q. The VPC resource controller gives
/// out 1 to 120.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

/// Why a number is no tag that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a VLAN from 1 to {max}, not {0}", max = VlanId::MAX)]
pub struct VlanIdError(pub u64);

impl VlanId {
    /// The greatest.
    pub const MAX: u16 = 4094;

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u64> for VlanId {
    type Error = VlanIdError;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        match u16::try_from(number) {
            Ok(vlan @ 1..=Self::MAX) => Ok(Self(vlan)),
            _ => Err(VlanIdError(number)),
        }
    }
}

impl TryFrom<u16> for VlanId {
    type Error = VlanIdError;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        u64::from(number).try_into()
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_edges() {
        for good in [1_u16, 120, 4094] {
            assert_eq!(
                VlanId::try_from(good).unwrap().to_string(),
                good.to_string()
            );
        }
        for bad in [0, 4095, 65_536, u64::MAX] {
            assert_eq!(VlanId::try_from(bad), Err(VlanIdError(bad)));
        }
    }

    #[test]
    fn enforcement_round_trips() {
        for text in ["strict", "standard"] {
            assert_eq!(text.parse::<Enforcement>().unwrap().to_string(), text);
        }
        assert!("Strict".parse::<Enforcement>().is_err());
    }

    #[test]
    fn interfaces_round_trip_through_json() {
        let ipv4 = BranchIpv4 {
            address: [10, 0, 1, 2].into(),
            router: [10, 0, 1, 1].into(),
        };
        let branch = |ipv4, ipv6| {
            Interface::Branch(BranchEni {
                mac: Mac::local(1),
                ipv4,
                ipv6,
                vlan: VlanId(7),
                enforcement: Enforcement::Strict,
            })
        };
        let ipv6 = "2600::9".parse().ok();
        let both = branch(Some(ipv4), ipv6);
        let former = branch(Some(ipv4), None);
        for interface in [Interface::Shared, former, both, branch(None, ipv6)] {
            let json = serde_json::to_string(&interface).unwrap();
            assert_eq!(serde_json::from_str::<Interface>(&json).unwrap(), interface);
        }
        // As it was written when branches had IPv4 alone.
        let json = r#"{"branch":{"mac":"02:00:00:00:00:01","address":"10.0.1.2","router":"10.0.1.1","vlan":7,"enforcement":"strict"}}"#;
        assert_eq!(serde_json::to_string(&former).unwrap(), json);
        assert_eq!(serde_json::from_str::<Interface>(json).unwrap(), former);
        assert!(serde_json::from_str::<VlanId>("0").is_err());
    }
}
