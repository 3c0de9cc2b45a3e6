//! The program at the egress, by `BPF_PROG_TEST_RUN`. Tags of test runs are not in the frame, and those of
//! real frames are tried in [`super::devices`].

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions},
};
use proptest::prelude::*;

use super::super::*;

/// The device of test runs.
const LO: IfIndex = IfIndex(1);
/// The tag of a branch of both families, of one of IPv4 and of one of IPv6.
const VLAN: u16 = 7;
const VLAN_V4: u16 = 4094;
const VLAN_V6: u16 = 1030;
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 9);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2600, 1, 0, 0, 0, 0, 0, 9);
const BRANCH: Branch = Branch {
    ipv4: Some(BranchIpv4 {
        address: OWN,
        router: ROUTER,
    }),
    ipv6: Some(OWN_V6),
    mac: Mac([0x0a, 1, 2, 3, 4, 5]),
};
const BRANCH_V4: Branch = Branch {
    ipv6: None,
    ..BRANCH
};
const BRANCH_V6: Branch = Branch {
    ipv4: None,
    ..BRANCH
};
/// Made of the branch's Ethernet address: bit 1 of its first byte is turned.
const OWN_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0801, 0x02ff, 0xfe03, 0x0405);
const NODE_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x11);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0xec2, 0, 0, 0, 0, 0, 1);
const NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x11];
const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x22];
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_UNSPEC: u32 = u32::MAX;

#[derive(Debug, Clone)]
enum Payload {
    Ip4 { source: Ipv4Addr, bytes: u8 },
    Ip6 { source: Ipv6Addr, bytes: u8 },
    Arp { operation: u16, target: Ipv4Addr },
    Discovery(Discovery),
}

/// A message of neighbour discovery with one option.
#[derive(Debug, Clone, Copy)]
struct Discovery {
    kind: u8,
    target: Ipv6Addr,
    /// To one, not to all who may have the address.
    direct: bool,
    hop_limit: u8,
    with_mac: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Dropped,
    /// With this content, and a tag or none: what the counters say.
    Passed(Vec<u8>, bool),
}

fn frame(source_mac: [u8; 6], payload: &Payload) -> Vec<u8> {
    let mut frame = ROUTER_MAC.to_vec();
    frame.extend(source_mac);
    match payload {
        Payload::Ip4 { source, bytes } => {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 20 + bytes, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend(source.octets());
            frame.extend([10, 0, 9, 9]);
            frame.extend(vec![0x5a; usize::from(*bytes)]);
        }
        Payload::Ip6 { source, bytes } => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, *bytes, 17, 64]);
            frame.extend(source.octets());
            frame.extend(Ipv6Addr::new(0x2600, 9, 0, 0, 0, 0, 0, 9).octets());
            frame.extend(vec![0x5a; usize::from(*bytes)]);
        }
        Payload::Discovery(discovery) => {
            if !discovery.direct {
                let [.., a, b, c] = discovery.target.octets();
                frame[..6].copy_from_slice(&[0x33, 0x33, 0xff, a, b, c]);
            }
            discover(&mut frame, *discovery, NODE_LINK, NODE_MAC);
        }
        Payload::Arp { operation, target } => {
            let sender = Ipv4Addr::new(10, 0, 0, 5);
            arp(&mut frame, *operation, (NODE_MAC, sender), *target);
        }
    }
    frame
}

fn arp(frame: &mut Vec<u8>, operation: u16, sender: ([u8; 6], Ipv4Addr), target: Ipv4Addr) {
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(sender.0);
    frame.extend(sender.1.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
}

/// The IPv6 packet.
fn discover(frame: &mut Vec<u8>, what: Discovery, source: Ipv6Addr, mac: [u8; 6]) {
    let Discovery { kind, target, .. } = what;
    let [.., a, b, c] = target.octets();
    let (high, low) = (0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low);
    let destination = if what.direct { target } else { all };
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if what.with_mac {
        message.extend([1, 1]);
        message.extend(mac);
    }
    let length = u8::try_from(message.len()).unwrap();
    let mut summed = [source.octets(), destination.octets()].concat();
    summed.extend([0, 0, 0, length, 0, 0, 0, 58]);
    summed.extend(&message);
    message[2..4].copy_from_slice(&checksum(&summed).to_be_bytes());
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, 58, what.hop_limit]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
}

/// The Internet's (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

