//! Which pods are known to have lost their network.

use underlay_ipam::{CutOffCause, Ipam};
use underlay_types::{Class, EniId};

use super::{leave, with_pod};
use crate::{
    key,
    model::node::Node,
    pool,
    scenarios::{WAIT, ready, settle},
};

fn cut_off(ipam: &Ipam) -> Vec<(EniId, usize, CutOffCause)> {
    let found = ipam.cut_off().into_iter();
    found.map(|one| (one.eni, one.pods, one.cause)).collect()
}

/// The pool of explicit set 1 can neither grow nor attach what it has.
fn refuse_all(node: &mut Node) {
    while !node.ops.is_empty() {
        node.run_op(0, Some(Class::Denied), false);
    }
}

#[test]
fn pods_of_an_eni_that_was_detached_are_cut_off_once_that_is_believed_and_until_it_is_back() {
    let (mut node, lease) = with_pod(1);
    assert_eq!(cut_off(&node.ipam), []);
    let place = node.cloud.enis[&lease.eni].place;
    node.cloud.detach_outside(&lease.eni);
    node.look();
    assert_eq!(cut_off(&node.ipam), [], "one observation may be stale");
    node.look();
    refuse_all(&mut node);
    let wanted = (lease.eni.clone(), 1, CutOffCause::Unattached);
    assert_eq!(cut_off(&node.ipam), std::slice::from_ref(&wanted));
    // What the next agent sees at its first look is what there is.
    node.restart();
    refuse_all(&mut node);
    assert_eq!(cut_off(&node.ipam), [wanted]);
    node.cloud.enis.get_mut(&lease.eni).unwrap().place = place;
    node.look();
    settle(&mut node);
    assert_eq!(cut_off(&node.ipam), []);
    assert_eq!(node.ipam.lease(&key(1)), Some(lease));
}

#[test]
fn pods_of_an_eni_that_was_deleted_are_cut_off_until_they_go() {
    let (mut node, lease) = with_pod(1);
    node.cloud.delete_outside(&lease.eni);
    node.look();
    assert_eq!(cut_off(&node.ipam), []);
    node.look();
    let gone = [(lease.eni, 1, CutOffCause::Gone)];
    assert_eq!(cut_off(&node.ipam), gone);
    leave(&mut node, 1);
    assert_eq!(cut_off(&node.ipam), []);
}

#[test]
fn before_ec2_was_asked_nobody_is_cut_off() {
    let (mut node, lease) = with_pod(1);
    node.cloud.delete_outside(&lease.eni);
    node.restart();
    assert_eq!(cut_off(&node.ipam), [], "one observation may be stale");
    node.look();
    let gone = [(lease.eni, 1, CutOffCause::Gone)];
    assert_eq!(cut_off(&node.ipam), gone);
}

#[test]
fn a_pod_whose_address_was_taken_away_is_cut_off_and_its_neighbours_are_not() {
    let mut node = ready();
    for container in [1, 2] {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    let lease = node.leases.get(&key(1)).unwrap().clone();
    node.cloud.unassign_outside(lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    let wanted = [(lease.eni, 1, CutOffCause::AddressesMissing)];
    assert_eq!(cut_off(&node.ipam), wanted);
}

#[test]
fn pods_of_an_eni_whose_device_does_not_come_are_cut_off_and_a_start_alone_cuts_nobody_off() {
    let (mut node, lease) = with_pod(1);
    node.restart();
    assert_eq!(node.to_use.len(), 2);
    assert_eq!(cut_off(&node.ipam), []);
    node.kernel_answers(false);
    let unready = [(lease.eni, 1, CutOffCause::Unready)];
    assert_eq!(cut_off(&node.ipam), unready);
    node.pass(std::time::Duration::from_secs(60));
    settle(&mut node);
    assert_eq!(cut_off(&node.ipam), []);
}
