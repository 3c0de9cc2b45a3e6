//! ENIs that somebody else detached from under their pods are attached again.

use std::time::Duration;

use underlay_ipam::{CutOffCause, Input, Place, Standing};
use underlay_types::{Class, EniId};

use super::{leave, with_pod};
use crate::{
    key,
    model::node::Node,
    pool,
    scenarios::{WAIT, settle},
};

fn place(node: &Node, eni: &EniId) -> Option<Place> {
    node.cloud.enis[eni].place
}

fn index(index: u8) -> Place {
    Place { card: 0, index }
}

/// Somebody detaches an ENI, and EC2 says so twice.
fn detach(node: &mut Node, eni: &EniId) {
    node.cloud.detach_outside(eni);
    node.look();
    assert!(node.observe, "pods do not wait for the next audit");
    node.look();
}

#[test]
fn it_is_attached_at_once_and_where_it_was() {
    let (mut node, lease) = with_pod(1);
    let before = place(&node, &lease.eni);
    detach(&mut node, &lease.eni);
    settle(&mut node);
    assert_eq!(place(&node, &lease.eni), before, "{:?}", node.calls);
    assert_eq!(node.leases[&key(1)], lease);
    let report = node.ipam.report();
    let eni = report.enis.iter().find(|eni| eni.eni == lease.eni).unwrap();
    assert_eq!((eni.place, eni.leased), (before, 1));
    assert_eq!(node.ipam.cut_off(), []);
}

#[test]
fn a_restart_knows_where_it_was() {
    let (mut node, lease) = with_pod(1);
    node.add(key(2), pool(2), WAIT);
    settle(&mut node);
    let second = node.leases[&key(2)].eni.clone();
    let before = place(&node, &second);
    assert_eq!(before, Some(index(2)));
    node.cloud.detach_outside(&lease.eni);
    node.cloud.detach_outside(&second);
    node.restart();
    settle(&mut node);
    assert_eq!(place(&node, &second), before, "{:?}", node.calls);
    assert_eq!(place(&node, &lease.eni), Some(index(1)));
}

#[test]
fn it_is_attached_elsewhere_if_its_place_is_taken() {
    let (mut node, lease) = with_pod(1);
    node.cloud.detach_outside(&lease.eni);
    // Somebody attaches another one there.
    node.add(key(2), pool(2), WAIT);
    while !node.ops.is_empty() {
        node.run_op(0, None, false);
    }
    let other = node.to_use[0].clone();
    node.cloud.enis.get_mut(&other).unwrap().place = Some(index(1));
    node.kernel_answers(true);
    for _ in 0..4 {
        node.look();
        settle(&mut node);
    }
    assert_eq!(place(&node, &other), Some(index(1)));
    assert_eq!(place(&node, &lease.eni), Some(index(2)), "{:?}", node.calls);
}

#[test]
fn it_comes_before_pods_that_wait_and_into_the_last_slot() {
    comes_before_pods_that_wait(Class::Retry, Duration::from_secs(1));
    // What is not allowed for it is allowed for no other.
    comes_before_pods_that_wait(Class::Denied, Duration::from_secs(15));
}

fn comes_before_pods_that_wait(class: Class, pause: Duration) {
    let (mut node, lease) = with_pod(1);
    node.add(key(2), pool(2), WAIT);
    settle(&mut node);
    detach(&mut node, &lease.eni);
    // Refused for the moment: its slot is kept all the same.
    node.run_op(0, Some(class), false);
    node.add(key(3), pool(3), Duration::from_secs(1));
    assert!(node.ops.is_empty(), "{:?}", node.calls);
    assert_eq!(node.refusals.len(), 1, "{:?}", node.refusals);
    node.pass(pause);
    settle(&mut node);
    assert!(place(&node, &lease.eni).is_some(), "{:?}", node.calls);
    assert_eq!(node.cloud.enis.len(), 3);
}

