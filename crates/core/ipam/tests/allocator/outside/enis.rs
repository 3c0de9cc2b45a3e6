//! ENIs that somebody else detaches or deletes.

use std::time::Duration;

use underlay_ipam::Input;

use super::{COOLED, leave, with_pod};
use crate::{
    key,
    model::node::Node,
    pool,
    scenarios::{WAIT, ready, settle},
};

#[test]
fn an_eni_detached_from_under_its_pods_is_not_deleted() {
    let (mut node, lease) = with_pod(1);
    node.cloud.detach_outside(&lease.eni);
    node.feed(Input::Drain);
    for _ in 0..3 {
        node.look();
        settle(&mut node);
        assert!(node.cloud.enis.contains_key(&lease.eni));
    }
    assert_eq!(node.ipam.lease(&key(1)), Some(lease.clone()));
    leave(&mut node, 1);
    settle(&mut node);
    assert!(!node.cloud.enis.contains_key(&lease.eni));
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
}

#[test]
fn an_eni_detached_from_under_a_dying_pod_is_kept_until_its_device_is_gone() {
    let (mut node, lease) = with_pod(1);
    node.del(key(1));
    node.cloud.detach_outside(&lease.eni);
    node.pass(COOLED);
    for _ in 0..3 {
        node.look();
        settle(&mut node);
    }
    assert!(node.cloud.enis.contains_key(&lease.eni));
    node.device_gone(key(1));
    settle(&mut node);
    assert!(!node.cloud.enis.contains_key(&lease.eni));
}

#[test]
fn a_restart_does_not_delete_a_detached_eni_of_pods() {
    let (mut node, lease) = with_pod(1);
    node.cloud.detach_outside(&lease.eni);
    node.restart();
    settle(&mut node);
    assert!(node.cloud.enis.contains_key(&lease.eni));
    assert_eq!(node.ipam.lease(&key(1)), Some(lease));
}

#[test]
fn one_observation_does_not_take_an_idle_eni_out_of_use() {
    let (mut node, lease) = with_pod(1);
    leave(&mut node, 1);
    node.pass(COOLED);
    let place = node.cloud.enis[&lease.eni].place;
    node.cloud.detach_outside(&lease.eni);
    node.look();
    assert!(node.ops.is_empty() && node.to_drop.is_empty());
    // The first answer was stale.
    node.cloud.enis.get_mut(&lease.eni).unwrap().place = place;
    node.look();
    node.cloud.detach_outside(&lease.eni);
    node.look();
    assert!(node.ops.is_empty() && node.to_drop.is_empty());
    node.look();
    assert_eq!(
        node.to_drop,
        [lease.eni],
        "the node is told before EC2 is asked"
    );
    settle(&mut node);
    assert_eq!(node.cloud.enis.len(), 1);
}

#[test]
fn a_deleted_eni_keeps_its_place_until_the_node_has_dropped_it() {
    let (mut node, lease) = with_pod(1);
    let place = node.cloud.enis[&lease.eni].place.unwrap();
    leave(&mut node, 1);
    node.pass(COOLED);
    node.cloud.delete_outside(&lease.eni);
    node.look();
    node.look();
    assert_eq!(node.to_drop, [lease.eni]);
    node.add(key(2), pool(2), WAIT);
    while !node.ops.is_empty() {
        node.run_op(0, None, false);
    }
    let at = |node: &Node| {
        node.cloud
            .enis
            .values()
            .find(|eni| eni.pool == pool(2))
            .and_then(|eni| eni.place)
    };
    assert!(at(&node).is_some_and(|taken| taken != place));
    settle(&mut node);
    node.add(key(3), pool(3), WAIT);
    settle(&mut node);
    assert_eq!(node.leases.len(), 2, "the place is free again");
}

#[test]
fn an_eni_does_not_leave_while_the_node_is_told_to_use_it() {
    let mut node = ready();
    node.add(key(2), pool(2), WAIT);
    settle(&mut node);
    node.add(key(1), pool(1), Duration::from_secs(1));
    while !node.ops.is_empty() {
        node.run_op(0, None, false);
    }
    node.pass(Duration::from_secs(2));
    assert_eq!((node.to_use.len(), node.refusals.len()), (1, 1));
    node.add(key(3), pool(3), WAIT);
    assert!(node.to_drop.is_empty());
    assert_eq!(node.refusals.len(), 1, "{:?}", node.refusals);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(3)));
}

#[test]
fn an_eni_deleted_while_its_device_is_awaited_is_given_up_after_two_looks() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    while !node.ops.is_empty() {
        node.run_op(0, None, false);
    }
    let eni = node.to_use[0].clone();
    node.cloud.delete_outside(&eni);
    node.look();
    node.look();
    assert!(node.to_drop.is_empty(), "the node is still told to use it");
    node.kernel_answers(false);
    assert!(node.observe && node.to_use.is_empty(), "a look decides");
    node.look();
    assert_eq!(node.to_drop, std::slice::from_ref(&eni));
    settle(&mut node);
    let report = node.ipam.report();
    assert!(
        report.enis.iter().all(|known| known.eni != eni),
        "{report:?}"
    );
    assert!(node.leases.contains_key(&key(1)), "another ENI serves it");
}
