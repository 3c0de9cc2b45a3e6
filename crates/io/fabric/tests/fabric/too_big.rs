//! Packets that do not fit the way beyond the router.

use std::net::{IpAddr, Ipv4Addr};

use underlay_fabric::{Protocol, Route, RouteTarget};

use crate::{
    traffic::{Outcome, bulk, serve, udp_from},
    world::{OPEN, World, allow, anywhere, block, ip},
};

const SENDER: &str = "sg-00000001";
const BEYOND: [&str; 2] = ["198.51.100.7", "2001:db8:9::7"];
const ANY: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A way with an MTU of 1500 leads to an ENI that takes everything.
fn world() -> World {
    let mut world = World::new();
    let everyone = ["0.0.0.0/0", "::/0"].map(block);
    let all = everyone.map(|every| allow(Protocol::Any, underlay_fabric::Peer::Cidr(every)));
    world.rules(SENDER, vec![], all.to_vec());
    world.rules(OPEN, all.to_vec(), all.to_vec());
    world.instance("one", "10.0.1.10", &[SENDER]);
    world.update("one", |port| port.addresses.push(ip("2001:db8:0:1::10")));
    world.at("one").configure_v6(ip("2001:db8:0:1::10"));
    let eni = world.instance("beyond", "10.0.2.10", &[OPEN]);
    world.update("beyond", |port| port.source_dest_check = false);
    world.at("beyond").configure_v6(ip("2001:db8:0:2::10"));
    let routes = BEYOND.map(|address| Route {
        destination: ip(address).into(),
        target: RouteTarget::Eni(eni.clone()),
        mtu: 1500,
    });
    world.routes(&routes);
    for address in BEYOND {
        world.at("beyond").add_address(address);
    }
    serve(world.at("beyond"), 7);
    world
}

#[test]
fn segments_are_judged_one_by_one_and_the_sender_learns_the_mtu() {
    let world = world();
    for (told, address) in (1..).zip(BEYOND) {
        // Sent as segments of 9,001 bytes at first, in packets of up to 64 KiB.
        bulk(world.at("one"), (ip(address), 7), 4);
        assert!(world.counter("too-big-answered") >= told, "{address}");
    }
}

#[test]
fn a_datagram_that_must_not_be_fragmented_is_refused_with_the_mtu() {
    let world = world();
    let to = (ip(BEYOND[0]), 7);
    // It arrives; the answer comes from another address of the receiver's.
    let before = world.counter("delivered");
    assert_eq!(udp_from(world.at("one"), ANY, to, 1472), Outcome::Silence);
    assert!(world.counter("delivered") > before);
    assert_eq!(world.counter("too-big-answered"), 0);
    let refused = udp_from(world.at("one"), ANY, to, 1473);
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    assert_eq!(world.counter("too-big-answered"), 1);
}

#[test]
fn an_untracked_sender_is_told_only_if_its_rules_let_icmp_in() {
    let mut world = world();
    let (icmp, udp) = (
        Protocol::Icmp {
            kind: Some(3),
            code: Some(4),
        },
        Protocol::Udp {
            from: 0,
            to: u16::MAX,
        },
    );
    let mut rules = vec![allow(udp, anywhere())];
    let all = vec![allow(Protocol::Any, anywhere())];
    world.rules(SENDER, rules.clone(), all.clone());
    let ask = |world: &World| udp_from(world.at("one"), ANY, (ip(BEYOND[0]), 7), 4000);
    assert_eq!(ask(&world), Outcome::Silence);
    assert_eq!(world.counter("drop-mtu"), 1);
    rules.push(allow(icmp, anywhere()));
    world.rules(SENDER, rules, all);
    assert!(matches!(ask(&world), Outcome::Refused(_)));
    assert_eq!(world.counter("too-big-answered"), 1);
}
