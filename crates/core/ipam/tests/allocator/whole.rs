//! ENIs that one pod has as a whole.

use std::time::Duration;

use underlay_ipam::Config;
use underlay_types::Families;

use crate::{
    WHOLE, key,
    model::node::{COOLDOWN, Node, config},
    pool,
    scenarios::{WAIT, ready, settle},
};

/// A node of one family or both with its warm addresses.
fn ready_with(families: Families) -> Node {
    let mut node = Node::start_with(
        200,
        Config {
            families,
            ..config()
        },
    );
    settle(&mut node);
    node.calls.clear();
    node
}

#[test]
fn pods_that_wait_get_an_eni_each_side_by_side() {
    let mut node = ready();
    node.add(key(1), pool(WHOLE), WAIT);
    node.add(key(2), pool(WHOLE), WAIT);
    let create = "create an ENI for whole/default with 0 addresses";
    assert_eq!(node.calls, [create, create]);
    settle(&mut node);
    assert_eq!(node.leases.len(), 2);
    assert_ne!(node.leases[&key(1)].eni, node.leases[&key(2)].eni);
    let numbers = node.ipam.numbers(&pool(WHOLE));
    assert_eq!((numbers.leased, numbers.total, numbers.enis), (2, 2, 2));
}

#[test]
fn the_types_limit_is_kept_and_the_refusal_has_its_numbers() {
    let mut node = ready();
    for container in 1..=3 {
        node.add(key(container), pool(WHOLE), WAIT);
        settle(&mut node);
    }
    assert_eq!(
        node.refusals,
        [
            "pool whole/default: 0 of 2 free on 2 ENIs, and no ENI slot for it: 3 of 3 attached \
             and in use"
        ]
    );
    // A pod of the node's shared pool still gets what the primary ENI has.
    node.add(key(4), pool(0), WAIT);
    assert!(node.leases.contains_key(&key(4)));
}

#[test]
fn an_eni_serves_the_next_pod_after_its_cooldown_and_once_its_device_is_back() {
    let mut node = ready();
    node.add(key(1), pool(WHOLE), WAIT);
    settle(&mut node);
    let first = node.leases[&key(1)].clone();
    node.del(key(1));
    node.pass(COOLDOWN);
    node.calls.clear();
    node.add(key(2), pool(WHOLE), WAIT);
    // Its device is not back, so that another one is made.
    assert_eq!(
        node.calls,
        ["create an ENI for whole/default with 0 addresses"]
    );
    settle(&mut node);
    node.device_gone(key(1));
    node.calls.clear();
    node.add(key(3), pool(WHOLE), WAIT);
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    let again = &node.leases[&key(3)];
    assert_eq!((&again.eni, again.addresses), (&first.eni, first.addresses));
}

#[test]
fn a_pod_waits_for_a_cooldown_when_no_slot_is_left() {
    let mut node = ready();
    for container in 1..=2 {
        node.add(key(container), pool(WHOLE), WAIT);
    }
    settle(&mut node);
    node.del(key(1));
    node.device_gone(key(1));
    node.add(key(3), pool(WHOLE), COOLDOWN * 2);
    assert!(node.refusals.is_empty(), "{:?}", node.refusals);
    node.pass(COOLDOWN);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(3)));
}

#[test]
fn an_idle_eni_is_given_back_in_time_and_at_once_to_a_pool_that_needs_its_slot() {
    let mut node = ready();
    for container in 1..=2 {
        node.add(key(container), pool(WHOLE), WAIT);
    }
    settle(&mut node);
    for container in 1..=2 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(COOLDOWN);
    node.calls.clear();
    node.add(key(3), pool(1), WAIT);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(3)), "{:?}", node.refusals);
    let idle = Duration::from_secs(600);
    node.pass(idle);
    settle(&mut node);
    assert_eq!(node.ipam.numbers(&pool(WHOLE)).enis, 0);
    assert!(
        node.calls
            .iter()
            .any(|call| call.starts_with("delete eni-"))
    );
}

#[test]
fn the_other_way_an_idle_eni_of_a_set_makes_room_for_a_whole_one() {
    let mut node = ready();
    for (container, which) in [(1, 1), (2, 2)] {
        node.add(key(container), pool(which), WAIT);
        settle(&mut node);
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(COOLDOWN);
    for container in 3..=4 {
        node.add(key(container), pool(WHOLE), WAIT);
    }
    settle(&mut node);
    assert_eq!(node.leases.len(), 2, "{:?}", node.refusals);
}

#[test]
fn a_restart_knows_whose_eni_it_is() {
    let mut node = ready();
    node.add(key(1), pool(WHOLE), WAIT);
    settle(&mut node);
    node.restart();
    settle(&mut node);
    node.calls.clear();
    node.add(key(2), pool(WHOLE), WAIT);
    settle(&mut node);
    assert_ne!(node.leases[&key(1)].eni, node.leases[&key(2)].eni);
}

#[test]
fn a_pod_has_an_address_of_each_family_of_its_eni() {
    for families in [Families::Dual, Families::V6] {
        let mut node = ready_with(families);
        for container in 1..=3 {
            node.add(key(container), pool(WHOLE), WAIT);
        }
        let create = "create an ENI for whole/default with 0 addresses and an IPv6 prefix";
        assert_eq!(node.calls, [create, create], "{families:?}");
        settle(&mut node);
        assert_eq!(node.leases.len(), 2);
        assert_eq!(node.refusals.len(), 1, "{:?}", node.refusals);
    }
}
