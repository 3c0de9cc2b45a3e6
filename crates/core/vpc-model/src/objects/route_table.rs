//! Route tables.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use underlay_types::{EniId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId};

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
    /// Where packets are going, canonical.
    pub destination: Ipv4Net,
    /// Where they are handed to.
    pub target: RouteTarget,
}

/// Where a route hands packets to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// The interface in this VPC that has the packet's destination address.
    Local,
    /// This interface, whatever the packet's destination address.
    Eni(EniId),
}

/// Whether a route's target can take packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteState {
    /// It can.
    Active,
    /// Its interface is detached or gone: packets are dropped.
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
