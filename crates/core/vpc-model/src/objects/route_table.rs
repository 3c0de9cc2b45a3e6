//! Route tables.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, PrefixListId,
    RouteTableAssociationId, RouteTableId, SubnetId, VpcId, VpcPeeringConnectionId,
};

use crate::Tags;

/// A route table: where packets of its subnets' interfaces go. The longest prefix wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its id.
    pub id: RouteTableId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Its routes: one `local` per VPC block, then the others as created. No destination twice.
    pub routes: Vec<Route>,
    /// Its associations.
    pub associations: Vec<RouteTableAssociation>,
    /// Its tags.
    pub tags: Tags,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where packets are going.
    pub destination: RouteDestination,
    /// Where they are handed to.
    pub target: RouteTarget,
}

/// Where packets are going.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RouteDestination {
    /// To an address of this canonical block, of either family.
    Cidr(IpNet),
    /// To an address of any of this list's blocks.
    PrefixList(PrefixListId),
}

impl RouteDestination {
    /// The block, unless it is a list.
    #[must_use]
    pub const fn cidr(&self) -> Option<IpNet> {
        match self {
            Self::Cidr(block) => Some(*block),
            Self::PrefixList(_) => None,
        }
    }

    /// Whether it is a block that has `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr().is_some_and(|block| block.contains(&address))
    }
}

impl fmt::Display for RouteDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(block) => fmt::Display::fmt(block, f),
            Self::PrefixList(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl From<IpNet> for RouteDestination {
    fn from(block: IpNet) -> Self {
        Self::Cidr(block.trunc())
    }
}

impl From<Ipv4Net> for RouteDestination {
    fn from(block: Ipv4Net) -> Self {
        IpNet::from(block).into()
    }
}

impl From<Ipv6Net> for RouteDestination {
    fn from(block: Ipv6Net) -> Self {
        IpNet::from(block).into()
    }
}

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a block of addresses nor the id of a prefix list")]
pub struct RouteDestinationError(pub String);

impl FromStr for RouteDestination {
    type Err = RouteDestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let block = text.parse::<IpNet>().ok().map(Self::from);
        let list = || text.parse().ok().map(Self::PrefixList);
        block
            .or_else(list)
            .ok_or_else(|| RouteDestinationError(text.to_owned()))
    }
}

/// Where a route hands packets to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// Out of the VPC, for IPv6 flows that begin in it.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// This interface, whatever the packet's destination address.
    Eni(EniId),
    /// To and from the internet.
    InternetGateway(InternetGatewayId),
    /// The interface in this VPC that has the packet's destination address.
    Local,
    /// This gateway's interface, which translates.
    NatGateway(NatGatewayId),
    /// The interface in the peer VPC that has the packet's destination address.
    Peering(VpcPeeringConnectionId),
}

/// Whether a route's target can take packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteState {
    /// It can.
    Active,
    /// Its interface is detached, its gateway is not attached, or it is gone: packets are dropped.
    Blackhole,
}

impl RouteState {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blackhole => "blackhole",
        }
    }
}

/// What a route table applies to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    /// Its id.
    pub id: RouteTableAssociationId,
    /// The subnet; `None` for the association that makes a table its VPC's main one.
    pub subnet: Option<SubnetId>,
}
