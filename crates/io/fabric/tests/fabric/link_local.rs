//! The link-local services' allowance, and the VPC's own address of its resolver.

use std::{net::UdpSocket, thread};

use underlay_fabric::{FabricLimits, Subnet};
use underlay_netlink::netns;

use crate::{
    traffic::{Outcome, udp},
    world::{A, World, block, ip, route_table},
};

fn echo(world: &World, address: &str) {
    let socket = netns::run_in(world.fabric.services_netns(), || {
        UdpSocket::bind((address, 53)).unwrap()
    })
    .unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).ok();
        }
    });
}

#[test]
fn the_resolver_answers_at_the_vpcs_base_plus_two() {
    let mut world = World::new();
    let subnet = Subnet {
        vpc: "vpc-00000001".parse().unwrap(),
        blocks: vec![block("10.0.1.0/24")],
        route_table: route_table(),
        acl: None,
        resolver: Some("10.0.0.2".parse().unwrap()),
    };
    world
        .fabric
        .set_subnet(&A.parse().unwrap(), subnet)
        .unwrap();
    // No group allows anything: neither they nor ACLs concern the resolver.
    world.instance("one", "10.0.1.10", &[]);
    echo(&world, "169.254.169.253");
    for resolver in ["10.0.0.2", "169.254.169.253"] {
        let asked = udp(world.at("one"), (ip(resolver), 53));
        assert_eq!(asked, Outcome::Answered, "{resolver}");
    }
}

#[test]
fn an_eni_sends_so_many_packets_to_services_in_a_second() {
    let mut world = World::new();
    let (one, two) = (
        world.instance("one", "10.0.1.10", &[]),
        world.instance("two", "10.0.1.11", &[]),
    );
    let limits = FabricLimits {
        link_local_packets: 10,
        ..FabricLimits::default()
    };
    world.fabric.set_limits(&limits).unwrap();
    world.at("one").run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..1000 {
            socket.send_to(b"?", "169.254.169.253:53").unwrap();
        }
    });
    let passed = world.counter("delivered-to-service");
    let exceeded = world.fabric.link_local_exceeded(&one).unwrap();
    assert_eq!(passed + exceeded, 1000);
    assert!(passed >= 10 && exceeded > 0, "{passed} {exceeded}");
    assert_eq!(world.counter("drop-link-local-allowance"), exceeded);
    assert_eq!(world.fabric.link_local_exceeded(&two).unwrap(), 0);
}
