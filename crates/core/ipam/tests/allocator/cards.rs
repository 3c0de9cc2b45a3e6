//! Pools that are pinned to a network card.

use underlay_ipam::{Config, InstanceLimits, Place};
use underlay_types::{EniId, PoolKey};

use crate::{
    key,
    model::node::{COOLDOWN, Node, config},
    pool,
    scenarios::{WAIT, settle},
};

/// A node whose second card takes one ENI, and whose first takes one besides the primary one.
fn ready() -> Node {
    let limits = InstanceLimits {
        enis_per_card: vec![2, 1],
        ..config().limits
    };
    let mut node = Node::start_with(200, Config { limits, ..config() });
    settle(&mut node);
    node.calls.clear();
    node
}

fn on_card(card: u8) -> PoolKey {
    PoolKey::default_pool().on_card(card)
}

fn place(node: &Node, eni: &EniId) -> Option<Place> {
    let report = node.ipam.report();
    let of_eni = report.enis.iter().find(|one| one.eni == *eni).unwrap();
    of_eni.place
}

fn place_of(node: &Node, container: u8) -> Option<Place> {
    place(node, &node.leases[&key(container)].eni)
}

#[test]
fn a_pinned_pool_has_its_enis_on_its_card_alone() {
    let mut node = ready();
    node.add(key(1), on_card(1), WAIT);
    settle(&mut node);
    assert_eq!(place_of(&node, 1), Some(Place { card: 1, index: 0 }));
    // The first card is one like the others: its ENIs of the default pool are another pool's.
    node.add(key(2), on_card(0), WAIT);
    settle(&mut node);
    assert_eq!(place_of(&node, 2), Some(Place { card: 0, index: 1 }));
    assert_eq!(node.refusals, [""; 0]);
    // None is held ahead of need where no pod is.
    for container in 1..=2 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(COOLDOWN);
    node.pass(config().idle_release);
    settle(&mut node);
    let report = node.ipam.report();
    assert_eq!(report.enis.len(), 1, "{report:?}");
}

#[test]
fn a_full_card_refuses_with_its_own_numbers() {
    let mut node = ready();
    let mut container = 0;
    while node.refusals.is_empty() {
        container += 1;
        node.add(key(container), on_card(1), WAIT);
        settle(&mut node);
    }
    let refused = node.refusals.remove(0);
    let wanted = "pool card1/default: 0 of ";
    assert!(refused.starts_with(wanted), "{refused}");
    assert!(refused.ends_with("1 of 1 attached and in use"), "{refused}");
    // There is no third card.
    node.add(key(100), on_card(2), WAIT);
    settle(&mut node);
    let refused = node.refusals.remove(0);
    assert!(refused.ends_with("0 of 0 attached and in use"), "{refused}");
    // The other card has room still.
    node.add(key(101), pool(1), WAIT);
    settle(&mut node);
    assert_eq!(place_of(&node, 101), Some(Place { card: 0, index: 1 }));
}

#[test]
fn an_idle_eni_leaves_for_a_pinned_pool_only_where_that_makes_room() {
    let mut node = ready();
    for (container, set) in [(1, 1), (2, 2)] {
        node.add(key(container), pool(set), WAIT);
        settle(&mut node);
    }
    assert_eq!(place_of(&node, 1), Some(Place { card: 0, index: 1 }));
    assert_eq!(place_of(&node, 2), Some(Place { card: 1, index: 0 }));
    let end = |node: &mut Node, container| {
        node.del(key(container));
        node.device_gone(key(container));
        node.pass(COOLDOWN);
        settle(node);
        node.calls.clear();
    };
    end(&mut node, 1);
    node.add(key(3), on_card(1), WAIT);
    settle(&mut node);
    assert_eq!(node.calls, [""; 0], "the idle one is on the other card");
    assert_eq!(node.refusals.len(), 1);
    end(&mut node, 2);
    node.add(key(4), on_card(1), WAIT);
    settle(&mut node);
    assert_eq!(place_of(&node, 4), Some(Place { card: 1, index: 0 }));
}
