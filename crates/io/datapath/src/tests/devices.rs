//! Two namespaces that speak as branches to each other: what one tags, the other takes off.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use ipnet::IpNet;
use underlay_netlink::{
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    netns, nft,
    route::{self, Route},
};

use super::super::*;

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const A_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const B_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const DEVICE: &str = "trunk0";
/// What is sent has the mark of VLAN 4001. What asks for neighbours has none.
const MARKING: &str = "add table inet m; flush table inet m; \
    add chain inet m out { type route hook output priority mangle; }; \
    add rule inet m out meta l4proto udp meta mark set 0x7e840000";

/// One end.
struct End {
    netns: OwnedFd,
    socket: Socket,
    device: IfIndex,
    datapath: Datapath,
    udp: UdpSocket,
    udp_v6: UdpSocket,
    own: Ipv4Addr,
}

fn vlan() -> VlanId {
    VlanId::try_from(4001_u16).unwrap()
}

fn v6(address: Ipv4Addr) -> Ipv6Addr {
    if address == A { A_V6 } else { B_V6 }
}

fn branch(address: Ipv4Addr) -> Branch {
    Branch {
        ipv4: Some(BranchIpv4 {
            address,
            router: Ipv4Addr::new(10, 9, 0, 254),
        }),
        ipv6: Some(v6(address)),
        // Not the device's own: the kernel must be told that a frame is for it.
        mac: Mac::local(u64::from(u32::from(address))),
    }
}

impl End {
    fn new(netns: OwnedFd, own: Ipv4Addr, other: Ipv4Addr) -> Self {
        let mut socket = Socket::open_in(netns.as_fd()).unwrap();
        let device = link::by_name(&mut socket, DEVICE).unwrap().index;
        let mut requests = vec![link::set_up(device, true)];
        for (own, other_ip) in [
            (IpAddr::V4(own), IpAddr::V4(other)),
            (v6(own).into(), v6(other).into()),
        ] {
            let other_mac = branch(other).mac;
            requests.extend([
                address::add(&Address::new(device, IpNet::from(own))),
                route::add(&Route::direct(IpNet::from(other_ip), device, route::MAIN)),
                neighbour::set(&Neighbour::permanent(device, other_ip, other_mac)),
            ]);
        }
        // Addresses are usable at once.
        netns::run_in(netns.as_fd(), || {
            for (name, value) in [("disable_ipv6", "0"), ("accept_dad", "0")] {
                let setting = format!("/proc/sys/net/ipv6/conf/{DEVICE}/{name}");
                std::fs::write(setting, value).unwrap();
            }
        })
        .unwrap();
        socket.run(&requests).unwrap();
        let (udp, udp_v6) = netns::run_in(netns.as_fd(), || {
            nft::load(MARKING).unwrap();
            let bind = |own: IpAddr| UdpSocket::bind((own, 7)).unwrap();
            (bind(own.into()), bind(v6(own).into()))
        })
        .unwrap();
        for socket in [&udp, &udp_v6] {
            let patience = Some(Duration::from_millis(300));
            socket.set_read_timeout(patience).unwrap();
        }
        let datapath = Datapath::load().unwrap();
        datapath.set(device, vlan(), &branch(own)).unwrap();
        datapath.attach(&mut socket, device).unwrap();
        Self {
            netns,
            socket,
            device,
            datapath,
            udp,
            udp_v6,
            own,
        }
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.datapath.counters().unwrap();
        counters.iter().find(|(known, _)| *known == name).unwrap().1
    }
}

fn ends() -> (End, End) {
    let (a, b) = (netns::create().unwrap(), netns::create().unwrap());
    let mut socket = Socket::open_in(a.as_fd()).unwrap();
    let near = VethEnd::named(DEVICE);
    let far = VethEnd {
        netns: Some(b.as_fd()),
        ..VethEnd::named(DEVICE)
    };
    let veth = link::add_veth(&Veth {
        near,
        near_up: false,
        far,
    });
    socket.run(&[veth]).unwrap();
    (End::new(a, A, B), End::new(b, B, A))
}

fn passes(from: &End, to: &End) -> bool {
    from.udp.send_to(&[1], (to.own, 7)).unwrap();
    let mut byte = [0];
    matches!(to.udp.recv_from(&mut byte), Ok((1, source)) if source.ip() == from.own)
}

fn passes_v6(from: &End, to: &End) -> bool {
    from.udp_v6.send_to(&[1], (v6(to.own), 7)).unwrap();
    let mut byte = [0];
    matches!(to.udp_v6.recv_from(&mut byte), Ok((1, source)) if source.ip() == v6(from.own))
}

