//! Traffic that no flow log shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{EniNetwork, FlowKey};

/// The name server, the metadata service, the clock and the two activation servers of the link.
const LINK_SERVICES_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 169, 123),
    Ipv4Addr::new(169, 254, 169, 250),
    Ipv4Addr::new(169, 254, 169, 251),
];
const LINK_SERVICES_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x253),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x123),
];
const UDP: u8 = 17;
const DHCP_PORTS: [u16; 4] = [67, 68, 546, 547];

/// Whether a flow is one that flow logs leave out: the VPC's own name server, the link-local
/// services (metadata, time, activation), DHCP, and the reserved address of the VPC router.
///
/// AWS documentation, "Flow log limitations". A name server of the user's own is logged.
#[must_use]
pub fn is_unlogged(flow: &FlowKey, network: &EniNetwork) -> bool {
    is_dhcp(flow) || is_vpc_service(flow.src, network) || is_vpc_service(flow.dst, network)
}

fn is_dhcp(flow: &FlowKey) -> bool {
    flow.protocol == UDP
        && DHCP_PORTS.contains(&flow.src_port)
        && DHCP_PORTS.contains(&flow.dst_port)
}

fn is_vpc_service(address: IpAddr, network: &EniNetwork) -> bool {
    match address {
        IpAddr::V4(v4) => {
            LINK_SERVICES_V4.contains(&v4)
                || name_server(network) == Some(v4)
                || router(network) == Some(v4)
        }
        IpAddr::V6(v6) => LINK_SERVICES_V6.contains(&v6),
    }
}

/// The third address of the VPC's primary block.
fn name_server(network: &EniNetwork) -> Option<Ipv4Addr> {
    network.vpc_cidrs.iter().find_map(|cidr| match cidr {
        IpNet::V4(v4) => nth(v4.network(), 2),
        IpNet::V6(_) => None,
    })
}

/// The second address of the ENI's subnet.
fn router(network: &EniNetwork) -> Option<Ipv4Addr> {
    network
        .subnet_v4
        .and_then(|subnet| nth(subnet.network(), 1))
}

fn nth(base: Ipv4Addr, offset: u32) -> Option<Ipv4Addr> {
    u32::from(base).checked_add(offset).map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::tests::{facts, flow};

    #[test]
    fn services_of_the_vpc_and_of_the_link_are_never_logged() {
        let network = facts().network;
        for remote in [
            "169.254.169.254",
            "169.254.169.253",
            "169.254.169.123",
            "169.254.169.250",
            "10.0.0.2",
            "10.0.1.1",
        ] {
            let to = flow("10.0.1.4", remote, 17, 40000, 53);
            let from = flow(remote, "10.0.1.4", 17, 53, 40000);
            assert!(is_unlogged(&to, &network), "to {remote}");
            assert!(is_unlogged(&from, &network), "from {remote}");
        }
        assert!(is_unlogged(
            &flow("0.0.0.0", "255.255.255.255", 17, 68, 67),
            &network
        ));
    }

    #[test]
    fn traffic_of_people_is_logged() {
        let network = facts().network;
        for logged in [
            flow("10.0.1.4", "10.0.1.2", 17, 40000, 53),
            flow("10.0.1.4", "10.0.0.1", 6, 40000, 443),
            flow("10.0.1.4", "8.8.8.8", 17, 40000, 53),
            flow("10.0.1.4", "10.0.1.5", 17, 68, 5000),
        ] {
            assert!(!is_unlogged(&logged, &network), "{logged:?}");
        }
    }
}
