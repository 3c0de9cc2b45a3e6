//! The namespace of the link-local services.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, OwnedFd},
};

use aya::Ebpf;
use ipnet::{IpNet, Ipv4Net};
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
    FabricError, MTU,
    programs::{self, ProgramName},
};

/// Where the services listen: instance metadata, DNS, NTP.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 169, 123),
];
/// Next hop of all answers; nobody has it.
const FABRIC: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
pub(crate) const DEVICE: &str = "services";
const MAC: Mac = Mac([0x02, 0, 0, 0, 0xa9, 0xfe]);
const FABRIC_MAC: Mac = Mac([0x02, 0, 0, 0, 0xa9, 0x01]);

const SECOND_NS: u64 = 1_000_000_000;

/// The addresses that stand for callers: shared address space (RFC 6598), seen by nobody else.
pub(crate) fn caller_ids() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)
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
    programs::attach(
        object,
        ProgramName::FromServices,
        DEVICE,
        fabric_netns.as_fd(),
    )?;
    let near = link::by_name(fabric, DEVICE)?.index;
    Ok(settings(near))
}

fn configure(services: &OwnedFd) -> Result<(), KernelError> {
    let mut socket = Socket::open_in(services.as_fd())?;
    let lo = link::by_name(&mut socket, "lo")?.index;
    let dev = link::by_name(&mut socket, DEVICE)?.index;
    let mut requests = vec![link::set_up(lo, true), link::set_up(dev, true)];
    requests
        .extend(ADDRESSES.map(|ip| address::add(&Address::new(dev, IpNet::from(IpAddr::V4(ip))))));
    let gateway = IpAddr::V4(FABRIC);
    requests.push(neighbour::set(&Neighbour::permanent(
        dev, gateway, FABRIC_MAC,
    )));
    let callers = IpNet::V4(caller_ids());
    requests.push(route::add(&Route::via(callers, gateway, dev, route::MAIN)));
    socket.run(&requests)
}

fn settings(near: IfIndex) -> abi::Settings {
    let ids = caller_ids();
    let (first, last) = (u32::from(ids.network()), u32::from(ids.broadcast()));
    abi::Settings {
        services_ifindex: near.0,
        services_mac: MAC.0,
        services_gateway_mac: FABRIC_MAC.0,
        service_ids_base: first + 1,
        service_ids: last - first - 1,
        // Unpublished; about what the kernel's own tracking uses.
        tcp_half_open_ns: 60 * SECOND_NS,
        tcp_closing_ns: 10 * SECOND_NS,
        icmp_ns: 30 * SECOND_NS,
        other_ns: 600 * SECOND_NS,
    }
}
