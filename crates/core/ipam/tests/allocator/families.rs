//! IPv6 beside IPv4, and alone.

use std::{net::IpAddr, time::Duration};

use underlay_ipam::{Config, Input};
use underlay_types::Families;

use crate::{
    key,
    model::{
        cloud::primary,
        node::{Node, config},
    },
    pool,
    scenarios::{WAIT, settle},
};

fn ready(families: Families) -> Node {
    let mut node = Node::start_with(
        200,
        Config {
            families,
            ..config()
        },
    );
    settle(&mut node);
    node
}

fn addresses(node: &Node, container: u8) -> Vec<String> {
    let lease = &node.leases[&key(container)];
    lease.addresses.iter().map(|ip| ip.to_string()).collect()
}

#[test]
fn a_pod_of_both_families_gets_both_addresses_of_one_eni() {
    let mut node = ready(Families::Dual);
    assert_eq!(
        node.calls,
        [
            "assign an IPv6 prefix to eni-00000000000000001",
            "assign 2 addresses to eni-00000000000000001",
        ]
    );
    node.add(key(1), pool(0), WAIT);
    assert_eq!(addresses(&node, 1), ["10.0.0.0", "2600::1"]);
    for container in 2..8 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    for lease in node.leases.values() {
        let eni = &node.cloud.enis[&lease.eni];
        let (v4, v6) = (lease.addresses.v4().unwrap(), lease.addresses.v6().unwrap());
        assert!(eni.addresses.contains(&v4), "{lease:?}");
        assert!(
            eni.ipv6_prefixes.iter().any(|prefix| prefix.contains(&v6)),
            "{lease:?}"
        );
    }
}

#[test]
fn a_new_eni_comes_with_its_ipv6_prefix_in_one_call() {
    let mut node = ready(Families::Dual);
    node.calls.clear();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let set = "sg-0000000a";
    assert_eq!(
        node.calls[0],
        format!("create an ENI for {set} with 2 addresses and an IPv6 prefix")
    );
    assert!(
        !node.calls.iter().any(|call| call.contains("assign")),
        "{:?}",
        node.calls
    );
    assert_eq!(addresses(&node, 1).len(), 2);
}

#[test]
fn an_ipv6_address_is_not_given_again_while_another_is_left() {
    let mut node = ready(Families::V6);
    node.add(key(1), pool(0), WAIT);
    node.add(key(2), pool(0), WAIT);
    assert_eq!(addresses(&node, 2), ["2600::2"]);
    node.del(key(1));
    node.device_gone(key(1));
    node.pass(Duration::from_secs(31));
    node.add(key(3), pool(0), WAIT);
    assert_eq!(addresses(&node, 3), ["2600::3"]);
}

#[test]
fn one_prefix_serves_any_number_of_pods_without_ipv4() {
    let mut node = ready(Families::V6);
    for container in 0..250 {
        node.add(key(container), pool(0), WAIT);
    }
    assert_eq!(node.leases.len(), 250);
    assert_eq!(
        node.calls,
        ["assign an IPv6 prefix to eni-00000000000000001"]
    );
    assert_eq!(node.cloud.enis[&primary()].addresses.len(), 0);
    node.add(key(250), pool(1), WAIT);
    settle(&mut node);
    assert_eq!(
        node.calls[1],
        "create an ENI for sg-0000000a with 0 addresses and an IPv6 prefix"
    );
    assert_eq!(addresses(&node, 250), ["2600::1:0:0:1"]);
}

#[test]
fn a_restarted_node_knows_leases_and_cooldowns_of_both_families() {
    let mut node = ready(Families::Dual);
    node.add(key(1), pool(0), WAIT);
    node.add(key(2), pool(0), WAIT);
    let kept = node.leases[&key(2)].clone();
    node.del(key(1));
    node.restart();
    settle(&mut node);
    assert_eq!(node.ipam.lease(&key(2)), Some(kept));
    // The node's own checks say that no address is given while it cools.
    for container in 3..6 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    assert_eq!(node.leases.len(), 4);
}

#[test]
fn a_prefix_that_moves_away_keeps_its_pods_and_its_new_eni_gives_other_addresses() {
    let mut node = ready(Families::V6);
    node.add(key(1), pool(0), WAIT);
    node.add(key(2), pool(1), WAIT);
    settle(&mut node);
    let lost = node.leases[&key(1)].clone();
    let second = node.leases[&key(2)].eni.clone();
    node.cloud.move_ipv6_outside(&primary(), Some(&second));
    node.look();
    let report = node.ipam.report();
    let missing: Vec<_> = report.leases.iter().map(|lease| lease.missing).collect();
    assert_eq!(missing, [true, false]);
    // Another prefix is asked for, and pods get its addresses.
    settle(&mut node);
    node.add(key(3), pool(0), WAIT);
    assert_ne!(addresses(&node, 3), addresses(&node, 1));
    for container in 4..8 {
        node.add(key(container), pool(1), WAIT);
    }
    let taken: Vec<IpAddr> = lost.addresses.iter().collect();
    for container in 3..8 {
        let given = &node.leases[&key(container)].addresses;
        assert!(given.iter().all(|address| !taken.contains(&address)));
    }
}

#[test]
fn a_subnet_without_a_free_ipv6_block_refuses_with_the_reason() {
    let mut node = Node::start_with(
        200,
        Config {
            families: Families::Dual,
            ..config()
        },
    );
    node.cloud.free_ipv6.clear();
    settle(&mut node);
    node.add(key(1), pool(0), Duration::ZERO);
    assert!(
        node.refusals[0].contains("InsufficientCidrBlocks"),
        "{:?}",
        node.refusals
    );
}

#[test]
fn a_drained_node_gives_its_ipv6_prefix_back_once_the_last_device_is_gone() {
    let mut node = ready(Families::V6);
    node.add(key(1), pool(0), WAIT);
    node.feed(Input::Drain);
    node.del(key(1));
    settle(&mut node);
    assert_eq!(node.cloud.enis[&primary()].ipv6_prefixes.len(), 1);
    assert!(!node.ipam.is_drained());
    node.device_gone(key(1));
    settle(&mut node);
    assert_eq!(node.cloud.enis[&primary()].ipv6_prefixes.len(), 0);
    assert!(node.ipam.is_drained());
}

#[test]
fn a_node_of_ipv4_leaves_ipv6_prefixes_alone() {
    let mut node = ready(Families::V4);
    let foreign = node.cloud.free_ipv6.pop_first().unwrap();
    let eni = node.cloud.enis.get_mut(&primary()).unwrap();
    eni.ipv6_prefixes.insert(foreign);
    node.look();
    node.feed(Input::Drain);
    settle(&mut node);
    assert!(node.ipam.is_drained());
    assert!(node.cloud.enis[&primary()].ipv6_prefixes.contains(&foreign));
}
