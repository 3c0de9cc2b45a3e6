//! ENIs that serve pods no more: a primary one kept out of their use, ENIs in subnets that are not
//! the pool's any more, and those that somebody marked to be left alone.

use std::time::Duration;

use underlay_ipam::{Input, Lease, Standing};
use underlay_types::EniId;

use crate::{
    key,
    model::{
        cloud::primary,
        node::{Node, config},
    },
    pool,
    scenarios::{WAIT, ready, settle},
};

const COOLED: Duration = Duration::from_secs(31);

fn stands(node: &mut Node, eni: &EniId, standing: Standing) {
    node.cloud.enis.get_mut(eni).unwrap().standing = standing;
    node.look();
    settle(node);
}

/// A node that has pod 1, of whichever pool.
fn with_pod(which: u8) -> (Node, Lease) {
    let mut node = ready();
    node.add(key(1), pool(which), WAIT);
    settle(&mut node);
    let lease = node.leases[&key(1)].clone();
    node.calls.clear();
    (node, lease)
}

fn end_pod(node: &mut Node) {
    node.del(key(1));
    node.device_gone(key(1));
    node.pass(COOLED);
    settle(node);
}

#[test]
fn a_primary_eni_kept_out_of_pod_use_carries_no_pod_and_takes_its_slot() {
    let mut node = Node::start_with(200, config());
    node.ops.clear();
    node.calls.clear();
    node.cloud.enis.get_mut(&primary()).unwrap().standing = Standing::Emptying;
    node.restart();
    settle(&mut node);
    for container in 0..6 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    // Of three ENIs the primary is one; the others carry three pods each.
    assert_eq!(node.leases.len(), 6, "{:?}", node.refusals);
    assert!(node.leases.values().all(|lease| lease.eni != primary()));
    assert_eq!(node.cloud.attached(), 3);
    assert!(node.cloud.enis[&primary()].addresses.is_empty());
    node.add(key(7), pool(0), WAIT);
    settle(&mut node);
    let refusal = node.refusals.pop().unwrap();
    assert!(refusal.contains("3 of 3 attached"), "{refusal}");
}

#[test]
fn addresses_of_a_primary_eni_taken_out_of_pod_use_drain() {
    let (mut node, lease) = with_pod(0);
    assert_eq!(lease.eni, primary());
    stands(&mut node, &primary(), Standing::Emptying);
    // What is free goes at once, what the pod has when it has cooled down.
    let left = |node: &Node| node.cloud.enis[&primary()].addresses.clone();
    assert_eq!(left(&node), [lease.addresses.v4().unwrap()].into());
    node.add(key(2), pool(0), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(2)].eni, primary());
    node.del(key(1));
    node.device_gone(key(1));
    settle(&mut node);
    assert_eq!(left(&node).len(), 1, "it still rests");
    node.pass(COOLED);
    settle(&mut node);
    assert!(left(&node).is_empty());
    assert!(node.cloud.enis[&primary()].place.is_some());
}

#[test]
fn an_eni_in_a_subnet_that_is_not_the_pools_any_more_leaves_with_its_last_pod() {
    let (mut node, lease) = with_pod(1);
    stands(&mut node, &lease.eni, Standing::Emptying);
    node.add(key(2), pool(1), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(2)].eni, lease.eni);
    assert!(node.cloud.enis.contains_key(&lease.eni));
    end_pod(&mut node);
    assert!(!node.cloud.enis.contains_key(&lease.eni));
}

#[test]
fn an_eni_that_is_marked_later_keeps_its_pods_and_is_left_alone_for_good() {
    let (mut node, lease) = with_pod(1);
    node.cloud
        .enis
        .get_mut(&lease.eni)
        .unwrap()
        .delete_on_termination = false;
    stands(&mut node, &lease.eni, Standing::Unmanaged);
    assert_eq!(node.ipam.lease(&key(1)), Some(lease.clone()));
    node.add(key(2), pool(1), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(2)].eni, lease.eni, "no more pods");
    let before = node.cloud.enis[&lease.eni].addresses.clone();
    end_pod(&mut node);
    node.restart();
    settle(&mut node);
    // Not even for want of a slot, nor by a drain.
    for set in [3, 4] {
        node.add(key(set), pool(set), Duration::from_secs(1));
        settle(&mut node);
    }
    node.pass(Duration::from_secs(700));
    node.del(key(2));
    node.device_gone(key(2));
    node.feed(Input::Drain);
    settle(&mut node);
    let name = lease.eni.to_string();
    let calls: Vec<_> = node
        .calls
        .iter()
        .filter(|call| call.contains(&name))
        .collect();
    assert!(calls.is_empty(), "{calls:?}");
    assert_eq!(node.cloud.enis[&lease.eni].addresses, before);
    assert!(node.cloud.enis[&lease.eni].place.is_some());
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
}

#[test]
fn an_eni_that_is_marked_on_its_way_out_stays() {
    let (mut node, lease) = with_pod(1);
    end_pod(&mut node);
    node.pass(Duration::from_secs(700));
    assert_eq!(node.to_drop, std::slice::from_ref(&lease.eni));
    stands(&mut node, &lease.eni, Standing::Unmanaged);
    node.look();
    settle(&mut node);
    assert!(node.cloud.enis[&lease.eni].place.is_some());
    // Its mark is taken off: it goes on where it was.
    stands(&mut node, &lease.eni, Standing::Serving);
    node.pass(Duration::from_secs(700));
    settle(&mut node);
    assert!(!node.cloud.enis.contains_key(&lease.eni));
}

#[test]
fn a_marked_eni_that_nobody_attached_is_not_deleted() {
    let (mut node, lease) = with_pod(1);
    end_pod(&mut node);
    node.cloud.detach_outside(&lease.eni);
    node.cloud.enis.get_mut(&lease.eni).unwrap().standing = Standing::Unmanaged;
    node.restart();
    settle(&mut node);
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(1)].eni, lease.eni);
    assert_eq!(node.cloud.enis[&lease.eni].place, None);
}

#[test]
fn a_primary_eni_that_is_marked_keeps_what_it_has() {
    let mut node = ready();
    let before = node.cloud.enis[&primary()].addresses.clone();
    assert!(!before.is_empty());
    stands(&mut node, &primary(), Standing::Unmanaged);
    node.add(key(1), pool(0), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(1)].eni, primary());
    node.del(key(1));
    node.device_gone(key(1));
    node.feed(Input::Drain);
    settle(&mut node);
    assert_eq!(node.cloud.enis[&primary()].addresses, before);
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
}

#[test]
fn pods_get_the_addresses_of_an_eni_whose_mark_was_taken_off() {
    let (mut node, lease) = with_pod(1);
    stands(&mut node, &lease.eni, Standing::Unmanaged);
    stands(&mut node, &lease.eni, Standing::Serving);
    node.add(key(2), pool(1), WAIT);
    settle(&mut node);
    assert_eq!(node.leases[&key(2)].eni, lease.eni);
}
