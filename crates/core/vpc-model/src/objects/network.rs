//! VPCs and subnets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::{
    RouteTableId, SecurityGroupId, SubnetCidrAssociationId, SubnetId, VpcCidrAssociationId, VpcId,
};

use crate::{AvailabilityZone, Tags};

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its IPv4 blocks, the primary first; at least one.
    pub cidrs: Vec<VpcCidrAssociation>,
    /// Its IPv6 blocks, in the order in which they were associated.
    pub v6_cidrs: Vec<VpcIpv6CidrAssociation>,
    /// The route table of subnets that are associated with no other.
    pub main_route_table: RouteTableId,
    /// The group of interfaces for which no other is named.
    pub default_group: SecurityGroupId,
    /// Attribute `enableDnsSupport`.
    pub dns_support: bool,
    /// Attribute `enableDnsHostnames`.
    pub dns_hostnames: bool,
    /// Attribute `enableNetworkAddressUsageMetrics`: stored, without effect.
    pub address_usage_metrics: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Vpc {
    /// The address of its resolver, beside the link-local ones: the third of its first block.
    #[must_use]
    pub fn resolver(&self) -> Option<Ipv4Addr> {
        let first = self.cidrs.first()?.cidr.network();
        Some(Ipv4Addr::from_bits(first.to_bits() + 2))
    }

    /// Whether `address` lies in one of the VPC's blocks.
    #[must_use]
    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.blocks().any(|block| block.contains(&address))
    }

    /// The blocks of both families, the primary first, without those that are going away.
    pub fn blocks(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4_blocks().map(IpNet::V4);
        v4.chain(self.v6_blocks().map(IpNet::V6))
    }

    /// The IPv4 blocks, the primary first, without those that are going away.
    pub fn v4_blocks(&self) -> impl Iterator<Item = Ipv4Net> {
        let live = self.cidrs.iter().filter(|block| block.state.is_live());
        live.map(|block| block.cidr)
    }

    /// The IPv6 blocks without those that are going away.
    pub fn v6_blocks(&self) -> impl Iterator<Item = Ipv6Net> {
        let live = self.v6_cidrs.iter().filter(|block| block.state.is_live());
        live.map(|block| block.cidr)
    }
}

/// An IPv4 block of a VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcCidrAssociation {
    /// The association's id.
    pub id: VpcCidrAssociationId,
    /// The block, /16 to /28.
    pub cidr: Ipv4Net,
    /// How far associating or disassociating has come.
    pub state: CidrState,
}

/// An IPv6 block of a VPC, provided by Amazon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcIpv6CidrAssociation {
    /// The association's id.
    pub id: VpcCidrAssociationId,
    /// The block, a /56.
    pub cidr: Ipv6Net,
    /// How far associating or disassociating has come.
    pub state: CidrState,
}

/// How far a block's association with a VPC or a subnet has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CidrState {
    /// Asked for; the block counts as there.
    Associating,
    /// Done.
    Associated,
    /// Going away; the block counts as gone, and is shown for a while.
    Disassociating,
}

impl CidrState {
    /// Whether the block can be used.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Associating | Self::Associated)
    }

    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Associating => "associating",
            Self::Associated => "associated",
            Self::Disassociating => "disassociating",
        }
    }
}

/// A subnet. How many of its addresses are free is asked of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// The VPC it belongs to.
    pub vpc: VpcId,
    /// Its IPv4 block, /16 to /28, canonical.
    pub cidr: Ipv4Net,
    /// Its IPv6 block.
    pub v6: Option<SubnetCidrAssociation>,
    /// Its availability zone.
    pub zone: AvailabilityZone,
    /// Attribute `mapPublicIpOnLaunch`: whether instances get a public address when launched.
    pub map_public_ip_on_launch: bool,
    /// Attribute `assignIpv6AddressOnCreation`: a new interface gets an IPv6 address.
    pub assign_v6_on_creation: bool,
    /// Attribute `enableDns64`: stored, without effect.
    pub dns64: bool,
    /// How instances that are launched here are named.
    pub launch_names: LaunchNames,
    /// Its tags.
    pub tags: Tags,
}

/// How instances that are launched in a subnet are named: stored, without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaunchNames {
    /// By the instance's id rather than its primary address.
    pub by_instance: bool,
    /// Whether the name by the id has an A record.
    pub a_record: bool,
    /// Whether the name by the id has an AAAA record.
    pub aaaa_record: bool,
}

/// The IPv6 block of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetCidrAssociation {
    /// The association's id.
    pub id: SubnetCidrAssociationId,
    /// The block, a /64 of one of the VPC's.
    pub cidr: Ipv6Net,
    /// How far associating or disassociating has come.
    pub state: CidrState,
}

impl Subnet {
    /// The VPC router's address in this subnet: the block's second.
    #[must_use]
    pub fn router(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 1)
    }

    /// The IPv6 block, unless it is going away.
    #[must_use]
    pub fn v6_cidr(&self) -> Option<Ipv6Net> {
        let held = self.v6.as_ref();
        held.filter(|held| held.state.is_live())
            .map(|held| held.cidr)
    }

    /// The VPC router's IPv6 address in this subnet: the block's second.
    #[must_use]
    pub fn router_v6(&self) -> Option<Ipv6Addr> {
        let base = self.v6_cidr()?.network().to_bits();
        Some(Ipv6Addr::from_bits(base + 1))
    }

    /// The address this subnet reserves for DNS: the block's third.
    #[must_use]
    pub fn dns(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + 2)
    }
}