#[test]
fn an_idle_eni_makes_room_for_it() {
    let (mut node, lease) = with_pod(1);
    node.add(key(2), pool(2), WAIT);
    settle(&mut node);
    let idle = node.leases[&key(2)].eni.clone();
    leave(&mut node, 2);
    node.pass(Duration::from_secs(31));
    // Its place, and with that the last slot, is another one's when it is missed.
    let mut other = node.cloud.enis[&idle].clone();
    other.place = place(&node, &lease.eni);
    other.addresses.clear();
    node.cloud.enis.insert(EniId::from_serial(99), other);
    detach(&mut node, &lease.eni);
    let attaches = |call: &String| call.starts_with("attach");
    node.calls.clear();
    assert!(!node.ops.iter().any(|(_, op)| attaches(&op.to_string())));
    settle(&mut node);
    assert!(place(&node, &lease.eni).is_some(), "{:?}", node.calls);
    assert_eq!(node.cloud.attached(), 3);
}

#[test]
fn a_refusal_is_told_and_stands_in_nobodys_way() {
    let (mut node, lease) = with_pod(1);
    detach(&mut node, &lease.eni);
    node.run_op(0, Some(Class::Invalid), false);
    let found = node.ipam.cut_off();
    assert_eq!(found[0].cause, CutOffCause::Unattached);
    assert!(found[0].to_string().contains("Injected"), "{}", found[0]);
    // Pods of its pool get another one meanwhile.
    node.add(key(2), pool(1), WAIT);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(2)), "{:?}", node.calls);
    node.calls.clear();
    node.pass(Duration::from_secs(10));
    assert_eq!(node.calls, [""; 0], "not again and again");
    node.pass(Duration::from_secs(6));
    settle(&mut node);
    assert!(place(&node, &lease.eni).is_some(), "{:?}", node.calls);
    assert_eq!(node.ipam.cut_off(), []);
}

#[test]
fn one_that_was_deleted_meanwhile_is_given_up() {
    let (mut node, lease) = with_pod(1);
    detach(&mut node, &lease.eni);
    node.cloud.delete_outside(&lease.eni);
    for _ in 0..4 {
        settle(&mut node);
        node.look();
        // Between two looks the call is tried again.
        node.pass(Duration::from_secs(60));
    }
    let causes: Vec<_> = node.ipam.cut_off().iter().map(|one| one.cause).collect();
    assert_eq!(causes, [CutOffCause::Gone]);
    assert!(node.ops.is_empty(), "{:?}", node.ops);
}

#[test]
fn one_that_is_to_be_left_alone_is_left_alone_and_that_is_told() {
    let (mut node, lease) = with_pod(1);
    let eni = node.cloud.enis.get_mut(&lease.eni).unwrap();
    eni.standing = Standing::Unmanaged;
    detach(&mut node, &lease.eni);
    settle(&mut node);
    assert_eq!(place(&node, &lease.eni), None);
    let causes: Vec<_> = node.ipam.cut_off().iter().map(|one| one.cause).collect();
    assert_eq!(causes, [CutOffCause::LeftUnattached]);
}

#[test]
fn a_draining_node_attaches_it_again_too() {
    let (mut node, lease) = with_pod(1);
    node.feed(Input::Drain);
    detach(&mut node, &lease.eni);
    settle(&mut node);
    assert!(place(&node, &lease.eni).is_some(), "{:?}", node.calls);
    leave(&mut node, 1);
    settle(&mut node);
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
}

#[test]
fn one_that_somebody_attached_at_another_place_is_used_there() {
    let (mut node, lease) = with_pod(1);
    assert_eq!(place(&node, &lease.eni), Some(index(1)));
    node.cloud.enis.get_mut(&lease.eni).unwrap().place = Some(index(2));
    node.look();
    assert!(node.to_use.is_empty(), "one answer may be stale");
    assert!(node.observe);
    node.look();
    assert_eq!(node.to_use, std::slice::from_ref(&lease.eni));
    settle(&mut node);
    let report = node.ipam.report();
    let eni = report.enis.iter().find(|eni| eni.eni == lease.eni).unwrap();
    assert_eq!(eni.place, Some(index(2)));
}
