//! The outside world: a namespace that stands for the internet.
//!
//! Every address is its own, so that a program there can listen on any, except those that lead
//! back to the VPCs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
};

use aya::Ebpf;
use ipnet::IpNet;
use underlay_fabric_abi as abi;
use underlay_netlink::{
    KernelError, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    route::{self, Kind, Route, Scope},
};
use underlay_types::Mac;

use crate::{
    FabricError,
    programs::{self, ProgramName},
};

pub(crate) const DEVICE: &str = "outside";
/// Bytes of the largest packet that passes an internet gateway.
pub const INTERNET_MTU: u16 = 1500;
const MAC: Mac = Mac([0x02, 0, 0, 0, 0xff, 0xfe]);
const FABRIC_MAC: Mac = Mac([0x02, 0, 0, 0, 0xff, 0x01]);
/// Next hops of what goes back; nobody has them.
const FABRIC_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
const FABRIC_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Where packets come from that nobody gave a source: addresses for documentation.
const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const LOCAL: u8 = 2;
const SCOPE_HOST: u8 = 254;

/// Connects the namespace to the fabric, and says in `settings` how.
pub(crate) fn connect(
    object: &mut Ebpf,
    fabric: &mut Socket,
    fabric_netns: &OwnedFd,
    outside: &OwnedFd,
    settings: &mut abi::Settings,
) -> Result<(), FabricError> {
    let mtu = Some(u32::from(INTERNET_MTU));
    let far = VethEnd {
        mac: Some(MAC),
        mtu,
        netns: Some(outside.as_fd()),
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
    configure(outside)?;
    programs::attach(object, ProgramName::Outside, DEVICE, fabric_netns.as_fd())?;
    settings.outside_ifindex = link::by_name(fabric, DEVICE)?.index.0;
    settings.outside_mac = MAC.0;
    settings.outside_gateway_mac = FABRIC_MAC.0;
    Ok(())
}

fn configure(outside: &OwnedFd) -> Result<(), KernelError> {
    let mut socket = Socket::open_in(outside.as_fd())?;
    let lo = link::by_name(&mut socket, "lo")?.index;
    let dev = link::by_name(&mut socket, DEVICE)?.index;
    let mut requests = vec![link::set_up(lo, true), link::set_up(dev, true)];
    for source in [IpAddr::V4(SOURCE_V4), IpAddr::V6(SOURCE_V6)] {
        requests.push(address::add(&Address::new(dev, IpNet::from(source))));
    }
    for gateway in [IpAddr::V4(FABRIC_V4), IpAddr::V6(FABRIC_V6)] {
        let neighbour = Neighbour::permanent(dev, gateway, FABRIC_MAC);
        requests.push(neighbour::set(&neighbour));
        // Else the kernel takes it for one of the namespace's own.
        let hop = IpNet::from(gateway);
        requests.push(route::add(&Route::direct(hop, dev, route::LOCAL)));
    }
    for everything in [
        IpNet::V4(ipnet::Ipv4Net::default()),
        IpNet::V6(ipnet::Ipv6Net::default()),
    ] {
        requests.push(route::add(&Route {
            kind: Kind::Other(LOCAL),
            scope: match everything {
                IpNet::V4(_) => Scope::Other(SCOPE_HOST),
                IpNet::V6(_) => Scope::Universe,
            },
            ..Route::direct(everything, lo, route::LOCAL)
        }));
    }
    socket.run(&requests)
}

/// Has what is for `block` go to the fabric. In the table of local routes, whose longest prefix
/// wins: every address is local there.
pub(crate) fn route_back(outside: &OwnedFd, block: IpNet) -> Result<(), KernelError> {
    let mut socket = Socket::open_in(outside.as_fd())?;
    let dev = link::by_name(&mut socket, DEVICE)?.index;
    let (gateway, source) = match block {
        IpNet::V4(_) => (IpAddr::V4(FABRIC_V4), IpAddr::V4(SOURCE_V4)),
        IpNet::V6(_) => (IpAddr::V6(FABRIC_V6), IpAddr::V6(SOURCE_V6)),
    };
    socket.run(&[route::replace(&Route {
        source: Some(source),
        ..Route::via(block, gateway, dev, route::LOCAL)
    })])
}
