//! Which flows are tracked, for how long, and how many.

use super::*;
use crate::{
    AddressFamily, ConnectionTracking, PrefixListChange, PrefixListEntry, PrefixListRequest,
};

const SSH: RuleTraffic = RuleTraffic::Tcp(PortRange { from: 22, to: 22 });
const DNS: RuleTraffic = RuleTraffic::Udp(PortRange { from: 53, to: 53 });

fn udp(from: IpAddr, to: IpAddr, source: u16, destination: u16) -> Packet {
    let transport = Transport::Udp {
        source,
        destination,
    };
    Packet::new(from, to, transport)
}

impl World {
    fn forbid(&mut self, group: &SecurityGroupId, traffic: RuleTraffic, peer: RulePeer) {
        let ingress = RuleDirection::Ingress;
        let rule = [spec(traffic, peer)];
        self.model.revoke(group, ingress, &rule).unwrap();
    }

    /// Whether `from` gets a packet to `to`.
    fn reaches(&mut self, from: &Host, to: &Host, packet: Packet) -> bool {
        self.send(from, packet) == Verdict::Delivered(to.eni.clone())
    }
}

#[test]
fn removing_the_rule_of_an_untracked_connection_cuts_it_at_once_and_for_good() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let ask = |segment| tcp(web.address, db.address, 40_000, 22, segment);
    let answer = |segment| tcp(db.address, web.address, 22, 40_000, segment);
    // Everyone may come in by SSH, and everything may go out: the database tracks nothing. The
    // other side does.
    world.allow(&db.group, SSH, everyone());
    assert!(world.reaches(&web, &db, ask(Segment::Syn)));
    assert!(world.reaches(&db, &web, answer(Segment::Data)));
    assert!(world.reaches(&web, &db, ask(Segment::Data)));
    world.forbid(&db.group, SSH, everyone());
    let refused = Verdict::Dropped(DropReason::IngressGroups(db.eni.clone()));
    assert_eq!(world.send(&web, ask(Segment::Data)), refused);
    // What the server still sends does not bring the connection back.
    assert!(world.reaches(&db, &web, answer(Segment::Data)));
    assert_eq!(world.send(&web, ask(Segment::Data)), refused);
}

#[test]
fn a_narrower_rule_in_either_direction_has_the_connection_tracked() {
    let block = RulePeer::Ipv4("10.0.0.0/16".parse().unwrap());
    let all_tcp = RuleTraffic::Tcp(PortRange {
        from: 0,
        to: u16::MAX,
    });
    let most_tcp = RuleTraffic::Tcp(PortRange {
        from: 1,
        to: u16::MAX,
    });
    for (peer, back, tracked) in [
        (everyone(), Some((RuleTraffic::All, everyone())), false),
        (everyone(), Some((all_tcp, everyone())), false),
        (everyone(), Some((most_tcp, everyone())), true),
        (everyone(), Some((RuleTraffic::All, block.clone())), true),
        (everyone(), None, true),
        (block, Some((RuleTraffic::All, everyone())), true),
    ] {
        let mut world = World::new();
        let (web, db) = (world.web.clone(), world.db.clone());
        let egress = RuleDirection::Egress;
        let all = [spec(RuleTraffic::All, everyone())];
        world.model.revoke(&db.group, egress, &all).unwrap();
        if let Some((traffic, peer)) = back.clone() {
            let rule = [spec(traffic, peer)];
            let added = world
                .model
                .authorize(&db.group, egress, &rule, &Tags::new());
            added.unwrap();
        }
        world.allow(&db.group, SSH, peer.clone());
        let ask = |segment| tcp(web.address, db.address, 40_000, 22, segment);
        assert!(world.reaches(&web, &db, ask(Segment::Syn)));
        world.forbid(&db.group, SSH, peer.clone());
        let lives = world.reaches(&web, &db, ask(Segment::Data));
        assert_eq!(lives, tracked, "{peer:?}, back {back:?}");
    }
}

#[test]
fn untracked_udp_is_cut_too_and_its_answers_track_nothing() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.allow(&db.group, DNS, everyone());
    let ask = udp(web.address, db.address, 4000, 53);
    let reply = udp(db.address, web.address, 53, 4000);
    assert!(world.reaches(&web, &db, ask));
    assert!(world.reaches(&db, &web, reply));
    world.forbid(&db.group, DNS, everyone());
    assert!(!world.reaches(&web, &db, ask));
}

