//! What a flow log says about the ENI it was captured at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use underlay_types::{AccountId, EniId, InstanceId, SubnetId, VpcId};

/// The ENI a record was captured at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniFacts {
    /// The ENI.
    pub id: EniId,
    /// The account that owns it.
    pub account: AccountId,
    /// Its primary private IPv4 address.
    pub primary_v4: Option<Ipv4Addr>,
    /// Its first IPv6 address.
    pub primary_v6: Option<Ipv6Addr>,
    /// The instance it is attached to.
    pub instance: Option<InstanceId>,
    /// Its kind as the API names it, such as `interface` or `trunk`.
    pub interface_type: String,
    /// Where it lies.
    pub network: EniNetwork,
}

/// Where an ENI lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniNetwork {
    /// Its VPC.
    pub vpc: VpcId,
    /// The address blocks of its VPC; the first IPv4 block is the primary one.
    pub vpc_cidrs: Vec<IpNet>,
    /// Its subnet.
    pub subnet: SubnetId,
    /// The subnet's IPv4 block.
    pub subnet_v4: Option<Ipv4Net>,
    /// The region's name.
    pub region: String,
    /// The id of the availability zone, such as `use1-az1`.
    pub az_id: String,
}

impl EniFacts {
    /// The address a record names on the ENI's own side: the ENI's primary address, whichever of
    /// its addresses (or of those behind it) the packet carries.
    ///
    /// An ENI without an address of the packet's family shows the packet's own.
    #[must_use]
    pub(crate) fn own_address(&self, real: IpAddr) -> IpAddr {
        match real {
            IpAddr::V4(_) => self.primary_v4.map_or(real, IpAddr::V4),
            IpAddr::V6(_) => self.primary_v6.map_or(real, IpAddr::V6),
        }
    }
}

impl EniNetwork {
    /// Whether the address lies in the VPC.
    pub(crate) fn is_in_vpc(&self, address: IpAddr) -> bool {
        self.vpc_cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}
