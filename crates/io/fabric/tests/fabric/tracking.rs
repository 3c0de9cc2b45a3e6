//! What is tracked, and how much of it.

use std::net::UdpSocket;

use ipnet::IpNet;
use underlay_fabric::{Peer, Protocol, Rule, TrackingUse};
use underlay_types::PrefixListId;

use crate::{
    traffic::{Outcome, connect, say, serve, tcp, udp},
    world::{OPEN, World, allow, anywhere, block, ip},
};

const SERVER: &str = "sg-00000001";

fn seven() -> Protocol {
    Protocol::Tcp { from: 7, to: 7 }
}

fn world(ingress: Vec<Rule>, egress: Vec<Rule>) -> World {
    let mut world = World::new();
    world.rules(SERVER, ingress, egress);
    world.instance("server", "10.0.1.10", &[SERVER]);
    world.instance("client", "10.0.2.10", &[OPEN]);
    serve(world.at("server"), 7);
    world
}

#[test]
fn a_flow_that_everyone_may_begin_and_answer_is_not_tracked_and_ends_with_its_rule() {
    let all = vec![allow(Protocol::Any, anywhere())];
    let mut world = world(vec![allow(seven(), anywhere())], all.clone());
    let mut open = connect(world.at("client"), (ip("10.0.1.10"), 7)).unwrap();
    assert_eq!(say(&mut open), Outcome::Answered);
    let server = world.at("server").port.eni.clone();
    assert_eq!(world.fabric.tracking(&server).unwrap().used, 0);
    world.rules(SERVER, vec![], all.clone());
    assert_eq!(say(&mut open), Outcome::Silence, "cut at once");
    world.rules(SERVER, vec![allow(seven(), anywhere())], all);
    let again = tcp(world.at("client"), (ip("10.0.1.10"), 7));
    assert_eq!(again, Outcome::Answered);
}

#[test]
fn a_flow_whose_rule_names_its_peer_or_whose_answers_have_no_rule_is_tracked() {
    let all = vec![allow(Protocol::Any, anywhere())];
    let peer = || Peer::Cidr(block("10.0.2.0/24"));
    for (ingress, egress) in [
        (allow(seven(), peer()), all),
        (allow(seven(), anywhere()), vec![]),
        (
            allow(seven(), anywhere()),
            vec![allow(Protocol::Any, peer())],
        ),
    ] {
        let mut world = world(vec![ingress], egress.clone());
        let mut open = connect(world.at("client"), (ip("10.0.1.10"), 7)).unwrap();
        assert_eq!(say(&mut open), Outcome::Answered);
        let server = world.at("server").port.eni.clone();
        assert_eq!(world.fabric.tracking(&server).unwrap().used, 1);
        world.rules(SERVER, vec![], egress);
        assert_eq!(say(&mut open), Outcome::Answered, "it lives");
    }
}

#[test]
fn a_prefix_list_means_its_blocks_as_they_are_now() {
    let list: PrefixListId = "pl-00000001".parse().unwrap();
    let from_list = vec![allow(seven(), Peer::List(list.clone()))];
    let mut world = world(from_list, vec![]);
    let ask = |world: &World| tcp(world.at("client"), (ip("10.0.1.10"), 7));
    let mut say = |blocks: &[&str]| {
        let blocks: Vec<IpNet> = blocks.iter().map(|text| block(text)).collect();
        world.fabric.set_prefix_list(&list, &blocks).unwrap();
        ask(&world)
    };
    assert_eq!(say(&[]), Outcome::Silence);
    assert_eq!(say(&["192.0.2.0/24", "10.0.2.0/28"]), Outcome::Answered);
    assert_eq!(say(&["192.0.2.0/24", "::/0"]), Outcome::Silence);
    assert_eq!(say(&["0.0.0.0/0"]), Outcome::Answered);
}

#[test]
fn without_room_a_new_flow_is_dropped_and_those_tracked_live() {
    let mut world = world(
        vec![allow(Protocol::Any, Peer::Cidr(block("10.0.0.0/16")))],
        vec![],
    );
    let server = world.at("server").port.eni.clone();
    world.update("server", |port| port.allowance.flows = 2);
    let sockets: Vec<UdpSocket> = (0..3)
        .map(|_| {
            world
                .at("client")
                .run(|| UdpSocket::bind("0.0.0.0:0").unwrap())
        })
        .collect();
    let ask = |socket: &UdpSocket| {
        socket
            .set_read_timeout(Some(std::time::Duration::from_millis(500)))
            .unwrap();
        socket.send_to(b"?", "10.0.1.10:7").unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    };
    assert_eq!(
        [0, 1, 2, 0, 1].map(|each: usize| ask(&sockets[each])),
        [true, true, false, true, true]
    );
    assert_eq!(world.counter("drop-tracking-full"), 1);
    let (used, allowance, exceeded) = (2, 2, 1);
    let expected = TrackingUse {
        used,
        allowance,
        exceeded,
    };
    assert_eq!(world.fabric.tracking(&server).unwrap(), expected);
    world.update("server", |port| port.allowance.flows = 3);
    assert!(ask(&sockets[2]));
}

#[test]
fn an_idle_flow_makes_room_by_itself() {
    let mut world = world(
        vec![allow(Protocol::Any, Peer::Cidr(block("10.0.0.0/16")))],
        vec![],
    );
    world.update("server", |port| {
        port.allowance.flows = 1;
        port.timeouts.udp = std::time::Duration::from_millis(50);
    });
    let to = (ip("10.0.1.10"), 7);
    assert_eq!(udp(world.at("client"), to), Outcome::Answered);
    let server = world.at("server").port.eni.clone();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while world.fabric.tracking(&server).unwrap().used > 0 {
        assert!(std::time::Instant::now() < deadline, "the idle flow stays");
        std::thread::yield_now();
    }
    assert_eq!(udp(world.at("client"), to), Outcome::Answered);
}
