//! What somebody else changes in EC2 behind the node's back.

mod addresses;
mod cut_off;
mod enis;
mod stranded;

use std::{net::Ipv4Addr, time::Duration};

use underlay_ipam::Lease;
use underlay_types::EniId;

use crate::{
    key,
    model::node::Node,
    pool,
    scenarios::{WAIT, ready, settle},
};

/// Longer than any cooldown.
const COOLED: Duration = Duration::from_secs(31);

/// A node with one pod, and its lease.
fn with_pod(which: u8) -> (Node, Lease) {
    let mut node = ready();
    node.add(key(1), pool(which), WAIT);
    settle(&mut node);
    node.calls.clear();
    let lease = node.leases.get(&key(1)).unwrap().clone();
    (node, lease)
}

/// EC2 takes an address from the node for good.
fn give_away(node: &mut Node, address: Ipv4Addr) {
    node.cloud.unassign_outside(address);
    node.cloud.free.remove(&address);
}

fn leave(node: &mut Node, container: u8) {
    node.del(key(container));
    node.device_gone(key(container));
}

/// What the allocator holds of an ENI, and what EC2 has.
fn totals(node: &Node, eni: &EniId) -> (Option<usize>, Option<usize>) {
    let report = node.ipam.report();
    let known = report.enis.iter().find(|known| known.eni == *eni);
    let there = node.cloud.enis.get(eni);
    (known.map(|eni| eni.total), there.map(|eni| eni.all().len()))
}

#[track_caller]
fn assert_agrees(node: &Node, eni: &EniId) {
    let (known, there) = totals(node, eni);
    assert_eq!(known, there, "{:?}", node.ipam.report());
}
