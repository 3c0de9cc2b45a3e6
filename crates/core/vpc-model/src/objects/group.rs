//! Security groups and their rules.

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::{PrefixListId, SecurityGroupId, SecurityGroupRuleId, VpcId};

use crate::Tags;

/// A security group: what its members may receive and send. Everything else is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Its name, unique in its VPC.
    pub name: String,
    /// What its creator wrote about it.
    pub description: String,
    /// Its rules of both directions, in the order in which they were added.
    pub rules: Vec<Rule>,
    /// Its tags.
    pub tags: Tags,
}

impl SecurityGroup {
    /// Whether one of its rules names a group.
    #[must_use]
    pub fn names(&self, id: &SecurityGroupId) -> bool {
        let named = |rule: &Rule| matches!(&rule.peer, RulePeer::Group(each) if each == id);
        self.rules.iter().any(named)
    }

    /// The rules of one direction.
    pub fn rules_of(&self, direction: RuleDirection) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.direction == direction)
    }
}

/// A rule of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: SecurityGroupRuleId,
    /// Whether it allows receiving or sending.
    pub direction: RuleDirection,
    /// What traffic it allows.
    pub traffic: RuleTraffic,
    /// With whom.
    pub peer: RulePeer,
    /// What its creator wrote about it.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// The direction of a rule, seen from the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RuleDirection {
    /// Towards the interface.
    Ingress,
    /// Away from the interface.
    Egress,
}

impl RuleDirection {
    /// The other one.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// With whom a rule allows traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RulePeer {
    /// Addresses of a canonical IPv4 block.
    Ipv4(Ipv4Net),
    /// Addresses of a canonical IPv6 block.
    Ipv6(Ipv6Net),
    /// The private addresses of interfaces that carry this group.
    Group(SecurityGroupId),
    /// Addresses of a prefix list's entries, as they are when a packet comes.
    PrefixList(PrefixListId),
}

/// What traffic a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RuleTraffic {
    /// Every protocol and port.
    All,
    /// ICMP of a type and code; `None` is any.
    Icmp {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// ICMPv6 of a type and code; `None` is any.
    Icmpv6 {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// Another protocol, by its IANA number.
    Protocol(u8),
    /// TCP to these destination ports.
    Tcp(PortRange),
    /// UDP to these destination ports.
    Udp(PortRange),
}

/// Destination ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub from: u16,
    /// The highest; not below `from`.
    pub to: u16,
}

impl PortRange {
    /// Whether `port` is one of these.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.from <= port && port <= self.to
    }
}

impl RuleTraffic {
    /// The IANA protocol number; `None` for every protocol.
    #[must_use]
    pub const fn protocol(self) -> Option<u8> {
        match self {
            Self::All => None,
            Self::Icmp { .. } => Some(1),
            Self::Icmpv6 { .. } => Some(58),
            Self::Protocol(number) => Some(number),
            Self::Tcp(_) => Some(6),
            Self::Udp(_) => Some(17),
        }
    }
}
