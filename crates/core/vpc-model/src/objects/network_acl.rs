//! Network ACLs: stateless filters at the edges of subnets.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use underlay_types::{NetworkAclAssociationId, NetworkAclId, SubnetId, VpcId};

use crate::{PortRange, Tags};

/// A network ACL. Of the entries of one direction and family, the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// Its id.
    pub id: NetworkAclId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Whether subnets have it that no other was given to.
    pub is_default: bool,
    /// Its entries: ingress before egress, each by number; the `*` entries among them.
    pub entries: Vec<NetworkAclEntry>,
    /// Its subnets.
    pub associations: Vec<NetworkAclAssociation>,
    /// Its tags.
    pub tags: Tags,
}

impl NetworkAcl {
    /// The entries of one direction, in the order in which they are asked.
    pub fn entries_of(&self, direction: AclDirection) -> impl Iterator<Item = &NetworkAclEntry> {
        self.entries
            .iter()
            .filter(move |entry| entry.direction == direction)
    }
}

/// The direction of an entry, seen from the subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AclDirection {
    /// Into the subnet.
    Ingress,
    /// Out of the subnet.
    Egress,
}

/// An entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAclEntry {
    /// Its place: lower numbers are asked first; 32767 and 32768 are the `*` entries.
    pub number: u16,
    /// Its direction.
    pub direction: AclDirection,
    /// What becomes of packets that match.
    pub action: AclAction,
    /// What they carry.
    pub traffic: AclTraffic,
    /// Where they come from (ingress) or go to (egress), canonical.
    pub cidr: IpNet,
}

/// What becomes of a packet that an entry matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AclAction {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

impl AclAction {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What packets an entry speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AclTraffic {
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

impl AclTraffic {
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

/// A subnet of a network ACL. Each subnet has exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAclAssociation {
    /// Its id.
    pub id: NetworkAclAssociationId,
    /// The subnet.
    pub subnet: SubnetId,
}
