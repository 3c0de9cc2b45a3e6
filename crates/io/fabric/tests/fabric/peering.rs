//! Peered VPCs.

use underlay_fabric::{Peer, Protocol, Route, RouteTarget, Subnet};
use underlay_types::{RouteTableId, VpcId};

use crate::{
    traffic::{Outcome, serve, tcp},
    world::{C, OPEN, World, allow, block, group, ip},
};

fn peer() -> VpcId {
    "vpc-00000002".parse().unwrap()
}

/// 10.0.0.0/16 and 10.9.0.0/16, each with a route to the other.
fn world() -> World {
    let mut world = World::new();
    let own: VpcId = "vpc-00000001".parse().unwrap();
    let table: RouteTableId = "rtb-00000009".parse().unwrap();
    let subnet = Subnet {
        vpc: peer(),
        blocks: vec![block("10.9.1.0/24")],
        route_table: table.clone(),
        acl: None,
        resolver: None,
    };
    world
        .fabric
        .set_subnet(&C.parse().unwrap(), subnet)
        .unwrap();
    let back = Route::new(block("10.0.0.0/16"), RouteTarget::Peering(own));
    let local = Route::new(block("10.9.0.0/16"), RouteTarget::Local);
    world.fabric.set_routes(&table, &[local, back]).unwrap();
    let there = RouteTarget::Peering(peer());
    world.routes(&[Route::new(block("10.9.0.0/16"), there)]);
    world.instance("one", "10.0.1.10", &[OPEN]);
    world.instance("far", "10.9.1.10", &[OPEN]);
    serve(world.at("far"), 7);
    world
}

const FAR: &str = "10.9.1.10";

#[test]
fn peers_reach_each_other_while_there_are_routes() {
    let mut world = world();
    assert_eq!(tcp(world.at("one"), (ip(FAR), 7)), Outcome::Answered);
    world.routes(&[]);
    assert_eq!(tcp(world.at("one"), (ip(FAR), 7)), Outcome::Silence);
}

#[test]
fn a_group_of_the_other_vpc_is_known_by_its_members() {
    let mut world = world();
    let members = allow(Protocol::Any, Peer::Group(group("sg-000000cc")));
    world.rules("sg-000000dd", vec![members], vec![]);
    world.update("far", |port| port.groups = vec![group("sg-000000dd")]);
    assert_eq!(tcp(world.at("one"), (ip(FAR), 7)), Outcome::Silence);
    world.update("one", |port| port.groups.push(group("sg-000000cc")));
    assert_eq!(tcp(world.at("one"), (ip(FAR), 7)), Outcome::Answered);
}

#[test]
fn what_comes_from_elsewhere_does_not_pass_on_to_a_peer() {
    let mut world = world();
    // One forwards for an address that is nobody's in its VPC.
    world.update("one", |port| port.source_dest_check = false);
    world.at("one").add_address("172.16.0.1");
    let from = (ip("172.16.0.1"), 0);
    let sent = crate::traffic::udp_from(world.at("one"), from, (ip(FAR), 7), 32);
    assert_eq!(sent, Outcome::Silence);
    assert_eq!(world.counter("drop-unknown-address"), 1);
}
