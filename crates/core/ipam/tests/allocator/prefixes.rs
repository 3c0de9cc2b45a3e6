//! Prefix delegation: 16 addresses a place.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use underlay_ipam::{Config, Delegation, Input};

use crate::{
    key,
    model::{
        cloud::primary,
        node::{Node, config},
    },
    pool,
    scenarios::{WAIT, settle},
};

/// A node that asks for prefixes, with what it starts with.
fn ready(addresses: u8) -> Node {
    let mut node = Node::start_with(
        addresses,
        Config {
            delegation: Delegation::Prefixes,
            ..config()
        },
    );
    settle(&mut node);
    node
}

fn prefixes_of_primary(node: &Node) -> Vec<String> {
    let prefixes = node.cloud.enis[&primary()].prefixes.iter();
    prefixes.map(Ipv4Net::to_string).collect()
}

fn octet(node: &Node, container: u8) -> u8 {
    node.leases[&key(container)]
        .addresses
        .v4()
        .unwrap()
        .octets()[3]
}

#[test]
fn one_prefix_serves_sixteen_pods_its_first_and_last_address_included() {
    let mut node = ready(200);
    assert_eq!(node.calls, ["assign 1 prefixes to eni-00000000000000001"]);
    for container in 0..16 {
        node.add(key(container), pool(0), WAIT);
    }
    let mut given: Vec<u8> = (0..16).map(|container| octet(&node, container)).collect();
    given.sort_unstable();
    assert_eq!(given, (0..16).collect::<Vec<u8>>());
}

#[test]
fn a_burst_is_served_by_as_many_prefixes_as_it_needs() {
    let mut node = ready(200);
    node.calls.clear();
    for container in 0..60 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    assert_eq!(node.leases.len(), 60);
    let report = node.ipam.report();
    let prefixes: usize = report.enis.iter().map(|eni| eni.prefixes).sum();
    assert_eq!(prefixes, 4, "{:?}", node.calls);
}

#[test]
fn a_pod_gets_an_address_of_the_fullest_prefix() {
    let mut node = ready(200);
    for container in 0..17 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    for container in 1..10 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(31));
    // 7 of the first prefix and 1 of the second are in use.
    node.add(key(20), pool(0), WAIT);
    assert!(octet(&node, 20) < 16, "{}", octet(&node, 20));
}

#[test]
fn an_emptied_prefix_is_given_back_after_its_time_and_another_stays() {
    let mut node = ready(200);
    for container in 0..20 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    assert_eq!(prefixes_of_primary(&node), ["10.0.0.0/28", "10.0.0.16/28"]);
    node.calls.clear();
    for container in 0..19 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(31));
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    node.pass(Duration::from_secs(600));
    assert_eq!(node.calls, ["unassign 1 prefixes of eni-00000000000000001"]);
    settle(&mut node);
    assert_eq!(prefixes_of_primary(&node), ["10.0.0.16/28"]);
    assert_eq!(node.ipam.numbers(&pool(0)).total, 16);
}

#[test]
fn a_subnet_without_a_whole_prefix_gives_single_addresses() {
    let mut node = ready(0);
    node.calls.clear();
    for octet in (1..16).step_by(2) {
        node.cloud.free.insert(Ipv4Addr::new(10, 0, 0, octet));
    }
    // The start had no address at all: growth pauses after that.
    node.pass(Duration::from_mins(1));
    settle(&mut node);
    node.add(key(1), pool(0), WAIT);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(1)), "{:?}", node.refusals);
    assert_eq!(prefixes_of_primary(&node), Vec::<String>::new());
}

#[test]
fn single_addresses_are_asked_for_at_once_and_prefixes_again_later() {
    let mut node = ready(15);
    assert_eq!(
        node.calls,
        [
            "assign 1 prefixes to eni-00000000000000001",
            "assign 2 addresses to eni-00000000000000001",
        ]
    );
    node.calls.clear();
    node.cloud
        .free
        .extend((16..64).map(|octet| Ipv4Addr::new(10, 0, 0, octet)));
    node.pass(Duration::from_mins(2));
    node.add(key(1), pool(0), WAIT);
    node.add(key(2), pool(0), WAIT);
    settle(&mut node);
    assert_eq!(node.calls, ["assign 1 prefixes to eni-00000000000000001"]);
}

#[test]
fn a_prefix_that_vanishes_keeps_its_pods_and_gives_no_address() {
    let mut node = ready(200);
    node.add(key(1), pool(0), WAIT);
    let before = node.leases[&key(1)].clone();
    node.cloud.unassign_outside(before.addresses.v4().unwrap());
    node.look();
    assert_eq!(node.ipam.lease(&key(1)), Some(before));
    assert_eq!(node.ipam.numbers(&pool(0)).free, 0);
    settle(&mut node);
    // EC2 has given the same prefix again: the pod's address is not another's.
    node.add(key(2), pool(0), WAIT);
    settle(&mut node);
    assert_ne!(octet(&node, 1), octet(&node, 2));
}

#[test]
fn a_drained_node_gives_its_prefixes_back() {
    let mut node = ready(200);
    node.add(key(1), pool(0), WAIT);
    node.feed(Input::Drain);
    settle(&mut node);
    assert_eq!(prefixes_of_primary(&node), ["10.0.0.0/28"]);
    node.del(key(1));
    node.device_gone(key(1));
    settle(&mut node);
    assert_eq!(prefixes_of_primary(&node), Vec::<String>::new());
    assert!(node.ipam.is_drained());
    assert_eq!(node.cloud.free.len(), 200);
}

#[test]
fn a_prefix_of_an_earlier_mode_serves_where_addresses_are_asked_for() {
    let mut node = Node::start(200);
    settle(&mut node);
    let prefix: Ipv4Net = "10.0.0.32/28".parse().unwrap();
    node.cloud.free.retain(|address| !prefix.contains(address));
    let eni = node.cloud.enis.get_mut(&primary()).unwrap();
    eni.prefixes.insert(prefix);
    node.look();
    node.calls.clear();
    for container in 0..16 {
        node.add(key(container), pool(0), WAIT);
    }
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    assert!((0..16).all(|container| prefix.contains(&node.leases[&key(container)].addresses.v4().unwrap())));
}
