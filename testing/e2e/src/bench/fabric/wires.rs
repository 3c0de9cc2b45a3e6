//! What the fabric is compared with: plain veths. The namespaces have no names and go with the
//! pair.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use ipnet::IpNet;
use underlay_netlink::{
    Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    netns,
    route::{self, Route},
    sysctl,
};
use underlay_testkit::Netns;

use super::ping::Pair;

pub(super) const PEER_NAME: &str =
    "two veths through a forwarding namespace, no conntrack, MTU 9001";
const MTU: u32 = 9001;
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 210, 1, 2);
const NEAR_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 210, 1, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 210, 2, 2);
const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 210, 2, 1);

/// Two namespaces joined by one veth.
pub(super) fn direct() -> anyhow::Result<Pair> {
    let (near, far) = (netns::create()?, netns::create()?);
    let neighbour = Ipv4Addr::new(10, 210, 1, 3);
    join(&near, NEAR, &far, neighbour)?;
    open(&near, NEAR, &far, neighbour)
}

/// Two namespaces joined through a third that forwards.
pub(super) fn through_a_router() -> anyhow::Result<Pair> {
    let (near, router, far) = (netns::create()?, netns::create()?, netns::create()?);
    join(&near, NEAR, &router, NEAR_ROUTER)?;
    join(&far, FAR, &router, FAR_ROUTER)?;
    netns::run_in(router.as_fd(), || sysctl::write("ipv4/ip_forward", "1"))??;
    for (netns, gateway) in [(&near, NEAR_ROUTER), (&far, FAR_ROUTER)] {
        let mut socket = Socket::open_in(netns.as_fd())?;
        let dev = link::by_name(&mut socket, "wire0")?.index;
        let default = Route::via(IpNet::default(), IpAddr::V4(gateway), dev, route::MAIN);
        socket.run(&[route::add(&default)])?;
    }
    Ok(open(&near, NEAR, &far, FAR)?.keeping(router))
}

/// A veth between two namespaces with an address of one /24 at each end.
fn join(
    one: &OwnedFd,
    address: Ipv4Addr,
    other: &OwnedFd,
    opposite: Ipv4Addr,
) -> anyhow::Result<()> {
    let mut near = Socket::open_in(one.as_fd())?;
    let mut far = Socket::open_in(other.as_fd())?;
    // A router has several far ends; each name must be free there.
    let far_name = format!("wire{}", opposite.octets()[2]);
    near.run(&[link::add_veth(&Veth {
        near: VethEnd {
            mtu: Some(MTU),
            ..VethEnd::named("wire0")
        },
        near_up: true,
        far: VethEnd {
            mtu: Some(MTU),
            netns: Some(other.as_fd()),
            ..VethEnd::named(&far_name)
        },
    })])?;
    for (socket, name, address) in [
        (&mut near, "wire0", address),
        (&mut far, &far_name, opposite),
    ] {
        let dev = link::by_name(socket, name)?.index;
        let prefix = IpNet::new(IpAddr::V4(address), 24)?;
        socket.run(&[
            link::set_up(dev, true),
            address::add(&Address::new(dev, prefix)),
        ])?;
    }
    Ok(())
}

fn open(
    near: &OwnedFd,
    address: Ipv4Addr,
    far: &OwnedFd,
    opposite: Ipv4Addr,
) -> anyhow::Result<Pair> {
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let near = Netns::open(Path::new(&path(near)))?;
    let far = Netns::open(Path::new(&path(far)))?;
    Pair::open(&near, address, &far, opposite)
}
