//! IPv6: neighbours, the router, and packets of both families side by side.

use std::net::{IpAddr, Ipv6Addr};

use underlay_fabric::{Peer, Protocol, Route, RouteTarget};
use underlay_netlink::{Family, neighbour};

use crate::{
    traffic::{Outcome, bulk, serve, tcp, udp, udp_from},
    world::{OPEN, World, allow, block, ip},
};

const ONE: &str = "2001:db8:0:1::10";
const NEAR: &str = "2001:db8:0:1::11";
const FAR: &str = "2001:db8:0:2::10";
const ANY: (IpAddr, u16) = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn world() -> World {
    let mut world = World::new();
    for (name, v4, v6) in [
        ("one", "10.0.1.10", ONE),
        ("near", "10.0.1.11", NEAR),
        ("far", "10.0.2.10", FAR),
    ] {
        world.instance(name, v4, &[OPEN]);
        world.update(name, |port| port.addresses.push(ip(v6)));
        world.at(name).configure_v6(ip(v6));
    }
    serve(world.at("near"), 7);
    serve(world.at("far"), 7);
    world
}

#[test]
fn instances_of_one_subnet_and_of_two_reach_each_other() {
    let world = world();
    for address in [NEAR, FAR] {
        let to = (ip(address), 7);
        assert_eq!(
            udp_from(world.at("one"), ANY, to, 32),
            Outcome::Answered,
            "{address}"
        );
        assert_eq!(tcp(world.at("one"), to), Outcome::Answered, "{address}");
    }
    bulk(world.at("one"), (ip(FAR), 7), 16);
    // The other family goes on as before.
    assert_eq!(
        udp(world.at("one"), (ip("10.0.2.10"), 7)),
        Outcome::Answered
    );
}

#[test]
fn fragments_follow_their_first_one() {
    let world = world();
    let asks = |size| udp_from(world.at("one"), ANY, (ip(FAR), 7), size);
    assert_eq!(asks(30_000), Outcome::Answered);
    assert_eq!(world.counter("drop-fragment"), 0);
}

#[test]
fn solicitations_are_answered_for_the_router_and_known_neighbours_and_nobody_else() {
    let world = world();
    let asks = |to| udp_from(world.at("one"), ANY, (ip(to), 7), 32);
    assert_eq!(
        (asks(NEAR), asks(FAR)),
        (Outcome::Answered, Outcome::Answered)
    );
    asks("2001:db8:0:1::99");
    let mut neighbours = neighbour::dump(&mut world.at("one").socket(), Family::V6).unwrap();
    neighbours.retain(|entry| entry.mac.is_some_and(|mac| mac.0 != [0; 6]));
    let known = |address: &str| {
        let entry = neighbours.iter().find(|entry| entry.address == ip(address));
        entry.map(|entry| entry.mac.unwrap().to_string())
    };
    assert_eq!(known("fe80:ec2::1"), Some("02:ff:0a:00:01:01".to_owned()));
    assert_eq!(known(NEAR), Some(world.at("near").port.mac.to_string()));
    assert_eq!(known("2001:db8:0:1::99"), None);
    assert!(world.counter("neighbour-ignored") > 0);
    let mut others = neighbour::dump(&mut world.at("far").socket(), Family::V6).unwrap();
    others.retain(|entry| entry.address == ip(ONE));
    assert_eq!(others, []);
}

#[test]
fn the_router_advertises_itself() {
    let world = world();
    let heard = world.at("one").advertised_routes();
    let by_its_own_address = "default via fe80::ff:aff:fe00:101 dev eth0";
    assert!(heard.contains(by_its_own_address), "{heard}");
    assert!(world.counter("router-advertised") > 0);
}

#[test]
fn a_source_that_is_not_the_enis_is_dropped_and_a_prefix_counts_as_its_own() {
    let mut world = world();
    world.at("one").add_address("2001:db8:0:1:aa::5");
    let from = (ip("2001:db8:0:1:aa::5"), 4000);
    let ask = |world: &World| udp_from(world.at("one"), from, (ip(FAR), 7), 32);
    let before = world.counter("drop-source-check");
    assert_eq!(ask(&world), Outcome::Silence);
    // The kernel's own solicitations may be dropped for their source, too.
    assert!(world.counter("drop-source-check") > before);
    world.update("one", |port| {
        port.prefixes.push(block("2001:db8:0:1:aa::/80"))
    });
    assert_eq!(ask(&world), Outcome::Answered);
}

#[test]
fn blocks_of_one_family_say_nothing_of_the_other() {
    let mut world = world();
    let everyone = |text| allow(Protocol::Any, Peer::Cidr(block(text)));
    let ask = |world: &World| {
        (
            udp(world.at("one"), (ip("10.0.2.10"), 7)),
            udp_from(world.at("one"), ANY, (ip(FAR), 7), 32),
        )
    };
    let both = vec![everyone("0.0.0.0/0"), everyone("::/0")];
    world.rules(OPEN, both.clone(), vec![everyone("0.0.0.0/0")]);
    assert_eq!(ask(&world), (Outcome::Answered, Outcome::Silence));
    world.rules(OPEN, both.clone(), vec![everyone("::/0")]);
    assert_eq!(ask(&world), (Outcome::Silence, Outcome::Answered));
    world.rules(OPEN, both.clone(), both);
    assert_eq!(ask(&world), (Outcome::Answered, Outcome::Answered));
    // The same of routes: ::/0 is no route for IPv4.
    world.routes(&[Route::new(block("::/0"), RouteTarget::Blackhole)]);
    assert_eq!(udp(world.at("one"), (ip("192.0.2.1"), 7)), Outcome::Silence);
    assert_eq!(world.counter("drop-no-route"), 1);
}