#[test]
fn ipv6_is_tagged_as_ipv4_is_and_only_of_branches_that_have_it() {
    let (a, b) = ends();
    // Less than a discovery's shortest message.
    assert!(passes_v6(&a, &b) && passes_v6(&b, &a));
    assert_eq!((a.counter("sent"), b.counter("received")), (1, 1));
    // Its first byte is that of a solicitation, but this is UDP.
    let like_discovery = 0x8707;
    let socket = netns::run_in(a.netns.as_fd(), || UdpSocket::bind((A_V6, like_discovery)));
    let sent = socket.unwrap().unwrap().send_to(&[0; 64], (B_V6, 7));
    assert_eq!(sent.unwrap(), 64);
    let (bytes, source) = b.udp_v6.recv_from(&mut [0; 64]).unwrap();
    assert_eq!((bytes, source.port()), (64, like_discovery));
    // Neither to nor from another address.
    let other = Branch {
        ipv6: Some(A_V6),
        ..branch(B)
    };
    b.datapath.set(b.device, vlan(), &other).unwrap();
    assert!(!passes_v6(&a, &b) && !passes_v6(&b, &a));
    assert_eq!(b.counter("drop-foreign-address"), 2);
    // A branch without IPv6 has none, and its IPv4 goes on.
    let v4_alone = |own| Branch {
        ipv6: None,
        ..branch(own)
    };
    b.datapath.set(b.device, vlan(), &v4_alone(B)).unwrap();
    assert!(!passes_v6(&a, &b) && !passes_v6(&b, &a));
    assert_eq!(b.counter("drop-foreign-address"), 4);
    assert!(passes(&a, &b) && passes(&b, &a));
    let v6_alone = |own| Branch {
        ipv4: None,
        ..branch(own)
    };
    a.datapath.set(a.device, vlan(), &v6_alone(A)).unwrap();
    b.datapath.set(b.device, vlan(), &v6_alone(B)).unwrap();
    assert!(!passes(&a, &b) && !passes(&b, &a));
    assert!(passes_v6(&a, &b) && passes_v6(&b, &a));
}

#[test]
fn tags_are_put_on_and_taken_off() {
    let (a, b) = ends();
    assert!(passes(&a, &b) && passes(&b, &a));
    assert_eq!((a.counter("sent"), b.counter("received")), (1, 1));
    // A tag that nobody knows is left to others, and nobody takes it here.
    b.datapath.remove(b.device, vlan()).unwrap();
    assert!(!passes(&a, &b));
    assert_eq!(
        (b.counter("received"), b.counter("drop-foreign-address")),
        (1, 0)
    );
    // Nor is a packet taken that is for somebody else.
    b.datapath.set(b.device, vlan(), &branch(A)).unwrap();
    assert!(!passes(&a, &b));
    assert_eq!(b.counter("drop-foreign-address"), 1);
}

#[test]
fn nothing_of_a_branch_leaves_without_a_tag_and_nothing_else_with_one() {
    let (mut a, mut b) = ends();
    a.datapath.remove(a.device, vlan()).unwrap();
    assert!(!passes(&a, &b));
    assert_eq!(a.counter("drop-unknown-branch"), 1);
    // What has no mark is the trunk's own, and so is its Ethernet address.
    let mac = link::by_name(&mut b.socket, DEVICE).unwrap().mac.unwrap();
    let neighbour = Neighbour::permanent(a.device, B.into(), mac);
    a.socket.run(&[neighbour::set(&neighbour)]).unwrap();
    netns::run_in(a.netns.as_fd(), || {
        nft::load("delete table inet m").unwrap()
    })
    .unwrap();
    assert!(passes(&a, &b));
    assert_eq!((a.counter("sent"), b.counter("received")), (0, 0));
}

#[test]
fn another_agents_programs_take_the_place_without_a_packet_lost() {
    let (mut a, b) = ends();
    for round in 0..20 {
        assert!(passes(&a, &b), "round {round}");
        let next = Datapath::load().unwrap();
        assert!(!next.is_attached(&mut a.socket, a.device).unwrap());
        next.set(a.device, vlan(), &branch(A)).unwrap();
        next.attach(&mut a.socket, a.device).unwrap();
        assert!(next.is_attached(&mut a.socket, a.device).unwrap());
        // The former ones go, as with the agent that loaded them.
        a.datapath = next;
        assert!(passes(&b, &a), "round {round}");
    }
    // Without anybody who knows them they go on.
    a.datapath = Datapath::load().unwrap();
    assert!(passes(&a, &b) && passes(&b, &a));
}

#[test]
fn programs_go_and_spare_those_of_others() {
    let (mut a, _b) = ends();
    assert!(detach(&mut a.socket, a.device).unwrap());
    assert!(!detach(&mut a.socket, a.device).unwrap());
    assert!(!a.datapath.is_attached(&mut a.socket, a.device).unwrap());
    // The qdisc went along: it can be added.
    a.socket.run(&[tc::add_clsact(a.device)]).unwrap();
    a.datapath.attach(&mut a.socket, a.device).unwrap();
    let other = Datapath::load().unwrap();
    let place = Place {
        handle: 1,
        ..place(a.device, Side::Egress)
    };
    let program = other.programs.at(Side::Egress);
    let foreign = tc::replace_filter(&place, "somebody", program.as_fd());
    a.socket.run(&[foreign]).unwrap();
    assert!(detach(&mut a.socket, a.device).unwrap());
    let left = tc::filters(&mut a.socket, a.device, Side::Egress).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].name.as_str(), left[0].place), ("somebody", place));
}
