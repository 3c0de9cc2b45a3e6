//! The namespace of the link-local services.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
};

use aya::Ebpf;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_fabric_abi as abi;
use underlay_netlink::{
    IfIndex, KernelError, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    route::{self, Route},
};
use underlay_types::Mac;

use crate::{
    FabricError, FabricLimits, MTU,
    programs::{self, ProgramName},
};

/// Where the services listen: instance metadata, DNS, NTP.
const ADDRESSES: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123)),
];
/// Next hops of all answers; nobody has them.
const FABRIC: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];
pub(crate) const DEVICE: &str = "services";
const MAC: Mac = Mac([0x02, 0, 0, 0, 0xa9, 0xfe]);
const FABRIC_MAC: Mac = Mac([0x02, 0, 0, 0, 0xa9, 0x01]);

const SECOND_NS: u64 = 1_000_000_000;

/// The addresses that stand for callers: shared address space (RFC 6598), seen by nobody else.
pub(crate) fn caller_ids() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)
}

/// Those of callers by IPv6: the same numbers as the last 32 bits, behind bits of the services'
/// own block.
fn v6_caller_ids() -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0xffff, 0, 0, 0, 0, 0), 96)
}

/// Connects the services' namespace to the fabric.
pub(crate) fn connect(
    object: &mut Ebpf,
    fabric: &mut Socket,
    fabric_netns: &OwnedFd,
    services: &OwnedFd,
) -> Result<abi::Settings, FabricError> {
    let mtu = Some(u32::from(MTU));
    let far = VethEnd {
        mac: Some(MAC),
        mtu,
        netns: Some(services.as_fd()),
        ..VethEnd::named(DEVICE)
    };
    let near = VethEnd {
        mtu,
        ..VethEnd::named(DEVICE)
    };
    fabric.run(&[link::add_veth(&Veth {
        near,
        near_up: true,
        far,
    })])?;
    configure(services)?;
    programs::attach(object, ProgramName::Services, DEVICE, fabric_netns.as_fd())?;
    let near = link::by_name(fabric, DEVICE)?.index;
    Ok(settings(near))
}

fn configure(services: &OwnedFd) -> Result<(), KernelError> {
    let mut socket = Socket::open_in(services.as_fd())?;
    let lo = link::by_name(&mut socket, "lo")?.index;
    let dev = link::by_name(&mut socket, DEVICE)?.index;
    let mut requests = vec![link::set_up(lo, true), link::set_up(dev, true)];
    requests.extend(ADDRESSES.map(|ip| address::add(&Address::new(dev, IpNet::from(ip)))));
    let callers = [IpNet::V4(caller_ids()), IpNet::V6(v6_caller_ids())];
    for (gateway, callers) in FABRIC.into_iter().zip(callers) {
        let neighbour = Neighbour::permanent(dev, gateway, FABRIC_MAC);
        requests.push(neighbour::set(&neighbour));
        requests.push(route::add(&Route::via(callers, gateway, dev, route::MAIN)));
    }
    socket.run(&requests)
}

fn settings(near: IfIndex) -> abi::Settings {
    let ids = caller_ids();
    let limits = FabricLimits::default();
    let (first, last) = (u32::from(ids.network()), u32::from(ids.broadcast()));
    abi::Settings {
        services_ifindex: near.0,
        services_mac: MAC.0,
        services_gateway_mac: FABRIC_MAC.0,
        service_ids_base: first + 1,
        service_ids: last - first - 1,
        outside_ifindex: 0,
        outside_mac: [0; 6],
        outside_gateway_mac: [0; 6],
        link_local_packets: limits.link_local_packets,
        pad: 0,
        nat_idle_ns: u64::try_from(limits.nat_idle.as_nanos()).unwrap_or(u64::MAX),
        // Unpublished; about what the kernel's own tracking uses.
        tcp_half_open_ns: 60 * SECOND_NS,
        tcp_closing_ns: 10 * SECOND_NS,
        icmp_ns: 30 * SECOND_NS,
        other_ns: 600 * SECOND_NS,
    }
}