#[test]
fn icmp_and_other_protocols_are_always_tracked() {
    for (traffic, transport) in [
        (
            RuleTraffic::Icmp {
                kind: None,
                code: None,
            },
            Transport::Icmp {
                kind: 8,
                code: 0,
                id: 1,
            },
        ),
        (RuleTraffic::Protocol(47), Transport::Other(47)),
    ] {
        let mut world = World::new();
        let (web, db) = (world.web.clone(), world.db.clone());
        let packet = Packet::new(web.address, db.address, transport);
        world.allow(&db.group, traffic, everyone());
        assert!(world.reaches(&web, &db, packet));
        world.forbid(&db.group, traffic, everyone());
        assert!(world.reaches(&web, &db, packet), "{traffic:?}");
    }
}

#[test]
fn an_icmp_error_passes_if_it_is_about_a_tracked_flow() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let block = RulePeer::Ipv4("10.0.0.0/16".parse().unwrap());
    world.allow(&db.group, DNS, block);
    let ask = udp(web.address, db.address, 4000, 53);
    let unreachable = |port| {
        let transport = Transport::IcmpError {
            kind: 3,
            code: 3,
            about: Quoted {
                source: web.address,
                destination: db.address,
                transport: QuotedTransport::Udp {
                    source: 4000,
                    destination: port,
                },
            },
        };
        Packet::new(db.address, web.address, transport)
    };
    assert!(!world.reaches(&db, &web, unreachable(53)), "about nothing");
    assert!(world.reaches(&web, &db, ask));
    assert!(world.reaches(&db, &web, unreachable(53)));
    assert!(!world.reaches(&db, &web, unreachable(54)), "another flow");
    world.pass(Duration::from_secs(31));
    assert!(!world.reaches(&db, &web, unreachable(53)), "idle");
}

#[test]
fn a_full_tracker_drops_what_is_new_and_has_to_be_tracked() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    world.tracker = Tracker::default().with_allowance(2);
    world.allow(&db.group, DNS, everyone());
    let ask = |port| udp(web.address, db.address, port, 53);
    assert!(world.reaches(&web, &db, ask(1)));
    assert!(world.reaches(&web, &db, ask(2)));
    let full = Verdict::Dropped(DropReason::TrackingFull(web.eni.clone()));
    assert_eq!(world.send(&web, ask(3)), full);
    assert!(world.reaches(&web, &db, ask(1)), "known already");
    world.pass(Duration::from_secs(31));
    assert!(world.reaches(&web, &db, ask(3)), "the others are idle");
}

#[test]
fn timeouts_are_the_interfaces_own_else_its_instance_types() {
    let mut world = World::new();
    let db = world.db.clone();
    let secs = |world: &World| {
        let eni = world.model.eni(&db.eni).unwrap();
        let times = world.model.tracking_timeouts(eni);
        (
            times.tcp_established_secs,
            times.udp_stream_secs,
            times.udp_secs,
        )
    };
    assert_eq!(secs(&world), (432_000, 180, 30));
    let own = ConnectionTracking {
        tcp_established_secs: Some(60),
        udp_stream_secs: None,
        udp_secs: Some(60),
    };
    world.model.set_tracking(&db.eni, own).unwrap();
    assert_eq!(secs(&world), (60, 180, 60));
    let wrong = ConnectionTracking {
        udp_stream_secs: Some(181),
        ..own
    };
    let refused = world.model.set_tracking(&db.eni, wrong).unwrap_err();
    assert_eq!(refused.code.as_str(), "InvalidParameterValue");
    assert_eq!(secs(&world), (60, 180, 60));
}

#[test]
fn a_rule_follows_the_entries_of_its_prefix_list() {
    let mut world = World::new();
    let (web, db) = (world.web.clone(), world.db.clone());
    let request = PrefixListRequest {
        name: "web".to_owned(),
        family: AddressFamily::Ipv4,
        max_entries: 2,
        entries: Vec::new(),
        tags: Tags::new(),
    };
    let list = world.model.create_prefix_list(&request, NOW).unwrap();
    world.allow(&db.group, POSTGRES, RulePeer::PrefixList(list.clone()));
    let syn = query(&world, Segment::Syn);
    assert!(!world.reaches(&web, &db, syn));
    let change = PrefixListChange {
        add: vec![PrefixListEntry {
            cidr: "10.0.1.0/24".parse().unwrap(),
            description: String::new(),
        }],
        ..PrefixListChange::default()
    };
    world.model.modify_prefix_list(&list, &change, NOW).unwrap();
    assert!(world.reaches(&web, &db, syn));
}
