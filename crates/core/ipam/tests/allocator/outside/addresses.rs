//! Addresses that EC2 takes away, or gives to another ENI.

use std::net::Ipv4Addr;

use underlay_ipam::{Config, Input, InstanceLimits, Lease};

use super::{COOLED, assert_agrees, give_away, leave, with_pod};
use crate::{
    key,
    model::{
        cloud::primary,
        node::{Node, config, limits, v4},
    },
    pool,
    scenarios::{WAIT, ready, settle},
};

#[test]
fn an_address_taken_from_a_pod_is_forgotten_after_its_cooldown() {
    let (mut node, lease) = with_pod(0);
    give_away(&mut node, lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    leave(&mut node, 1);
    assert_eq!(node.ipam.numbers(&pool(0)).cooling, 1);
    node.pass(COOLED);
    assert_agrees(&node, &primary());
}

#[test]
fn an_address_taken_while_it_cools_is_forgotten_once_its_device_is_gone() {
    let (mut node, lease) = with_pod(0);
    node.del(key(1));
    give_away(&mut node, lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    node.pass(COOLED);
    assert_eq!(node.ipam.numbers(&pool(0)).cooling, 1);
    node.device_gone(key(1));
    assert_agrees(&node, &primary());
}

#[test]
fn an_address_that_came_back_while_it_cooled_is_kept() {
    let (mut node, lease) = with_pod(0);
    node.cloud.unassign_outside(lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    leave(&mut node, 1);
    node.cloud
        .reassign_outside(lease.addresses.v4().unwrap(), &primary());
    node.look();
    node.pass(COOLED);
    assert_agrees(&node, &primary());
}

#[test]
fn an_address_taken_while_it_cools_still_cools_when_it_comes_back() {
    let (mut node, lease) = with_pod(0);
    leave(&mut node, 1);
    node.cloud.unassign_outside(lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    // The subnet's lowest address is given out first: a growing pool gets it back.
    for container in 2..8 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    assert!(
        node.leases
            .values()
            .all(|other| other.addresses.v4().unwrap() != lease.addresses.v4().unwrap())
    );
}

#[test]
fn a_drained_node_does_not_give_back_what_it_no_longer_has() {
    let (mut node, lease) = with_pod(0);
    leave(&mut node, 1);
    give_away(&mut node, lease.addresses.v4().unwrap());
    node.look();
    settle(&mut node);
    node.calls.clear();
    node.feed(Input::Drain);
    settle(&mut node);
    let left = node.cloud.enis.get(&primary()).unwrap().addresses.len();
    assert_eq!((left, node.calls.len()), (0, 1), "{:?}", node.calls);
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
}

#[test]
fn an_old_lease_record_does_not_end_the_lease_of_another_pod() {
    let (mut node, lease) = with_pod(0);
    node.leases.insert(
        key(0),
        Lease {
            key: key(0),
            ..lease
        },
    );
    node.restart();
    settle(&mut node);
    leave(&mut node, 0);
    node.released.clear();
    node.pass(COOLED);
    for container in 2..6 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    assert_eq!(node.leases.len(), 5);
}

#[test]
fn a_restart_forgets_what_was_given_back_while_it_cooled() {
    let (mut node, lease) = with_pod(0);
    leave(&mut node, 1);
    give_away(&mut node, lease.addresses.v4().unwrap());
    node.restart();
    settle(&mut node);
    node.pass(COOLED);
    assert_agrees(&node, &primary());
}

#[test]
fn an_eni_that_comes_back_has_the_addresses_that_ec2_reports() {
    let (mut node, lease) = with_pod(1);
    let gone = node.cloud.enis.remove(&lease.eni).unwrap();
    node.look();
    node.look();
    node.cloud.enis.insert(lease.eni.clone(), gone);
    let spare: Vec<Ipv4Addr> = node.cloud.enis[&lease.eni]
        .addresses
        .iter()
        .copied()
        .filter(|address| *address != lease.addresses.v4().unwrap())
        .collect();
    for address in &spare {
        give_away(&mut node, *address);
    }
    assert!(!spare.is_empty());
    node.look();
    assert_agrees(&node, &lease.eni);
}

#[test]
fn an_address_that_moved_is_not_given_again_while_its_pod_lives() {
    let (mut node, lease) = with_pod(0);
    for container in 2..5 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    let second = node.leases.get(&key(4)).unwrap().eni.clone();
    assert_ne!(second, lease.eni);
    let spare: Vec<Ipv4Addr> = node.cloud.enis[&second].addresses.iter().copied().collect();
    for address in spare {
        if node
            .leases
            .values()
            .all(|lease| lease.addresses.v4().unwrap() != address)
        {
            give_away(&mut node, address);
        }
    }
    node.cloud
        .reassign_outside(lease.addresses.v4().unwrap(), &second);
    node.look();
    for container in 5..8 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    leave(&mut node, 1);
    node.pass(COOLED);
    settle(&mut node);
    node.look();
    assert_agrees(&node, &lease.eni);
    assert_agrees(&node, &second);
}

/// EC2 counts what it gave an ENI, whoever has it: a full ENI is not asked for more.
#[test]
fn an_address_that_moved_takes_a_place_of_its_new_eni() {
    let (mut node, lease) = with_pod(0);
    for container in 2..5 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    let second = node.leases[&key(4)].eni.clone();
    assert_ne!(second, lease.eni);
    while node.cloud.enis[&second].addresses.len() > 2 {
        let held: Vec<_> = node.leases.values().map(v4).collect();
        let mut spare = node.cloud.enis[&second].addresses.iter();
        let spare = *spare.find(|address| !held.contains(address)).unwrap();
        give_away(&mut node, spare);
    }
    node.cloud.reassign_outside(v4(&lease), &second);
    node.look();
    node.calls.clear();
    for container in 5..10 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    let asks = |call: &String| call.starts_with("assign") && call.ends_with(second.as_str());
    assert!(!node.calls.iter().any(asks), "{:?}", node.calls);
    assert_eq!(node.leases.len(), 9, "{:?}", node.refusals);
}

#[test]
fn an_address_that_ec2_assigns_again_is_not_given_while_its_pod_lives() {
    let (mut node, lease) = with_pod(0);
    for container in 2..4 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    node.cloud.unassign_outside(lease.addresses.v4().unwrap());
    // Nobody has looked: the answer to growth is the first to say so.
    for container in 4..9 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    assert!(
        node.cloud
            .enis
            .iter()
            .any(|(id, eni)| *id != lease.eni
                && eni.addresses.contains(&lease.addresses.v4().unwrap())),
        "the subnet's lowest address is on another ENI"
    );
    let report = node.ipam.report();
    let missing: Vec<_> = report.leases.iter().filter(|lease| lease.missing).collect();
    assert_eq!(missing.len(), 1, "{report:?}");
}

#[test]
fn a_free_address_that_ec2_assigns_elsewhere_is_given_once() {
    let mut node = ready();
    let free: Vec<Ipv4Addr> = node.cloud.enis[&primary()]
        .addresses
        .iter()
        .copied()
        .collect();
    node.cloud.unassign_outside(free[0]);
    node.add(key(0), pool(1), WAIT);
    settle(&mut node);
    assert_eq!(
        node.leases.get(&key(0)).unwrap().addresses.v4().unwrap(),
        free[0]
    );
    node.add(key(1), pool(0), WAIT);
    node.add(key(2), pool(0), WAIT);
    settle(&mut node);
    assert_eq!(node.leases.len(), 3);
}

/// A node whose ENIs have one place each, and pods whose ENIs somebody else deleted: their addresses
/// are the next that EC2 gives.
fn with_lost_addresses(pods: u8) -> (Node, Vec<Lease>) {
    let limits = InstanceLimits {
        ipv4_per_eni: 2,
        ..limits()
    };
    let mut node = Node::start_with(
        200,
        Config {
            warm_default: 0,
            warm_explicit: 0,
            limits,
            ..config()
        },
    );
    for pod in 1..=pods {
        node.add(key(pod), pool(1), WAIT);
        settle(&mut node);
    }
    let lost: Vec<Lease> = node.leases.values().cloned().collect();
    for lease in &lost {
        node.cloud.delete_outside(&lease.eni);
    }
    node.look();
    node.look();
    settle(&mut node);
    node.calls.clear();
    (node, lost)
}

#[test]
fn enis_that_get_only_what_pods_have_make_way_for_another_one() {
    let (mut node, lost) = with_lost_addresses(2);
    node.add(key(3), pool(1), WAIT);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(3)), "{:?}", node.refusals);
    assert_eq!(node.cloud.enis.len(), 2, "{:?}", node.calls);
    let calls = |what: &str| {
        let of = node.calls.iter().filter(|call| call.starts_with(what));
        of.count()
    };
    let made = (calls("create"), calls("attach"), calls("delete"));
    assert_eq!(made, (lost.len() + 1, 1, lost.len()), "{:?}", node.calls);
}

#[test]
fn a_place_that_an_answer_fills_with_what_a_pod_has_is_not_asked_for_again() {
    let (mut node, lost) = with_lost_addresses(1);
    node.add(key(2), pool(0), WAIT);
    node.run_op(0, None, false);
    assert!(
        node.cloud.enis[&primary()]
            .addresses
            .contains(&v4(&lost[0]))
    );
    settle(&mut node);
    let asks = |call: &&String| call.starts_with("assign");
    assert_eq!(
        node.calls.iter().filter(asks).count(),
        1,
        "{:?}",
        node.calls
    );
    assert!(node.leases.contains_key(&key(2)), "{:?}", node.refusals);
}
