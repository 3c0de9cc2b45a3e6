//! The rules one by one.

use std::time::Duration;

use underlay_ipam::{
    Attachment, Config, EniOwner, Holding, Input, InstanceLimits, ObservedEni, Place, Standing,
};
use underlay_types::{Class, EniId};

use crate::{
    key,
    model::{
        cloud::primary,
        node::{Node, config, limits},
    },
    pool,
};

pub(crate) const WAIT: Duration = Duration::from_secs(25);

/// A started node with its warm addresses.
pub(crate) fn ready() -> Node {
    let mut node = Node::start(200);
    settle(&mut node);
    node.calls.clear();
    node
}

pub(crate) fn settle(node: &mut Node) {
    node.settle();
}

#[test]
fn a_start_fills_the_default_pool_and_nothing_else() {
    let mut node = Node::start(200);
    settle(&mut node);
    assert_eq!(node.calls, ["assign 2 addresses to eni-00000000000000001"]);
    assert_eq!(node.ipam.numbers(&pool(0)).free, 2);
}

#[test]
fn nothing_is_called_between_a_restart_and_the_first_look() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    node.calls.clear();
    node.restart();
    settle(&mut node);
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    assert!(node.leases.contains_key(&key(1)));
}

#[test]
fn a_free_address_is_given_without_any_call() {
    let mut node = ready();
    node.add(key(1), pool(0), Duration::ZERO);
    assert!(node.leases.contains_key(&key(1)));
    assert!(node.calls.is_empty());
}

#[test]
fn a_burst_grows_in_parallel() {
    let mut node = ready();
    for container in 0..9 {
        node.add(key(container), pool(0), WAIT);
    }
    assert_eq!(
        node.calls,
        [
            "assign 1 addresses to eni-00000000000000001",
            "create an ENI for default with 2 addresses",
            "create an ENI for default with 3 addresses",
        ]
    );
    settle(&mut node);
    assert_eq!(node.leases.len(), 9);
}

#[test]
fn a_full_instance_refuses_at_once_with_numbers() {
    let mut node = ready();
    for container in 0..9 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    node.add(key(9), pool(0), WAIT);
    node.add(key(10), pool(1), WAIT);
    assert_eq!(
        node.refusals,
        [
            "pool default: 0 of 9 free on 3 ENIs, and no ENI slot for it: 3 of 3 attached and in use",
            "pool sg-0000000a: 0 of 0 free on 0 ENIs, and no ENI slot for it: 3 of 3 attached and in use",
        ]
    );
}

#[test]
fn an_exhausted_subnet_is_named() {
    let mut node = Node::start(2);
    settle(&mut node);
    for container in 0..3 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    assert_eq!(
        node.refusals,
        [
            "pool default: 0 of 2 free on 1 ENI, growth refused by EC2: \
          InsufficientFreeAddressesInSubnet (InsufficientFreeAddressesInSubnet)"
        ]
    );
}

#[test]
fn growth_that_is_too_slow_says_what_it_waited_for() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    node.pass(WAIT);
    assert_eq!(
        node.refusals,
        [
            "pool sg-0000000a: 0 of 0 free on 0 ENIs, not filled within 25.0 s: \
             create an ENI for sg-0000000a with 2 addresses"
        ]
    );
}

#[test]
fn a_throttled_call_is_repeated_while_the_add_waits() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    node.run_op(0, Some(Class::Throttled { after: None }), false);
    assert!(node.refusals.is_empty());
    node.pass(Duration::from_millis(500));
    settle(&mut node);
    assert!(node.leases.contains_key(&key(1)));
}

#[test]
fn an_idle_eni_of_another_pool_gives_up_its_slot() {
    let mut node = ready();
    for (container, set) in [(1, 1), (2, 2)] {
        node.add(key(container), pool(set), WAIT);
        settle(&mut node);
    }
    node.del(key(1));
    node.device_gone(key(1));
    // Still cooling: the request waits for it.
    node.add(key(3), pool(3), Duration::from_secs(60));
    assert!(node.to_drop.is_empty() && node.refusals.is_empty());
    node.pass(Duration::from_secs(30));
    assert_eq!(node.to_drop.len(), 1);
    settle(&mut node);
    assert_eq!(node.leases.get(&key(3)).unwrap().pool, pool(3));
    assert_eq!(node.cloud.attached(), 3);
}

#[test]
fn the_default_pools_warm_target_never_takes_the_last_slot() {
    let mut node = ready();
    node.add(key(0), pool(1), WAIT);
    settle(&mut node);
    for container in 1..4 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    assert_eq!(node.ipam.numbers(&pool(0)).free, 0);
    assert_eq!(node.cloud.attached(), 2, "one slot is left");
    node.add(key(4), pool(0), WAIT);
    settle(&mut node);
    assert!(node.leases.contains_key(&key(4)), "a pod may take it");
}

#[test]
fn the_fullest_eni_serves_first() {
    let mut node = ready();
    for container in 0..5 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    // The primary ENI is full with 3; the next ones share the second.
    let second = node.leases.get(&key(3)).unwrap().eni.clone();
    assert_ne!(second, primary());
    assert_eq!(node.leases.get(&key(4)).unwrap().eni, second);
}

