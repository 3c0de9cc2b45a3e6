//! Who reaches whom, and with which Ethernet addresses.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use underlay_netlink::{
    Family, link,
    neighbour::{self},
    netns,
    route::{self, Route},
    sysctl,
};

use crate::{
    traffic::{Outcome, bulk, serve, tcp, udp, udp_from},
    world::{OPEN, World, block, ip},
};

fn pair() -> World {
    let mut world = World::new();
    world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("near", "10.0.1.11", &[OPEN]);
    world.instance("far", "10.0.2.10", &[OPEN]);
    for name in ["near", "far"] {
        serve(world.at(name), 7);
    }
    world
}

#[test]
fn instances_of_one_subnet_and_of_two_reach_each_other() {
    let world = pair();
    for address in ["10.0.1.11", "10.0.2.10"] {
        assert_eq!(
            udp(world.at("one"), (ip(address), 7)),
            Outcome::Answered,
            "{address}"
        );
        assert_eq!(
            tcp(world.at("one"), (ip(address), 7)),
            Outcome::Answered,
            "{address}"
        );
    }
    // A port where nobody listens is refused by its owner, not by the fabric.
    let refused = Outcome::Refused(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(tcp(world.at("one"), (ip("10.0.2.10"), 9)), refused);
}

#[test]
fn bulk_data_with_segmentation_offload_arrives_unharmed() {
    let world = pair();
    bulk(world.at("one"), (ip("10.0.1.11"), 7), 64);
    bulk(world.at("one"), (ip("10.0.2.10"), 7), 64);
}

#[test]
fn arp_is_answered_for_the_router_and_known_neighbours_and_nobody_else() {
    let world = pair();
    udp(world.at("one"), (ip("10.0.1.11"), 7));
    udp(world.at("one"), (ip("10.0.2.10"), 7));
    assert_eq!(udp(world.at("one"), (ip("10.0.1.99"), 7)), Outcome::Silence);
    let mut neighbours = neighbour::dump(&mut world.at("one").socket(), Family::V4).unwrap();
    neighbours.retain(|entry| entry.mac.is_some_and(|mac| mac.0 != [0; 6]));
    let mut seen: Vec<_> = neighbours
        .iter()
        .map(|entry| (entry.address, entry.mac.unwrap().to_string()))
        .collect();
    seen.sort();
    let near = world.at("near").port.mac.to_string();
    assert_eq!(
        seen,
        [
            (ip("10.0.1.1"), "02:ff:0a:00:01:01".to_owned()),
            (ip("10.0.1.11"), near),
        ]
    );
    // The unknown address was asked for, and nobody but the fabric heard it.
    assert!(world.counter("arp-ignored") > 0);
    let mut others = neighbour::dump(&mut world.at("far").socket(), Family::V4).unwrap();
    others.retain(|entry| entry.address == ip("10.0.1.10"));
    assert_eq!(others, []);
}

/// Has no kernel speak multicast of its own any more, and waits until what was said is counted.
fn hush(world: &World) {
    let instances = ["one", "near", "far"].map(|name| world.at(name).netns());
    let own = [world.fabric.outside_netns(), world.fabric.services_netns()];
    for namespace in instances.into_iter().chain(own) {
        let off = || sysctl::write("ipv6/conf/all/disable_ipv6", "1");
        netns::run_in(namespace, off).unwrap().unwrap();
    }
    // A processor takes packets in their order: what was sent there before came before these.
    let all = sched_getaffinity(None).unwrap();
    for processor in (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number)) {
        let mut one = CpuSet::new();
        one.set(processor);
        sched_setaffinity(None, &one).unwrap();
        let answer = udp(world.at("one"), (ip("10.0.1.11"), 7));
        assert_eq!(answer, Outcome::Answered);
    }
    sched_setaffinity(None, &all).unwrap();
}

