//! What the fabric is told about the VPC.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{
    EniId, InstanceId, Mac, NetworkAclId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId,
    VpcId,
};

use crate::MTU;

/// An ENI that gets a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// The ENI.
    pub eni: EniId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its subnet, which must have been set.
    pub subnet: SubnetId,
    /// Its addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Its prefixes: /28 of IPv4, /80 of IPv6.
    pub prefixes: Vec<IpNet>,
    /// Whether packets must come from and go to its own addresses.
    pub source_dest_check: bool,
    /// The groups it carries, at most 16.
    pub groups: Vec<SecurityGroupId>,
    /// Idle limits of its tracked flows.
    pub timeouts: TrackingTimeouts,
    /// Whom they count for.
    pub allowance: TrackingAllowance,
}

/// How many flows may be tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingAllowance {
    /// The instance whose ENIs share the allowance; without one the ENI has it alone.
    pub instance: Option<InstanceId>,
    /// How many. A packet that would begin one more is dropped.
    pub flows: u32,
}

impl Default for TrackingAllowance {
    /// EC2 publishes no number: only the size of the fabric's table ends it.
    fn default() -> Self {
        Self {
            instance: None,
            flows: u32::MAX,
        }
    }
}

/// How long a tracked flow of an ENI may be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingTimeouts {
    /// An answered TCP flow.
    pub tcp_established: Duration,
    /// A UDP flow with one request, answered or not.
    pub udp: Duration,
    /// A UDP flow with more than one request and answer.
    pub udp_stream: Duration,
}

impl Default for TrackingTimeouts {
    /// EC2's defaults on instances before Nitro v6.
    fn default() -> Self {
        Self {
            tcp_established: Duration::from_secs(432_000),
            udp: Duration::from_secs(30),
            udp_stream: Duration::from_secs(180),
        }
    }
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its VPC.
    pub vpc: VpcId,
    /// Its blocks, at most one of IPv4.
    pub blocks: Vec<IpNet>,
    /// Its route table.
    pub route_table: RouteTableId,
    /// Its network ACL; without one everything passes its edge.
    pub acl: Option<NetworkAclId>,
    /// Where its VPC's resolver is reached, beside the link-local addresses.
    pub resolver: Option<Ipv4Addr>,
}

impl Subnet {
    /// The IPv4 block.
    #[must_use]
    pub fn v4(&self) -> Option<Ipv4Net> {
        self.blocks.iter().find_map(|block| match block {
            IpNet::V4(block) => Some(*block),
            IpNet::V6(_) => None,
        })
    }

    /// The IPv6 block; the first, if there are several.
    #[must_use]
    pub fn v6(&self) -> Option<Ipv6Net> {
        self.blocks.iter().find_map(|block| match block {
            IpNet::V4(_) => None,
            IpNet::V6(block) => Some(*block),
        })
    }

    /// The router's IPv4 address: the one after the block's first.
    #[must_use]
    pub fn router(&self) -> Option<Ipv4Addr> {
        let first = u32::from(self.v4()?.network());
        Some(Ipv4Addr::from(first.saturating_add(1)))
    }
}

/// A route of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where packets go to.
    pub destination: IpNet,
    /// Who gets them.
    pub target: RouteTarget,
    /// Bytes of the largest packet that the way takes: the router tells who sends a larger one
    /// that must not be fragmented.
    pub mtu: u16,
}

impl Route {
    /// A route on which everything passes that the VPC takes.
    #[must_use]
    pub const fn new(destination: IpNet, target: RouteTarget) -> Self {
        Self {
            destination,
            target,
            mtu: MTU,
        }
    }
}

/// Who gets a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// Nobody.
    Blackhole,
    /// The internet, for flows that begin in the VPC.
    EgressOnly,
    /// An ENI, whatever its addresses.
    Eni(EniId),
    /// The internet.
    Internet,
    /// The ENI that has the address.
    Local,
    /// The NAT gateway that has this ENI.
    Nat(EniId),
    /// The ENI of this VPC that has the address.
    Peering(VpcId),
}

/// The VPC of an IPv6 block that is reached from the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockOwner {
    /// The VPC.
    pub vpc: VpcId,
    /// Whether only answers come in: it has an egress-only gateway, and no internet gateway.
    pub asked_only: bool,
}

/// The rules of a security group. What no rule allows is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRules {
    /// For packets towards the ENI's owner.
    pub ingress: Vec<Rule>,
    /// For packets from the ENI's owner.
    pub egress: Vec<Rule>,
}

/// A rule of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub protocol: Protocol,
    /// From or to whom.
    pub peer: Peer,
}

/// Packets that a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// All.
    Any,
    /// ICMP, of one type and code or of any.
    Icmp {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// ICMPv6, of one type and code or of any.
    Icmpv6 {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// Any other protocol, by its IANA number.
    Other(u8),
    /// TCP to a port of the range.
    Tcp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
    /// UDP to a port of the range.
    Udp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Addresses of a block.
    Cidr(IpNet),
    /// Addresses of the ENIs that carry a group.
    Group(SecurityGroupId),
    /// Addresses of the blocks of a prefix list.
    List(PrefixListId),
}

/// The entries of a network ACL, in the order in which they are asked: the first that matches
/// decides. What none matches is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclRules {
    /// For packets into the subnet.
    pub ingress: Vec<AclRule>,
    /// For packets out of the subnet.
    pub egress: Vec<AclRule>,
}

/// An entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRule {
    /// Which packets.
    pub protocol: Protocol,
    /// From or to whom.
    pub block: IpNet,
    /// Whether they pass.
    pub allow: bool,
}
