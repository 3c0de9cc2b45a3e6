//! The program at the egress, by `BPF_PROG_TEST_RUN`. Tags of test runs are not in the frame, and those of
//! real frames are tried in [`super::devices`].

use std::net::Ipv4Addr;

use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions},
};
use proptest::prelude::*;

use super::super::*;

/// The device of test runs.
const LO: IfIndex = IfIndex(1);
const VLAN: u16 = 7;
const BRANCH: Branch = Branch {
    address: Ipv4Addr::new(10, 0, 1, 9),
    router: Ipv4Addr::new(10, 0, 1, 1),
    mac: Mac([0x0a, 1, 2, 3, 4, 5]),
};
const NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x11];
const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x22];
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_UNSPEC: u32 = u32::MAX;

#[derive(Debug, Clone)]
enum Payload {
    Ip4 { source: Ipv4Addr, bytes: u8 },
    Ip6,
    Arp { operation: u16, target: Ipv4Addr },
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
        Payload::Ip6 => {
            frame.extend([0x86, 0xdd, 0x60]);
            frame.extend([0; 39]);
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

/// What must come of it, said plainly.
fn wanted(mark: u32, payload: &Payload) -> Outcome {
    let untouched = Outcome::Passed(frame(NODE_MAC, payload), false);
    let of_branch = mark & 0x4000_0000 != 0;
    let known = (mark >> 20) & 1023 == u32::from(VLAN);
    match payload {
        Payload::Arp {
            operation: 1,
            target,
        } if is_alias(*target) => {
            if *target != Ipv4Addr::new(169, 254, 4, 7) {
                return Outcome::Dropped;
            }
            let mut asked = ROUTER_MAC.to_vec();
            asked.extend(BRANCH.mac.0);
            let sender = (BRANCH.mac.0, BRANCH.address);
            arp(&mut asked, 1, sender, BRANCH.router);
            Outcome::Passed(asked, true)
        }
        Payload::Arp { .. } => untouched,
        _ if !of_branch => untouched,
        Payload::Ip4 { source, .. } if known && *source == BRANCH.address => {
            Outcome::Passed(frame(BRANCH.mac.0, payload), true)
        }
        Payload::Ip4 { .. } | Payload::Ip6 => Outcome::Dropped,
    }
}

fn is_alias(address: Ipv4Addr) -> bool {
    (u32::from(Ipv4Addr::new(169, 254, 4, 0))..=u32::from(Ipv4Addr::new(169, 254, 7, 255)))
        .contains(&u32::from(address))
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
        let value: Value = transmute!(abi::Branch {
            address_be: BRANCH.address.octets(),
            router_be: BRANCH.router.octets(),
            mac: BRANCH.mac.0,
            pad: [0; 2],
        });
        let vlan = VLAN.try_into().unwrap();
        branches.insert(key(LO, vlan), value, 0).unwrap();
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
        Just(BRANCH.address),
        Just(Ipv4Addr::new(10, 0, 1, 10)),
        any::<u32>().prop_map(Ipv4Addr::from)
    ];
    let target = prop_oneof![
        Just(Ipv4Addr::new(169, 254, 4, 7)),
        Just(Ipv4Addr::new(169, 254, 4, 0)),
        Just(BRANCH.router),
        (0x03ff_u32..0x0801).prop_map(|low| Ipv4Addr::from(0xa9fe_0000 + low)),
    ];
    prop_oneof![
        (source, 0_u8..60).prop_map(|(source, bytes)| Payload::Ip4 { source, bytes }),
        Just(Payload::Ip6),
        (1_u16..3, target).prop_map(|(operation, target)| Payload::Arp { operation, target }),
    ]
}

fn marks() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(0x4070_0000),
        // With bits of kube-proxy and of a Service.
        Just(0xc070_4000),
        Just(0x0070_0000),
        (1_u32..1024).prop_map(|vlan| 0x4000_0000 | vlan << 20),
        any::<u32>(),
    ]
}

#[test]
fn what_leaves_is_tagged_left_alone_or_dropped_as_its_mark_says() {
    let mut bench = Bench::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2_000,
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
    let [one, two] = [1_u16, 1023].map(|vlan| VlanId::try_from(vlan).unwrap());
    datapath.set(LO, one, &BRANCH).unwrap();
    datapath.set(IfIndex(9), two, &BRANCH).unwrap();
    let mut found = datapath.branches().unwrap();
    found.sort_by_key(|(device, vlan, _)| (device.0, *vlan));
    assert_eq!(found, [(LO, one, BRANCH), (IfIndex(9), two, BRANCH)]);
    datapath.remove(LO, one).unwrap();
    datapath.remove(LO, one).unwrap();
    assert_eq!(datapath.branches().unwrap(), [(IfIndex(9), two, BRANCH)]);
}
