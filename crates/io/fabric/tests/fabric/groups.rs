//! Security groups.

use underlay_fabric::{Peer, Protocol};

use crate::{
    traffic::{Outcome, connect, say, serve, tcp, udp},
    world::{OPEN, World, allow, anywhere, block, group, ip},
};

const SERVER: &str = "sg-00000001";
const CLIENT: &str = "sg-00000002";

fn tcp_to(port: u16) -> Protocol {
    Protocol::Tcp {
        from: port,
        to: port,
    }
}

/// A server with the group SERVER and a client with OPEN and CLIENT.
fn world() -> World {
    let mut world = World::new();
    world.rules(SERVER, vec![], vec![]);
    world.rules(CLIENT, vec![], vec![]);
    world.instance("server", "10.0.1.10", &[SERVER]);
    world.instance("client", "10.0.2.10", &[OPEN, CLIENT]);
    world.instance("other", "10.0.2.11", &[OPEN]);
    serve(world.at("server"), 7);
    serve(world.at("server"), 8);
    world
}

#[test]
fn what_no_rule_allows_is_dropped_in_silence() {
    let mut world = world();
    let to = (ip("10.0.1.10"), 7);
    assert_eq!(tcp(world.at("client"), to), Outcome::Silence);
    world.rules(
        SERVER,
        vec![allow(tcp_to(7), Peer::Cidr(block("10.0.2.10/32")))],
        vec![],
    );
    assert_eq!(
        tcp(world.at("client"), to),
        Outcome::Answered,
        "the answer needs no rule"
    );
    assert_eq!(
        tcp(world.at("client"), (to.0, 8)),
        Outcome::Silence,
        "another port"
    );
    assert_eq!(
        udp(world.at("client"), to),
        Outcome::Silence,
        "another protocol"
    );
    assert_eq!(
        tcp(world.at("other"), to),
        Outcome::Silence,
        "another source"
    );
}

#[test]
fn the_senders_own_groups_are_asked_too() {
    let mut world = world();
    world.rules(SERVER, vec![allow(Protocol::Any, anywhere())], vec![]);
    serve(world.at("client"), 7);
    let before = world.counter("drop-egress-groups");
    assert_eq!(
        udp(world.at("server"), (ip("10.0.2.10"), 7)),
        Outcome::Silence
    );
    assert_eq!(world.counter("drop-egress-groups"), before + 1);
    let egress = vec![allow(
        Protocol::Udp { from: 1, to: 100 },
        Peer::Group(group(CLIENT)),
    )];
    world.rules(SERVER, vec![], egress);
    assert_eq!(
        udp(world.at("server"), (ip("10.0.2.10"), 7)),
        Outcome::Answered
    );
    assert_eq!(
        udp(world.at("server"), (ip("10.0.2.11"), 7)),
        Outcome::Silence
    );
}

#[test]
fn a_group_as_source_means_the_enis_that_carry_it() {
    let mut world = world();
    let to = (ip("10.0.1.10"), 7);
    world.rules(
        SERVER,
        vec![allow(tcp_to(7), Peer::Group(group(CLIENT)))],
        vec![],
    );
    assert_eq!(tcp(world.at("client"), to), Outcome::Answered);
    assert_eq!(tcp(world.at("other"), to), Outcome::Silence);
    world.update("other", |port| port.groups.push(group(CLIENT)));
    assert_eq!(tcp(world.at("other"), to), Outcome::Answered);
    world.update("client", |port| {
        port.groups.retain(|id| *id != group(CLIENT))
    });
    assert_eq!(tcp(world.at("client"), to), Outcome::Silence);
}

#[test]
fn after_a_revoke_new_connections_fail_and_an_established_one_lives() {
    let mut world = world();
    let to = (ip("10.0.1.10"), 7);
    world.rules(SERVER, vec![allow(tcp_to(7), anywhere())], vec![]);
    let mut established = connect(world.at("client"), to).unwrap();
    assert_eq!(say(&mut established), Outcome::Answered);
    world.rules(SERVER, vec![], vec![]);
    assert_eq!(say(&mut established), Outcome::Answered);
    assert_eq!(tcp(world.at("client"), to), Outcome::Silence);
    assert_eq!(say(&mut established), Outcome::Answered);
}

#[test]
fn every_one_of_many_rules_counts() {
    let mut world = world();
    let rule = |port| allow(tcp_to(port), anywhere());
    let mut rules: Vec<_> = (1000..1200).map(rule).collect();
    world.rules(SERVER, rules.clone(), vec![]);
    assert_eq!(
        tcp(world.at("client"), (ip("10.0.1.10"), 7)),
        Outcome::Silence
    );
    rules.push(rule(7));
    world.rules(SERVER, rules.clone(), vec![]);
    assert_eq!(
        tcp(world.at("client"), (ip("10.0.1.10"), 7)),
        Outcome::Answered
    );
    // Shorter again: no rule of the longer list is left.
    world.rules(SERVER, vec![rule(1000)], vec![]);
    assert_eq!(
        tcp(world.at("client"), (ip("10.0.1.10"), 7)),
        Outcome::Silence
    );
    let many = (0..1025).map(rule).collect();
    let error = world.fabric.set_group(
        &group(SERVER),
        &underlay_fabric::GroupRules {
            ingress: many,
            egress: vec![],
        },
    );
    assert!(matches!(
        error,
        Err(underlay_fabric::FabricError::TooMany { count: 1025, .. })
    ));
}

#[test]
fn an_icmp_error_passes_with_the_flow_that_it_speaks_of() {
    let mut world = world();
    // Nobody listens on UDP 9: the server's kernel answers port unreachable, which no rule of
    // either side allows; the client's socket learns of it.
    world.rules(
        SERVER,
        vec![allow(Protocol::Udp { from: 9, to: 9 }, anywhere())],
        vec![],
    );
    let refused = Outcome::Refused(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(udp(world.at("client"), (ip("10.0.1.10"), 9)), refused);
}

#[test]
fn without_any_group_nothing_passes() {
    let mut world = world();
    world.rules(SERVER, vec![allow(Protocol::Any, anywhere())], vec![]);
    world.update("client", |port| port.groups.clear());
    assert_eq!(
        tcp(world.at("client"), (ip("10.0.1.10"), 7)),
        Outcome::Silence
    );
}
