mod gateways;
mod tracking;

use std::time::Duration;

use underlay_types::{InstanceId, SecurityGroupId, SubnetId, VpcId};

use super::*;
use crate::{
    EniRequest, LaunchInterface, LaunchInterfaceSource, LaunchRequest, MetadataOptions,
    ModelConfig, PortRange, RouteDestination, RouteTarget, RuleDirection, RulePeer, RuleSpec,
    RuleTraffic, Tags, V4Request,
};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A VPC with two subnets, and an instance in each whose interface carries a group of its own.
struct World {
    model: Model,
    tracker: Tracker,
    now: Timestamp,
    vpc: VpcId,
    web: Host,
    db: Host,
}

#[derive(Clone)]
struct Host {
    subnet: SubnetId,
    group: SecurityGroupId,
    eni: EniId,
    address: IpAddr,
}

impl World {
    fn new() -> Self {
        let mut model = Model::new(ModelConfig::default());
        let vpc = model
            .create_vpc("10.0.0.0/16".parse().unwrap(), Tags::new())
            .unwrap();
        let web = host(&mut model, &vpc, "10.0.1.0/24", "web");
        let db = host(&mut model, &vpc, "10.0.2.0/24", "db");
        Self {
            model,
            tracker: Tracker::default(),
            now: NOW,
            vpc,
            web,
            db,
        }
    }

    /// Lets a group receive what `traffic` says from `peer`.
    fn allow(&mut self, group: &SecurityGroupId, traffic: RuleTraffic, peer: RulePeer) {
        self.model
            .authorize(
                group,
                RuleDirection::Ingress,
                &[spec(traffic, peer)],
                &Tags::new(),
            )
            .unwrap();
    }

    fn send(&mut self, from: &Host, packet: Packet) -> Verdict {
        self.model
            .verdict(&mut self.tracker, self.now, &from.eni, &packet)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}

fn spec(traffic: RuleTraffic, peer: RulePeer) -> RuleSpec {
    RuleSpec {
        traffic,
        peer,
        description: None,
    }
}

fn launch(model: &mut Model, request: EniRequest) -> InstanceId {
    let image = model.images().next().unwrap().id.clone();
    let request = LaunchRequest {
        image,
        instance_type: "m5.large".into(),
        min_count: 1,
        max_count: 1,
        zone: None,
        zone_id: None,
        interfaces: vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(request),
            delete_on_termination: None,
            public_address: None,
        }],
        metadata: MetadataOptions::default(),
        profile: None,
        key_name: None,
        user_data: None,
        client_token: None,
        attributes: crate::InstanceAttributes::default(),
        tags: Tags::new(),
    };
    let reservation = model.launch(&request, NOW).unwrap();
    let launched = model
        .instances()
        .find(|instance| instance.reservation == reservation);
    launched.unwrap().id.clone()
}

fn host(model: &mut Model, vpc: &VpcId, cidr: &str, name: &str) -> Host {
    let subnet = model
        .create_subnet(vpc, cidr.parse().unwrap(), None, Tags::new())
        .unwrap();
    let group = model.create_group(vpc, name, name, Tags::new()).unwrap();
    let mut request = EniRequest::new(subnet.clone());
    request.groups = vec![group.clone()];
    request.v4 = V4Request::PrefixCount(1);
    let instance = launch(model, request);
    let eni = model.primary_eni_of(&instance).unwrap();
    Host {
        subnet,
        group,
        eni: eni.id.clone(),
        address: eni.addresses.primary.into(),
    }
}

fn tcp(from: IpAddr, to: IpAddr, source: u16, destination: u16, segment: Segment) -> Packet {
    let transport = Transport::Tcp {
        source,
        destination,
        segment,
    };
    Packet::new(from, to, transport)
}

const POSTGRES: RuleTraffic = RuleTraffic::Tcp(PortRange {
    from: 5432,
    to: 5432,
});

fn query(world: &World, segment: Segment) -> Packet {
    tcp(world.web.address, world.db.address, 40_000, 5432, segment)
}

fn answer(world: &World, segment: Segment) -> Packet {
    tcp(world.db.address, world.web.address, 5432, 40_000, segment)
}

