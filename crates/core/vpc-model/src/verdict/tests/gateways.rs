//! Gateways, ACLs and peering in the reference verdict.

use underlay_types::{RouteTableId, SubnetId};

use super::*;
use crate::{
    AclAction, AclTraffic, AssociationTarget, Connectivity, NatGatewayRequest, NetworkAclEntry,
};

const OUTSIDE: &str = "203.0.113.9";

fn main_table(world: &World) -> RouteTableId {
    let vpc = world.model.vpc(&world.vpc).unwrap();
    vpc.main_route_table.clone()
}

fn route(world: &mut World, table: &RouteTableId, to: &str, target: RouteTarget) {
    let to = to.parse().unwrap();
    world.model.create_route(table, to, target).unwrap();
}

/// An internet gateway with a route to it, and a public address for `db`.
fn with_internet(world: &mut World) -> IpAddr {
    let gateway = world.model.create_internet_gateway(Tags::new()).unwrap();
    let vpc = world.vpc.clone();
    world.model.attach_internet_gateway(&gateway, &vpc).unwrap();
    let table = main_table(world);
    route(
        world,
        &table,
        "0.0.0.0/0",
        RouteTarget::InternetGateway(gateway),
    );
    let allocation = world.model.allocate_address(None, Tags::new()).unwrap();
    let target = AssociationTarget::Eni(world.db.eni.clone());
    world
        .model
        .associate_address(&allocation, &target, None, false)
        .unwrap();
    world
        .model
        .elastic_address(&allocation)
        .unwrap()
        .address
        .into()
}

fn to_outside(host: &Host, segment: Segment) -> Packet {
    tcp(host.address, OUTSIDE.parse().unwrap(), 40_000, 443, segment)
}

fn answer_to(packet: &Packet) -> Packet {
    let Transport::Tcp {
        source,
        destination,
        ..
    } = packet.transport
    else {
        panic!("{packet:?} is not TCP");
    };
    tcp(
        packet.destination,
        packet.source,
        destination,
        source,
        Segment::Data,
    )
}

#[test]
fn an_internet_gateway_translates_one_to_one_and_only_for_public_addresses() {
    let mut world = World::new();
    let public = with_internet(&mut world);
    let (web, db) = (world.web.clone(), world.db.clone());
    let sent = Packet {
        source: public,
        ..to_outside(&db, Segment::Syn)
    };
    assert_eq!(
        world.send(&db, to_outside(&db, Segment::Syn)),
        Verdict::Left(sent)
    );
    assert_eq!(
        world.send(&web, to_outside(&web, Segment::Syn)),
        Verdict::Dropped(DropReason::NoPublicAddress)
    );
    let (now, back) = (world.now, answer_to(&sent));
    let inner = Packet {
        destination: db.address,
        ..back
    };
    assert_eq!(
        world
            .model
            .verdict_from_outside(&mut world.tracker, now, &back),
        Verdict::Translated(db.eni.clone(), inner)
    );
    let unasked = tcp(OUTSIDE.parse().unwrap(), public, 1, 22, Segment::Syn);
    assert_eq!(
        world
            .model
            .verdict_from_outside(&mut world.tracker, now, &unasked),
        Verdict::Dropped(DropReason::IngressGroups(db.eni))
    );
    let subnet = &web.subnet;
    assert_eq!(
        world.model.path_mtu(subnet, OUTSIDE.parse().unwrap()),
        1_500
    );
    assert_eq!(world.model.path_mtu(subnet, db.address), 9_001);
}

#[test]
fn a_nat_gateway_lets_answers_back_until_the_flow_is_idle() {
    let mut world = World::new();
    with_internet(&mut world);
    let (web, db) = (world.web.clone(), world.db.clone());
    let allocation = world.model.allocate_address(None, Tags::new()).unwrap();
    let gateway = nat_in(&mut world, &db.subnet, &allocation);
    let vpc = world.vpc.clone();
    let table = world.model.create_route_table(&vpc, Tags::new()).unwrap();
    route(
        &mut world,
        &table,
        "0.0.0.0/0",
        RouteTarget::NatGateway(gateway),
    );
    world
        .model
        .associate_route_table(&table, &web.subnet)
        .unwrap();
    let Verdict::Left(sent) = world.send(&web, to_outside(&web, Segment::Syn)) else {
        panic!("it does not leave");
    };
    let public = world.model.elastic_address(&allocation).unwrap().address;
    assert_eq!(sent.source, IpAddr::from(public));
    let back = answer_to(&sent);
    let inner = answer_to(&to_outside(&web, Segment::Syn));
    let arrives = Verdict::Translated(web.eni.clone(), inner);
    let receive = |world: &mut World, packet: Packet| {
        let now = world.now;
        world
            .model
            .verdict_from_outside(&mut world.tracker, now, &packet)
    };
    assert_eq!(receive(&mut world, back), arrives);
    world.pass(Duration::from_secs(350));
    assert_eq!(receive(&mut world, back), arrives);
    world.pass(Duration::from_secs(351));
    assert_eq!(
        receive(&mut world, back),
        Verdict::Dropped(DropReason::NotAsked)
    );
}