#[test]
fn multicast_and_broadcast_go_nowhere() {
    let world = pair();
    hush(&world);
    let (before, delivered) = (world.counter("drop-multicast"), world.counter("delivered"));
    world.at("one").run(|| {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_broadcast(true).unwrap();
        for address in ["224.0.0.5", "10.0.1.255", "255.255.255.255"] {
            socket.send_to(b"hello", (ip(address), 7)).unwrap();
        }
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.counter("drop-multicast") < before + 3 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(world.counter("drop-multicast"), before + 3);
    assert_eq!(world.counter("delivered"), delivered);
}

#[test]
fn a_source_that_is_not_the_enis_is_dropped_unless_the_check_is_off() {
    let mut world = pair();
    world.at("one").add_address("10.0.1.77");
    let from = (ip("10.0.1.77"), 4000);
    let ask = |world: &World| udp_from(world.at("one"), from, (ip("10.0.2.10"), 7), 32);
    let before = world.counter("drop-source-check");
    assert_eq!(ask(&world), Outcome::Silence);
    assert_eq!(world.counter("drop-source-check"), before + 1);
    // Without the check the packet leaves, but nobody knows the way back.
    let unknown = world.counter("drop-unknown-address");
    world.update("one", |port| port.source_dest_check = false);
    assert_eq!(ask(&world), Outcome::Silence);
    assert_eq!(world.counter("drop-source-check"), before + 1);
    assert_eq!(world.counter("drop-unknown-address"), unknown + 1);
    // Assigned, it simply works.
    world.update("one", |port| {
        port.source_dest_check = true;
        port.addresses.push(ip("10.0.1.77"));
    });
    assert_eq!(ask(&world), Outcome::Answered);
}

#[test]
fn addresses_of_an_assigned_prefix_belong_to_the_eni() {
    let mut world = pair();
    world.at("one").add_address("10.0.1.45");
    world.update("one", |port| port.prefixes.push(block("10.0.1.32/28")));
    let from = (ip("10.0.1.45"), 0);
    assert_eq!(
        udp_from(world.at("one"), from, (ip("10.0.2.10"), 7), 32),
        Outcome::Answered
    );
    serve(world.at("one"), 7);
    assert_eq!(
        tcp(world.at("far"), (ip("10.0.1.45"), 7)),
        Outcome::Answered
    );
    world.update("one", |port| port.prefixes.clear());
    assert_eq!(tcp(world.at("far"), (ip("10.0.1.45"), 7)), Outcome::Silence);
}

#[test]
fn packets_up_to_9001_bytes_pass_whole_or_in_fragments_and_larger_ones_do_not() {
    let world = pair();
    let to = (ip("10.0.2.10"), 7);
    let any = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let before = world.counter("drop-mtu");
    assert_eq!(
        udp_from(world.at("one"), any, to, 9001 - 28),
        Outcome::Answered
    );
    // The instance's own stack cuts what exceeds its device's MTU.
    assert_eq!(
        udp_from(world.at("one"), any, to, 30_000),
        Outcome::Answered
    );
    assert_eq!(world.counter("drop-mtu"), before);

    let mut socket = world.at("one").socket();
    let dev = link::by_name(&mut socket, &world.at("one").device)
        .unwrap()
        .index;
    socket.run(&[link::set_mtu(dev, 9500)]).unwrap();
    assert_eq!(
        udp_from(world.at("one"), any, to, 9002 - 28),
        Outcome::Silence
    );
    assert_eq!(world.counter("drop-mtu"), before + 1);
}

#[test]
fn the_router_is_invisible_to_the_time_to_live() {
    let world = pair();
    let answered = world.at("one").run(|| {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_ttl(1).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        socket.send_to(b"hello", (ip("10.0.2.10"), 7)).unwrap();
        socket.recv(&mut [0; 16]).is_ok()
    });
    assert!(answered);
}

#[test]
fn a_second_eni_of_an_instance_sends_by_its_own_address() {
    let mut world = pair();
    world.instance("sink", "10.0.2.20", &[OPEN]);
    serve(world.at("sink"), 7);
    // Two ports in one namespace: the second ENI's device is added beside the first.
    let mut port = world.at("one").port.clone();
    port.eni = crate::world::eni(900);
    port.mac = underlay_types::Mac::local(900);
    port.addresses = vec![ip("10.0.1.50")];
    let path = world.at("one").path();
    let device = world.fabric.add_port(port, &path, 1).unwrap();
    assert_eq!(device, "eth1");
    let mut socket = world.at("one").socket();
    let dev = link::by_name(&mut socket, &device).unwrap().index;
    let host = IpNet::from(ip("10.0.1.50"));
    let address = underlay_netlink::address::Address::new(dev, host);
    let router = ip("10.0.1.1");
    let way = Route::via("10.0.2.20/32".parse().unwrap(), router, dev, route::MAIN);
    socket
        .run(&[
            link::set_up(dev, true),
            underlay_netlink::address::add(&address),
            route::add(&way),
        ])
        .unwrap();
    let from = (ip("10.0.1.50"), 0);
    assert_eq!(
        udp_from(world.at("one"), from, (ip("10.0.2.20"), 7), 32),
        Outcome::Answered
    );
}