fn known(tag: u16) -> Option<Branch> {
    match tag {
        VLAN => Some(BRANCH),
        VLAN_V4 => Some(BRANCH_V4),
        VLAN_V6 => Some(BRANCH_V6),
        _ => None,
    }
}

/// What must come of it, said plainly.
fn wanted(mark: u32, payload: &Payload) -> Outcome {
    let untouched = Outcome::Passed(frame(NODE_MAC, payload), false);
    let of_branch = mark & 0x4000_0000 != 0;
    let marked = known(u16::try_from((mark >> 18) & 4095).unwrap());
    match *payload {
        Payload::Arp {
            operation: 1,
            target,
        } if is_alias(target) => {
            let [.., high, low] = target.octets();
            let branch = known(u16::from_be_bytes([high - 16, low]));
            let Some(branch) = branch.filter(|branch| branch.ipv4.is_some()) else {
                return Outcome::Dropped;
            };
            let mut asked = ROUTER_MAC.to_vec();
            asked.extend(branch.mac.0);
            arp(&mut asked, 1, (branch.mac.0, OWN), ROUTER);
            Outcome::Passed(asked, true)
        }
        Payload::Arp { .. } => untouched,
        Payload::Discovery(what) if !of_branch && what.kind == 135 && is_alias_v6(what.target) => {
            let branch = known(what.target.segments()[7]);
            let good = what.with_mac && what.hop_limit == 255;
            if !good || branch.is_none_or(|branch| branch.ipv6.is_none()) {
                return Outcome::Dropped;
            }
            let mut asked = ROUTER_MAC.to_vec();
            if !what.direct {
                asked = vec![0x33, 0x33, 0xff, 0, 0, 1];
            }
            asked.extend(BRANCH.mac.0);
            let target = ROUTER_V6;
            let what = Discovery { target, ..what };
            discover(&mut asked, what, OWN_LINK, BRANCH.mac.0);
            Outcome::Passed(asked, true)
        }
        _ if !of_branch => untouched,
        Payload::Ip4 { source, .. }
            if source == OWN && marked.is_some_and(|of| of.ipv4.is_some()) =>
        {
            Outcome::Passed(frame(BRANCH.mac.0, payload), true)
        }
        Payload::Ip6 { source, .. }
            if source == OWN_V6 && marked.is_some_and(|of| of.ipv6.is_some()) =>
        {
            Outcome::Passed(frame(BRANCH.mac.0, payload), true)
        }
        Payload::Ip4 { .. } | Payload::Ip6 { .. } | Payload::Discovery(_) => Outcome::Dropped,
    }
}

fn is_alias(address: Ipv4Addr) -> bool {
    (u32::from(Ipv4Addr::new(169, 254, 16, 0))..=u32::from(Ipv4Addr::new(169, 254, 31, 255)))
        .contains(&u32::from(address))
}

fn is_alias_v6(address: Ipv6Addr) -> bool {
    let [high @ .., low] = address.segments();
    high == [0xfe80, 0x756e, 0, 0, 0, 0, 0] && low < 4096
}

struct Bench {
    object: Ebpf,
    counters: PerCpuArray<MapData, u64>,
}

impl Bench {
    fn new() -> Self {
        let mut object = object::load().unwrap();
        let mut branches: HashMap<MapData, Key, Value> =
            object::map(&mut object, "branches").unwrap();
        for tag in [VLAN, VLAN_V4, VLAN_V6] {
            let value = value(&known(tag).unwrap());
            let vlan = tag.try_into().unwrap();
            branches.insert(key(LO, vlan), value, 0).unwrap();
        }
        let counters = object::map(&mut object, "branch_counters").unwrap();
        Self { object, counters }
    }

    fn tagged(&self) -> u64 {
        let sum = |index: u32| self.counters.get(&index, 0).unwrap().iter().sum::<u64>();
        // "sent" and "router-asked".
        sum(0) + sum(2)
    }

    fn run(&mut self, mark: u32, frame: &[u8]) -> Outcome {
        let before = self.tagged();
        let mut context = [0; 44];
        context[8..12].copy_from_slice(&mark.to_ne_bytes());
        let mut out = vec![0; 2048];
        let program = object::program(&mut self.object, "to_trunk").unwrap();
        let ran = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .unwrap();
        out.truncate(usize::try_from(ran.data_size_out).unwrap());
        match ran.return_value {
            TC_ACT_SHOT => Outcome::Dropped,
            TC_ACT_UNSPEC => Outcome::Passed(out, self.tagged() > before),
            other => panic!("answered {other}"),
        }
    }
}