#[test]
fn what_no_rule_allows_is_dropped_at_the_receiver() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let refused = Verdict::Dropped(DropReason::IngressGroups(db.eni.clone()));
    assert_eq!(world.send(&web, query(&world, Segment::Syn)), refused);
    world.allow(&db.group, POSTGRES, RulePeer::Group(web.group.clone()));
    assert_eq!(
        world.send(&web, query(&world, Segment::Syn)),
        Verdict::Delivered(db.eni.clone())
    );
    let other_port = tcp(web.address, db.address, 40_000, 22, Segment::Syn);
    assert_eq!(world.send(&web, other_port), refused);
}

#[test]
fn answers_pass_without_a_rule_and_questions_back_do_not() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, POSTGRES, RulePeer::Group(web.group.clone()));
    world.send(&web, query(&world, Segment::Syn));
    assert_eq!(
        world.send(&db, answer(&world, Segment::Data)),
        Verdict::Delivered(web.eni.clone())
    );
    let back = tcp(db.address, web.address, 5432, 40_001, Segment::Syn);
    assert_eq!(
        world.send(&db, back),
        Verdict::Dropped(DropReason::IngressGroups(web.eni))
    );
}

#[test]
fn a_tracked_flow_outlives_its_rule_until_it_is_idle_or_ends() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let delivered = Verdict::Delivered(db.eni.clone());
    let refused = Verdict::Dropped(DropReason::IngressGroups(db.eni.clone()));
    let rule = [spec(POSTGRES, RulePeer::Group(web.group.clone()))];
    let open = |world: &mut World| {
        world.allow(&db.group, POSTGRES, RulePeer::Group(web.group.clone()));
        world.send(&web, query(world, Segment::Syn));
        world.send(&db, answer(world, Segment::Data));
        world
            .model
            .revoke(&db.group, RuleDirection::Ingress, &rule)
            .unwrap();
    };

    open(&mut world);
    assert_eq!(world.send(&web, query(&world, Segment::Data)), delivered);
    let another = tcp(web.address, db.address, 40_001, 5432, Segment::Syn);
    assert_eq!(world.send(&web, another), refused, "a new connection");

    world.pass(Duration::from_secs(432_000));
    assert_eq!(world.send(&web, query(&world, Segment::Data)), delivered);
    world.pass(Duration::from_secs(432_001));
    assert_eq!(
        world.send(&web, query(&world, Segment::Data)),
        refused,
        "idle"
    );

    open(&mut world);
    world.send(&web, query(&world, Segment::Fin));
    world.send(&db, answer(&world, Segment::Fin));
    assert_eq!(
        world.send(&web, query(&world, Segment::Data)),
        delivered,
        "last ACK"
    );
    assert_eq!(
        world.send(&web, query(&world, Segment::Syn)),
        refused,
        "anew"
    );
}

#[test]
fn udp_is_tracked_longer_once_it_is_a_stream() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let dns = RuleTraffic::Udp(PortRange { from: 53, to: 53 });
    world.allow(
        &db.group,
        dns,
        RulePeer::Ipv4("10.0.0.0/16".parse().unwrap()),
    );
    let udp = |from: IpAddr, to: IpAddr, source, destination| {
        let transport = Transport::Udp {
            source,
            destination,
        };
        Packet::new(from, to, transport)
    };
    let ask = udp(web.address, db.address, 4000, 53);
    let reply = udp(db.address, web.address, 53, 4000);
    let arrives = Verdict::Delivered(web.eni.clone());
    assert_ne!(world.send(&db, reply), arrives, "before the question");
    world.send(&web, ask);
    assert_eq!(world.send(&db, reply), arrives);
    world.pass(Duration::from_secs(31));
    assert_ne!(world.send(&db, reply), arrives, "one request: 30 s");
    for _ in 0..2 {
        world.send(&web, ask);
        world.send(&db, reply);
    }
    world.pass(Duration::from_secs(180));
    assert_eq!(world.send(&db, reply), arrives, "a stream: 180 s");
}