#[test]
fn an_address_cools_down_and_until_its_device_is_gone() {
    let mut node = Node::start(2);
    settle(&mut node);
    node.add(key(0), pool(0), Duration::ZERO);
    node.add(key(1), pool(0), Duration::ZERO);
    let lease = node.leases.get(&key(1)).unwrap().clone();
    node.del(key(1));
    node.pass(Duration::from_secs(31));
    node.add(key(2), pool(0), Duration::ZERO);
    assert!(
        !node.leases.contains_key(&key(2)),
        "the device is still there"
    );
    node.device_gone(key(1));
    node.add(key(3), pool(0), Duration::ZERO);
    assert_eq!(
        node.leases.get(&key(3)).unwrap().addresses.v4().unwrap(),
        lease.addresses.v4().unwrap()
    );
}

#[test]
fn changed_groups_stop_an_eni_until_they_are_restored() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let mut seen = node.cloud.observe();
    let changed = seen
        .iter_mut()
        .find(|eni| eni.owner == EniOwner::Ours(pool(1)))
        .unwrap();
    changed.groups = "sg-000000ff".parse().unwrap();
    node.pass(Duration::from_secs(1));
    let asked = node.now;
    node.feed(Input::Observed { asked, enis: seen });
    node.add(key(2), pool(1), Duration::ZERO);
    assert!(!node.leases.contains_key(&key(2)));
    node.look();
    node.add(key(3), pool(1), WAIT);
    assert!(node.leases.contains_key(&key(3)));
}

#[test]
fn a_leased_address_survives_an_observation_without_it() {
    let mut node = ready();
    node.add(key(1), pool(0), WAIT);
    settle(&mut node);
    let mut seen = node.cloud.observe();
    seen.iter_mut()
        .for_each(|eni| eni.holding.addresses.clear());
    node.pass(Duration::from_secs(1));
    let asked = node.now;
    node.feed(Input::Observed { asked, enis: seen });
    let report = node.ipam.report();
    assert_eq!(report.leases.len(), 1);
    assert!(report.leases.iter().all(|lease| lease.missing));
}

#[test]
fn an_eni_without_owner_in_the_journal_is_adopted_or_deleted() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    // The ENI is created, and the answer never arrives: killed in between.
    let (_, call) = node.ops.remove(0);
    let _created = node.cloud.run(&call);
    node.restart();
    settle(&mut node);
    assert_eq!(node.cloud.enis.len(), 1, "no pod wants it any more");
}

#[test]
fn a_cooldown_on_an_eni_that_is_gone_keeps_nothing_from_being_drained() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let eni = node.leases.get(&key(1)).unwrap().eni.clone();
    node.del(key(1));
    node.cloud.enis.remove(&eni);
    node.restart();
    node.feed(Input::Drain);
    settle(&mut node);
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
    node.device_gone(key(1));
    node.pass(Duration::from_secs(31));
    assert_eq!(node.ipam.report().enis.len(), 1, "it is forgotten in time");
}

#[test]
fn a_drained_node_that_resumes_fills_its_pool_and_serves_again() {
    let mut node = ready();
    node.feed(Input::Drain);
    settle(&mut node);
    assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
    node.add(key(1), pool(0), WAIT);
    assert!(node.leases.is_empty());
    node.feed(Input::Resume);
    settle(&mut node);
    assert_eq!(node.ipam.numbers(&pool(0)).free, 2);
    node.add(key(1), pool(0), WAIT);
    assert!(node.leases.contains_key(&key(1)));
}

/// Somebody else's ENI is attached there.
fn see_foreign(node: &mut Node, place: Place) {
    let mut seen = node.cloud.observe();
    let foreign = ObservedEni {
        id: EniId::from_serial(99),
        owner: EniOwner::Foreign,
        standing: Standing::Serving,
        attachment: Attachment::Attached { place },
        delete_on_termination: false,
        groups: "sg-00000001".parse().unwrap(),
        holding: Holding {
            addresses: vec!["10.9.9.9".parse().unwrap()],
            ..Holding::default()
        },
    };
    seen.push(foreign);
    node.pass(Duration::from_secs(1));
    let asked = node.now;
    node.feed(Input::Observed { asked, enis: seen });
}

/// Its index may be one that no ENI of ours gets; the card is full all the same.
#[test]
fn a_card_that_a_foreign_eni_fills_is_passed_over() {
    let limits = InstanceLimits {
        enis_per_card: vec![2, 2],
        ..limits()
    };
    let mut node = Node::start_with(200, Config { limits, ..config() });
    settle(&mut node);
    see_foreign(&mut node, Place { card: 0, index: 2 });
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let attach = "attach eni-00000000000000002 at card 1 index 1".to_owned();
    assert!(node.calls.contains(&attach), "{:?}", node.calls);
}

#[test]
fn a_foreign_eni_takes_a_slot_and_is_left_alone() {
    let mut node = ready();
    see_foreign(&mut node, Place { card: 0, index: 1 });
    for (container, set) in [(1, 1), (2, 2)] {
        node.add(key(container), pool(set), WAIT);
        settle(&mut node);
    }
    assert_eq!(node.leases.len(), 1);
    assert!(
        node.calls
            .contains(&"attach eni-00000000000000002 at index 2".to_owned())
    );
    assert!(
        node.calls
            .iter()
            .all(|call| !call.contains("eni-00000000000000063"))
    );
}

#[test]
fn an_idle_eni_leaves_after_its_time() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    node.del(key(1));
    node.device_gone(key(1));
    node.pass(Duration::from_secs(30));
    node.pass(Duration::from_secs(599));
    assert!(node.to_drop.is_empty());
    node.pass(Duration::from_secs(1));
    settle(&mut node);
    assert_eq!(node.cloud.enis.len(), 1);
}