fn payloads() -> impl Strategy<Value = Payload> {
    let source = prop_oneof![
        Just(OWN),
        Just(Ipv4Addr::UNSPECIFIED),
        Just(Ipv4Addr::new(10, 0, 1, 10)),
        any::<u32>().prop_map(Ipv4Addr::from)
    ];
    let source_v6 = prop_oneof![
        Just(OWN_V6),
        Just(Ipv6Addr::UNSPECIFIED),
        Just(OWN_LINK),
        any::<u128>().prop_map(Ipv6Addr::from)
    ];
    let target = prop_oneof![
        tags().prop_map(|tag| Ipv4Addr::from(0xa9fe_1000 + u32::from(tag))),
        Just(Ipv4Addr::new(169, 254, 16, 0)),
        Just(ROUTER),
        (0x0fff_u32..0x2001).prop_map(|low| Ipv4Addr::from(0xa9fe_0000 + low)),
    ];
    prop_oneof![
        (source, 0_u8..60).prop_map(|(source, bytes)| Payload::Ip4 { source, bytes }),
        (source_v6, 0_u8..60).prop_map(|(source, bytes)| Payload::Ip6 { source, bytes }),
        (1_u16..3, target).prop_map(|(operation, target)| Payload::Arp { operation, target }),
        discoveries().prop_map(Payload::Discovery),
    ]
}

fn tags() -> impl Strategy<Value = u16> {
    prop_oneof![Just(VLAN), Just(VLAN_V4), Just(VLAN_V6), 0_u16..4096]
}

fn discoveries() -> impl Strategy<Value = Discovery> {
    let alias = |tag| Ipv6Addr::new(0xfe80, 0x756e, 0, 0, 0, 0, 0, tag);
    let target = prop_oneof![
        5 => tags().prop_map(alias),
        1 => (4094_u16..4099).prop_map(alias),
        1 => Just(ROUTER_V6),
        1 => Just(Ipv6Addr::new(0xfe80, 0x756e, 0, 0, 0, 0, 1, VLAN)),
    ];
    let kind = prop_oneof![5 => Just(135), 1 => 133_u8..138];
    let hop_limit = prop_oneof![5 => Just(255), 1 => Just(254)];
    let with_mac = prop_oneof![5 => Just(true), 1 => Just(false)];
    (kind, target, any::<bool>(), hop_limit, with_mac).prop_map(
        |(kind, target, direct, hop_limit, with_mac)| Discovery {
            kind,
            target,
            direct,
            hop_limit,
            with_mac,
        },
    )
}

fn marks() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        tags().prop_map(|tag| 0x4000_0000 | u32::from(tag) << 18),
        // With bits of kube-proxy and of a Service.
        tags().prop_map(|tag| 0xc000_4000 | u32::from(tag) << 18),
        Just(0x0070_0000),
        any::<u32>(),
    ]
}

#[test]
fn what_leaves_is_tagged_left_alone_or_dropped_as_its_mark_says() {
    let mut bench = Bench::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 6_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let bench = std::cell::RefCell::new(&mut bench);
    runner
        .run(&(marks(), payloads()), |(mark, payload)| {
            let outcome = bench.borrow_mut().run(mark, &frame(NODE_MAC, &payload));
            prop_assert_eq!(outcome, wanted(mark, &payload));
            Ok(())
        })
        .unwrap();
}

#[test]
fn entries_are_told_as_they_were_set() {
    let datapath = Datapath::load().unwrap();
    let [one, two, three] = [1_u16, 1023, 4094].map(|vlan| VlanId::try_from(vlan).unwrap());
    datapath.set(LO, one, &BRANCH).unwrap();
    datapath.set(IfIndex(9), two, &BRANCH_V4).unwrap();
    datapath.set(IfIndex(9), three, &BRANCH_V6).unwrap();
    let mut found = datapath.branches().unwrap();
    found.sort_by_key(|(device, vlan, _)| (device.0, *vlan));
    let others = [(IfIndex(9), two, BRANCH_V4), (IfIndex(9), three, BRANCH_V6)];
    assert_eq!(found[0], (LO, one, BRANCH));
    assert_eq!(found[1..], others);
    datapath.remove(LO, one).unwrap();
    datapath.remove(LO, one).unwrap();
    let mut left = datapath.branches().unwrap();
    left.sort_by_key(|(_, vlan, _)| *vlan);
    assert_eq!(left, others);
}
