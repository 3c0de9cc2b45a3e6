//! What the fabric is told about the VPC.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use underlay_types::{EniId, Mac, RouteTableId, SecurityGroupId, SubnetId, VpcId};

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
}

/// Who gets a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// Nobody.
    Blackhole,
    /// An ENI, whatever its addresses.
    Eni(EniId),
    /// The ENI that has the address.
    Local,
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
}
