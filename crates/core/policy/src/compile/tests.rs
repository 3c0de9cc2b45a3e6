use proptest::prelude::*;
use underlay_types::SecurityGroupId;

use super::*;
use crate::{IcmpVersion, PortProtocol, PortRange, Transport, allowed};

fn set() -> SecurityGroupSet {
    let groups = (0..2).map(SecurityGroupId::from_serial);
    SecurityGroupSet::new(groups, 5).unwrap()
}

fn rule(direction: Direction, protocol: &str, from: i32, to: i32, peer: Peer) -> Rule {
    let traffic = Traffic::from_ec2(protocol, Some(from), Some(to)).unwrap();
    Rule {
        direction,
        traffic,
        peer,
    }
}

fn group(serial: u64) -> Peer {
    Peer::Group(SecurityGroupId::from_serial(serial))
}

fn cidr(text: &str) -> Peer {
    Peer::Cidr(text.parse().unwrap())
}

#[test]
fn ports_are_merged_and_covered_rules_dropped() {
    use Direction::{Egress, Ingress};
    let rules = [
        rule(Egress, "-1", -1, -1, cidr("0.0.0.0/0")),
        rule(Egress, "tcp", 80, 80, cidr("10.0.0.0/8")),
        rule(Ingress, "tcp", 80, 80, group(0)),
        rule(Ingress, "tcp", 81, 90, group(1)),
        rule(Ingress, "tcp", 85, 100, group(1)),
        rule(Ingress, "tcp", 82, 83, cidr("10.1.0.0/16")),
        rule(Ingress, "udp", 53, 53, group(9)),
    ];
    let compiled = Compiled::new(&rules, &set());
    let any = Match {
        peers: Peers::Net("0.0.0.0/0".parse().unwrap()),
        traffic: Traffic::Any,
    };
    let ports = PortRange::new(80, 100).unwrap();
    let web = Match {
        peers: Peers::All,
        traffic: Traffic::Ports(PortProtocol::Tcp, ports),
    };
    assert_eq!(
        compiled,
        Compiled {
            egress: vec![any],
            ingress: vec![web]
        }
    );
}

#[test]
fn one_side_alone_allows_nothing() {
    let rules = [rule(Direction::Egress, "-1", -1, -1, cidr("0.0.0.0/0"))];
    assert_eq!(Compiled::new(&rules, &set()), Compiled::nothing());
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let ports = (0..6_u16, 0..6_u16).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap());
    let icmp = (
        0..2_u8,
        proptest::option::of(0..2_u8),
        proptest::option::of(0..2_u8),
    );
    prop_oneof![
        Just(Traffic::Any),
        ports
            .clone()
            .prop_map(|range| Traffic::Ports(PortProtocol::Tcp, range)),
        ports.prop_map(|range| Traffic::Ports(PortProtocol::Udp, range)),
        icmp.prop_map(|(version, kind, code)| Traffic::Icmp {
            version: if version == 0 {
                IcmpVersion::V4
            } else {
                IcmpVersion::V6
            },
            kind,
            code: kind.and(code),
        }),
        (40..42_u8).prop_map(Traffic::Protocol),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (0..8_u8, 29..=32_u8)
        .prop_map(|(last, length)| IpNet::new(IpAddr::from([10, 0, 0, last]), length).unwrap())
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        net().prop_map(Peer::Cidr),
        (0..4_u64).prop_map(group),
        proptest::collection::vec(net(), 0..3).prop_map(Peer::PrefixList),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let rule = (direction, traffic(), peer()).prop_map(|(direction, traffic, peer)| Rule {
        direction,
        traffic,
        peer,
    });
    proptest::collection::vec(rule, 0..12)
}

fn packet() -> impl Strategy<Value = Packet> {
    let transport = prop_oneof![
        (0..8_u16).prop_map(Transport::Tcp),
        (0..8_u16).prop_map(Transport::Udp),
        (0..3_u8, 0..3_u8).prop_map(|(kind, code)| Transport::Icmp(kind, code)),
        (0..3_u8, 0..3_u8).prop_map(|(kind, code)| Transport::Icmpv6(kind, code)),
        (40..43_u8).prop_map(Transport::Other),
    ];
    (0..8_u8, 0..8_u8, transport).prop_map(|(source, destination, transport)| Packet {
        source: IpAddr::from([10, 0, 0, source]),
        destination: IpAddr::from([10, 0, 0, destination]),
        transport,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn compiled_rules_allow_what_the_definition_allows(
        rules in rules(),
        packets in proptest::collection::vec(packet(), 32),
    ) {
        let (set, compiled) = (set(), Compiled::new(&rules, &set()));
        for packet in &packets {
            prop_assert_eq!(
                compiled.allows(packet),
                allowed(&rules, &set, packet),
                "{:?} of {:?}", packet, compiled
            );
        }
        for side in [&compiled.egress, &compiled.ingress] {
            for (index, one) in side.iter().enumerate() {
                let rest = side.iter().enumerate().filter(|(other, _)| *other != index);
                prop_assert!(!rest.into_iter().any(|(_, other)| other.covers(*one)));
            }
        }
    }
}
