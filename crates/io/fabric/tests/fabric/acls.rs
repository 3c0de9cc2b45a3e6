//! Network ACLs.

use underlay_fabric::{AclRule, AclRules, Action, Direction, Protocol};
use underlay_types::NetworkAclId;

use crate::{
    traffic::{Outcome, serve, udp},
    world::{A, OPEN, World, block, ip},
};

fn acl() -> NetworkAclId {
    "acl-00000001".parse().unwrap()
}

fn entry(protocol: Protocol, from: &str, allow: bool) -> AclRule {
    AclRule {
        protocol,
        block: block(from),
        allow,
    }
}

fn all(allow: bool) -> AclRule {
    entry(Protocol::Any, "0.0.0.0/0", allow)
}

/// Two instances of the subnet that has the ACL, and one beyond its edge.
fn world(ingress: Vec<AclRule>, egress: Vec<AclRule>) -> World {
    let mut world = World::new();
    world.instance("inside", "10.0.1.10", &[OPEN]);
    world.instance("beside", "10.0.1.11", &[OPEN]);
    world.instance("outside", "10.0.2.10", &[OPEN]);
    for name in ["inside", "beside"] {
        serve(world.at(name), 7);
    }
    world
        .fabric
        .set_acl(&acl(), &AclRules { ingress, egress })
        .unwrap();
    world.subnet_acl(A, Some(acl()));
    world
}

fn ask(world: &World, from: &str) -> Outcome {
    udp(world.at(from), (ip("10.0.1.10"), 7))
}

#[test]
fn an_acl_is_asked_at_the_edge_of_its_subnet_only() {
    let world = world(vec![all(false)], vec![all(false)]);
    assert_eq!(ask(&world, "beside"), Outcome::Answered);
    assert_eq!(ask(&world, "outside"), Outcome::Silence);
    assert_eq!(world.counter("drop-ingress-acl"), 1);
}

#[test]
fn the_first_entry_that_matches_decides_and_none_refuses() {
    let seven = Protocol::Udp { from: 7, to: 7 };
    let mut world = world(
        vec![entry(seven, "10.0.2.10/32", false), all(true)],
        vec![all(true)],
    );
    assert_eq!(ask(&world, "outside"), Outcome::Silence);
    let mut say = |ingress| {
        let egress = vec![all(true)];
        world
            .fabric
            .set_acl(&acl(), &AclRules { ingress, egress })
            .unwrap();
        ask(&world, "outside")
    };
    let (yes, no) = (
        entry(seven, "10.0.2.0/24", true),
        entry(seven, "10.0.2.10/32", false),
    );
    assert_eq!(say(vec![yes.clone(), no.clone()]), Outcome::Answered);
    assert_eq!(say(vec![no, yes]), Outcome::Silence);
    assert_eq!(say(vec![]), Outcome::Silence);
    assert_eq!(say(vec![all(true)]), Outcome::Answered);
}

#[test]
fn an_acl_keeps_no_state_and_its_refusal_of_the_answer_is_recorded_beside_the_groups_accept() {
    let mut world = world(vec![all(true)], vec![all(false)]);
    world.fabric.close_window().unwrap();
    assert_eq!(ask(&world, "outside"), Outcome::Silence);
    let inside = world.at("inside").port.eni.clone();
    let mut records = world.fabric.close_window().unwrap().records;
    records.retain(|record| record.eni == inside);
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record.direction, record.action))
        .collect();
    assert_eq!(
        seen,
        [
            (Direction::Egress, Action::Reject),
            (Direction::Ingress, Action::Accept)
        ]
    );
    assert_eq!(world.counter("drop-egress-acl"), 1);
    world.subnet_acl(A, None);
    assert_eq!(ask(&world, "outside"), Outcome::Answered);
}
