//! VPCs and subnets.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use underlay_types::{RouteTableId, SecurityGroupId, SubnetId, VpcCidrAssociationId, VpcId};

use crate::{AvailabilityZone, Tags};

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its address blocks, the primary first; at least one.
    pub cidrs: Vec<VpcCidrAssociation>,
    /// The route table of subnets that are associated with no other.
    pub main_route_table: RouteTableId,
    /// The group of interfaces for which no other is named.
    pub default_group: SecurityGroupId,
    /// Attribute `enableDnsSupport`.
    pub dns_support: bool,
    /// Attribute `enableDnsHostnames`.
    pub dns_hostnames: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Vpc {
    /// Whether `address` lies in one of the VPC's blocks.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.cidrs.iter().any(|block| block.cidr.contains(&address))
    }
}

/// An address block of a VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcCidrAssociation {
    /// The association's id.
    pub id: VpcCidrAssociationId,
    /// The block, /16 to /28.
    pub cidr: Ipv4Net,
}

/// A subnet. How many of its addresses are free is asked of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Its block, /16 to /28, canonical.
    pub cidr: Ipv4Net,
    /// Its availability zone.
    pub zone: AvailabilityZone,
    /// Attribute `mapPublicIpOnLaunch`: stored, without effect.
    pub map_public_ip_on_launch: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Subnet {
    /// The VPC router's address in this subnet: the block's second.
    #[must_use]
    pub fn router(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 1)
    }

    /// The address this subnet reserves for DNS: the block's third.
    #[must_use]
    pub fn dns(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 2)
    }
}
