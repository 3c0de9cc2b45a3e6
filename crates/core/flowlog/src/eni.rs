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
    /// Whether that instance is Nitro-based; not so without an instance.
    pub nitro: bool,
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
    /// Ways out of the subnet, other than to the VPC's own blocks.
    pub ways: Vec<Way>,
    /// Public address blocks of AWS services, by the names that records give them.
    pub services: Vec<(IpNet, String)>,
}

/// A way out of a subnet: what its route table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where to.
    pub destination: IpNet,
    /// Through what; `None` for what field `traffic-path` has no number for.
    pub through: Option<TrafficPath>,
}

/// What egress traffic goes through, as field `traffic-path` tells it (Amazon VPC User Guide,
/// "Available fields").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPath {
    /// 1: another resource in the same VPC, such as an ENI or a NAT gateway.
    SameVpc,
    /// 2, and 8 of a Nitro-based instance: an internet gateway.
    InternetGateway,
    /// 3: a virtual private gateway.
    VirtualPrivateGateway,
    /// 4: a peering within the Region.
    RegionPeering,
    /// 5: a peering between Regions.
    InterRegionPeering,
    /// 6: a local gateway.
    LocalGateway,
    /// 2, and 7 of a Nitro-based instance: a gateway endpoint.
    GatewayEndpoint,
}

impl TrafficPath {
    /// The number that a record shows.
    #[must_use]
    pub const fn number(self, nitro: bool) -> u8 {
        match (self, nitro) {
            (Self::SameVpc, _) => 1,
            (Self::InternetGateway | Self::GatewayEndpoint, false) => 2,
            (Self::VirtualPrivateGateway, _) => 3,
            (Self::RegionPeering, _) => 4,
            (Self::InterRegionPeering, _) => 5,
            (Self::LocalGateway, _) => 6,
            (Self::GatewayEndpoint, true) => 7,
            (Self::InternetGateway, true) => 8,
        }
    }
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
    /// What a packet to `destination` leaves through. The longest prefix wins; without one, an
    /// address of the VPC is reached by its `local` route.
    pub(crate) fn path_to(&self, destination: IpAddr) -> Option<TrafficPath> {
        let longest = self
            .ways
            .iter()
            .filter(|way| way.destination.contains(&destination))
            .max_by_key(|way| way.destination.prefix_len());
        let local = self
            .vpc_cidrs
            .iter()
            .filter(|cidr| cidr.contains(&destination))
            .map(IpNet::prefix_len)
            .max();
        match (longest, local) {
            (Some(way), Some(local)) if way.destination.prefix_len() <= local => {
                Some(TrafficPath::SameVpc)
            }
            (Some(way), _) => way.through,
            (None, local) => local.map(|_| TrafficPath::SameVpc),
        }
    }

    /// The AWS service that an address belongs to. Of overlapping blocks the longest counts.
    pub(crate) fn service_of(&self, address: IpAddr) -> Option<&str> {
        let blocks = self.services.iter();
        let longest = blocks
            .filter(|(block, _)| block.contains(&address))
            .max_by_key(|(block, _)| block.prefix_len());
        longest.map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::tests::facts;

    fn way(destination: &str, through: Option<TrafficPath>) -> Way {
        Way {
            destination: destination.parse().unwrap(),
            through,
        }
    }

    #[test]
    fn the_longest_way_wins_and_the_vpc_is_reached_by_its_local_route() {
        let mut network = facts().network;
        network.ways = vec![
            way("0.0.0.0/0", Some(TrafficPath::InternetGateway)),
            way("10.0.0.0/8", Some(TrafficPath::RegionPeering)),
            way("10.0.9.0/24", Some(TrafficPath::SameVpc)),
            way("192.0.2.0/24", None),
        ];
        for (address, expected) in [
            ("8.8.8.8", Some(TrafficPath::InternetGateway)),
            ("10.0.2.9", Some(TrafficPath::SameVpc)),
            ("10.0.9.1", Some(TrafficPath::SameVpc)),
            ("10.1.0.1", Some(TrafficPath::RegionPeering)),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(
                network.path_to(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn numbers_are_those_of_the_documentation() {
        let numbers = |nitro| {
            [
                TrafficPath::SameVpc,
                TrafficPath::InternetGateway,
                TrafficPath::VirtualPrivateGateway,
                TrafficPath::RegionPeering,
                TrafficPath::InterRegionPeering,
                TrafficPath::LocalGateway,
                TrafficPath::GatewayEndpoint,
            ]
            .map(|path| path.number(nitro))
        };
        assert_eq!(numbers(true), [1, 8, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(false), [1, 2, 3, 4, 5, 6, 2]);
    }

    #[test]
    fn an_address_of_a_service_has_its_name() {
        let mut network = facts().network;
        network.services = vec![
            ("198.51.100.0/24".parse().unwrap(), "AMAZON".into()),
            ("198.51.100.16/28".parse().unwrap(), "S3".into()),
        ];
        let name = |address: &str| network.service_of(address.parse().unwrap());
        assert_eq!(name("198.51.100.17"), Some("S3"));
        assert_eq!(name("198.51.100.1"), Some("AMAZON"));
        assert_eq!(name("10.0.0.1"), None);
    }
}