#[test]
fn an_echo_allows_its_reply_and_no_echo_back() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let echo = RuleTraffic::Icmp {
        kind: Some(8),
        code: None,
    };
    world.allow(
        &db.group,
        echo,
        RulePeer::Ipv4("0.0.0.0/0".parse().unwrap()),
    );
    let icmp = |from: &Host, to: &Host, kind| {
        let (code, id) = (0, 7);
        Packet::new(from.address, to.address, Transport::Icmp { kind, code, id })
    };
    assert_eq!(
        world.send(&web, icmp(&web, &db, 8)),
        Verdict::Delivered(db.eni.clone())
    );
    assert_eq!(
        world.send(&db, icmp(&db, &web, 0)),
        Verdict::Delivered(web.eni.clone())
    );
    assert_eq!(
        world.send(&db, icmp(&db, &web, 8)),
        Verdict::Dropped(DropReason::IngressGroups(web.eni))
    );
}

fn everyone() -> RulePeer {
    RulePeer::Ipv4("0.0.0.0/0".parse().unwrap())
}

/// Why a packet of `web` is dropped.
fn dropped(world: &mut World, packet: Packet) -> DropReason {
    let web = world.web.clone();
    match world.send(&web, packet) {
        Verdict::Dropped(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_packet_that_is_not_the_senders_or_for_nobody_is_dropped() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, RuleTraffic::All, everyone());
    let to = |text: &str| tcp(web.address, text.parse().unwrap(), 1, 2, Segment::Syn);
    let foreign = tcp(db.address, db.address, 1, 2, Segment::Syn);
    assert_eq!(dropped(&mut world, foreign), DropReason::SourceCheck);
    for nobody in [
        "10.0.1.1",
        "10.0.1.255",
        "224.0.0.1",
        "255.255.255.255",
        "0.1.2.3",
    ] {
        assert_eq!(
            dropped(&mut world, to(nobody)),
            DropReason::NoReceiver,
            "{nobody}"
        );
    }
    assert_eq!(dropped(&mut world, to("8.8.8.8")), DropReason::NoRoute);
    assert_eq!(
        dropped(&mut world, to("10.0.9.9")),
        DropReason::UnknownAddress
    );

    let idle = world
        .model
        .create_eni(&EniRequest::new(web.subnet.clone()))
        .unwrap();
    let of_idle = world
        .model
        .verdict(&mut world.tracker, NOW, &idle, &to("10.0.2.4"));
    assert_eq!(of_idle, Verdict::Dropped(DropReason::NoSender));

    let all = [spec(RuleTraffic::All, everyone())];
    world
        .model
        .revoke(&web.group, RuleDirection::Egress, &all)
        .unwrap();
    let anything = to(&db.address.to_string());
    assert_eq!(dropped(&mut world, anything), DropReason::EgressGroups);
}

#[test]
fn a_route_to_an_interface_needs_one_that_takes_foreign_packets() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, RuleTraffic::All, everyone());
    let idle = world
        .model
        .create_eni(&EniRequest::new(web.subnet.clone()))
        .unwrap();
    let away = tcp(
        web.address,
        "192.168.1.1".parse().unwrap(),
        1,
        2,
        Segment::Syn,
    );
    let table = world
        .model
        .vpc(&world.vpc)
        .unwrap()
        .main_route_table
        .clone();
    let outside: RouteDestination = "192.168.0.0/16".parse().unwrap();
    world
        .model
        .create_route(&table, outside.clone(), RouteTarget::Eni(db.eni.clone()))
        .unwrap();
    assert_eq!(dropped(&mut world, away), DropReason::DestinationCheck);
    world.model.set_source_dest_check(&db.eni, false).unwrap();
    assert_eq!(world.send(&web, away), Verdict::Delivered(db.eni.clone()));
    world
        .model
        .replace_route(&table, &outside, RouteTarget::Eni(idle))
        .unwrap();
    assert_eq!(dropped(&mut world, away), DropReason::Blackhole);
}

#[test]
fn addresses_of_a_prefix_are_the_interfaces_own() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, POSTGRES, RulePeer::Group(web.group.clone()));
    let member = |model: &Model, host: &Host| {
        let prefixes = &model.eni(&host.eni).unwrap().addresses.prefixes;
        prefixes[0].hosts().nth(3).unwrap().into()
    };
    let packet = tcp(
        member(&world.model, &web),
        member(&world.model, &db),
        40_000,
        5432,
        Segment::Syn,
    );
    assert_eq!(world.send(&web, packet), Verdict::Delivered(db.eni));
}
