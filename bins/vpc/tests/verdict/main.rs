//! The fabric, as full mode's driver fills it, against the model's reference verdict: random VPCs
//! with groups, network ACLs, routes, peering, gateways and trunks; random packets of both
//! families; and changes between them. Needs root.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod changes;
mod compare;
mod dice;
mod frames;
mod traffic;
mod wire;
mod world;

use std::{collections::BTreeMap, thread};

use compare::Wire;
use world::World;

/// What the fabric has to have said of so many packets of all seeds together, at least: a
/// comparison of packets that are all dropped, or all for one reason, proves nothing.
const SAID: [(&str, u32); 18] = [
    ("delivered", 2_000),
    ("delivered-to-outside", 100),
    ("drop-blackhole", 5),
    ("drop-dest-check", 20),
    ("drop-egress-acl", 200),
    ("drop-egress-groups", 500),
    ("drop-egress-only", 50),
    ("drop-ingress-acl", 100),
    ("drop-ingress-groups", 200),
    ("drop-multicast", 50),
    ("drop-nat-no-flow", 10),
    ("drop-nat-protocol", 1),
    ("drop-no-public-address", 50),
    ("drop-no-route", 20),
    ("drop-source-check", 50),
    ("drop-unknown-address", 100),
    ("nat-resets", 1),
    ("too-big-answered", 2),
];

/// What the fabric said, by name.
type Said = BTreeMap<&'static str, u32>;

/// Sends so many packets, with a change after every twentieth.
fn agree_for(seed: u64, wire: Wire, steps: u32) -> Said {
    let mut world = World::new(seed);
    world.open();
    let mut said = Said::new();
    for step in 0..steps {
        if step % 20 == 19 {
            world.change();
        }
        for counted in world.compare(&format!("seed {seed}, {wire:?}, step {step}"), wire) {
            *said.entry(counted).or_insert(0) += 1;
        }
    }
    said
}

#[test]
fn fabric_and_verdict_agree() {
    let seeds: Vec<_> = [1, 2, 3, 4]
        .map(|seed| thread::spawn(move || agree_for(seed, Wire::Programs, 6_000)))
        .into();
    let mut said = Said::new();
    for seed in seeds {
        let of_seed = seed.join().unwrap();
        for (name, count) in of_seed {
            *said.entry(name).or_insert(0) += count;
        }
    }
    for (name, at_least) in SAID {
        let count = said.get(name).copied().unwrap_or(0);
        assert!(count >= at_least, "{name} {count} times: {said:?}");
    }
}

#[test]
fn fabric_and_verdict_agree_where_frames_go_by_devices() {
    let said = agree_for(5, Wire::Devices, 2_000);
    let count = |name| said.get(name).copied().unwrap_or(0);
    assert!(
        count("delivered") >= 200 && count("delivered-to-outside") >= 20,
        "{said:?}"
    );
}
