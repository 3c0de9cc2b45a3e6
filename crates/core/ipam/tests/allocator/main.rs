//! The allocator against a cloud that keeps EC2's rules: scenarios by name, and random ones.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod cards;
mod crowds;
mod doubts;
mod families;
mod model;
mod outside;
mod prefixes;
mod properties;
mod scenarios;
mod standing;
mod targets;
mod whole;

use underlay_types::{LeaseKey, PoolKey};

fn key(container: u8) -> LeaseKey {
    LeaseKey {
        network: "underlay".parse().unwrap(),
        container: format!("c{container}").parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

/// The pool of whole ENIs with the node's groups.
const WHOLE: u8 = 3;

fn pool(which: u8) -> PoolKey {
    match which {
        0 => PoolKey::default_pool(),
        WHOLE => PoolKey::default_pool().whole(),
        set => PoolKey::exactly(format!("sg-0000000{:x}", set + 9).parse().unwrap()),
    }
}