fn nat_in(
    world: &mut World,
    subnet: &SubnetId,
    allocation: &underlay_types::AllocationId,
) -> underlay_types::NatGatewayId {
    let request = NatGatewayRequest {
        subnet: subnet.clone(),
        connectivity: Connectivity::Public,
        allocations: vec![allocation.clone()],
        private: None,
        secondary: V4Request::Nothing,
        tags: Tags::new(),
    };
    world.model.create_nat_gateway(&request, NOW).unwrap()
}

#[test]
fn an_acl_decides_at_the_subnets_edge_in_each_direction_and_forgets() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, RuleTraffic::All, everyone());
    let acl = world.model.network_acl_of(&db.subnet).unwrap().id.clone();
    let entry = |number, direction, traffic| NetworkAclEntry {
        number,
        direction,
        action: AclAction::Deny,
        traffic,
        cidr: "10.0.1.0/24".parse().unwrap(),
    };
    let ports = AclTraffic::Tcp(PortRange {
        from: 40_000,
        to: 50_000,
    });
    let out = entry(10, AclDirection::Egress, ports);
    world.model.create_network_acl_entry(&acl, out).unwrap();
    let delivered = Verdict::Delivered(db.eni.clone());
    assert_eq!(world.send(&web, query(&world, Segment::Syn)), delivered);
    assert_eq!(
        world.send(&db, answer(&world, Segment::Data)),
        Verdict::Dropped(DropReason::NetworkAcl(acl.clone(), AclDirection::Egress)),
        "a tracked answer all the same"
    );
    world
        .model
        .delete_network_acl_entry(&acl, 10, AclDirection::Egress)
        .unwrap();
    let into = entry(10, AclDirection::Ingress, AclTraffic::All);
    world.model.create_network_acl_entry(&acl, into).unwrap();
    assert_eq!(
        world.send(&web, query(&world, Segment::Data)),
        Verdict::Dropped(DropReason::NetworkAcl(acl, AclDirection::Ingress))
    );
}

#[test]
fn peers_reach_each_other_and_nothing_beyond() {
    let mut world = World::new();
    let vpc = world.vpc.clone();
    let peer = |world: &mut World, block: &str| {
        let block = block.parse().unwrap();
        world.model.create_vpc(block, Tags::new()).unwrap()
    };
    let (near, far) = (
        peer(&mut world, "10.8.0.0/16"),
        peer(&mut world, "10.9.0.0/16"),
    );
    let host_near = host(&mut world.model, &near, "10.8.1.0/24", "near");
    let host_far = host(&mut world.model, &far, "10.9.1.0/24", "far");
    for each in [&host_near, &host_far] {
        let group = each.group.clone();
        world.allow(&group, RuleTraffic::All, everyone());
    }
    let mut connect = |one: &VpcId, other: &VpcId| {
        let id = world
            .model
            .create_peering(one, other, Tags::new(), NOW)
            .unwrap();
        world.model.accept_peering(&id, NOW).unwrap();
        id
    };
    let first = connect(&vpc, &near);
    connect(&near, &far);
    let table = main_table(&world);
    route(
        &mut world,
        &table,
        "10.0.0.0/8",
        RouteTarget::Peering(first.clone()),
    );
    let web = world.web.clone();
    let to = |host: &Host| tcp(web.address, host.address, 1, 2, Segment::Syn);
    assert_eq!(
        world.send(&web, to(&host_near)),
        Verdict::Delivered(host_near.eni.clone())
    );
    assert_eq!(
        world.send(&web, to(&host_far)),
        Verdict::Dropped(DropReason::UnknownAddress)
    );
    world.model.delete_peering(&first, NOW).unwrap();
    assert_eq!(
        world.send(&web, to(&host_near)),
        Verdict::Dropped(DropReason::Blackhole)
    );
}
