//! How many addresses a node holds: at least, at most, and at rest.

use std::{net::Ipv4Addr, time::Duration};

use proptest::prelude::*;
use underlay_ipam::{ADDRESSES_PER_PREFIX, Config, Delegation, Ec2Failure};
use underlay_types::Class;

use crate::{
    key,
    model::node::{Node, config},
    pool,
    properties::delegation,
    scenarios::{WAIT, settle},
};

fn node(config: Config) -> Node {
    let mut node = Node::start_with(200, config);
    settle(&mut node);
    node
}

#[test]
fn a_start_fills_up_to_the_minimum() {
    let node = node(Config {
        minimum: 6,
        ..config()
    });
    assert_eq!(
        node.calls,
        [
            "assign 3 addresses to eni-00000000000000001",
            "create an ENI for default with 3 addresses",
            "attach eni-00000000000000002 at index 1",
            "set DeleteOnTermination of eni-00000000000000002",
        ]
    );
    assert_eq!(node.ipam.numbers(&pool(0)).free, 6);
}

#[test]
fn used_addresses_count_towards_the_minimum() {
    let mut node = node(Config {
        minimum: 3,
        warm_default: 0,
        ..config()
    });
    node.calls.clear();
    for container in 0..3 {
        node.add(key(container), pool(0), WAIT);
    }
    assert!(node.calls.is_empty(), "{:?}", node.calls);
}

/// EC2 gives all that is asked for or nothing.
#[test]
fn a_subnet_with_less_than_the_target_gives_what_it_has() {
    for delegation in [Delegation::Addresses, Delegation::Prefixes] {
        let mut node = Node::start_with(
            2,
            Config {
                warm_default: 3,
                delegation,
                ..config()
            },
        );
        settle(&mut node);
        assert_eq!(node.ipam.numbers(&pool(0)).free, 2, "{:?}", node.calls);
        node.add(key(1), pool(0), WAIT);
        assert!(node.leases.contains_key(&key(1)), "{:?}", node.refusals);
    }
}

#[test]
fn a_spent_subnet_is_asked_with_growing_pauses() {
    let mut node = Node::start(0);
    settle(&mut node);
    node.calls.clear();
    node.quiesce();
    assert!(node.calls.len() < 60, "{:?}", node.calls);
}

/// A subnet of two addresses, both with pods, and a third pod that asks.
fn with_a_full_subnet(several_subnets: bool) -> Node {
    let mut node = Node::start_with(
        2,
        Config {
            several_subnets,
            warm_default: 0,
            ..config()
        },
    );
    for container in 1..=2 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    node.add(key(3), pool(0), WAIT);
    assert_eq!(node.ops.len(), 1);
    node.run_op(0, None, false);
    node
}

#[test]
fn an_eni_whose_subnet_is_full_does_not_keep_one_from_another_subnet() {
    let mut node = with_a_full_subnet(true);
    assert!(node.refusals.is_empty(), "{:?}", node.refusals);
    let create = "create an ENI for default with 1 addresses";
    assert_eq!(node.calls.last().unwrap(), create);
    // Of the other subnet's.
    node.cloud
        .free
        .extend((100..105).map(|host| Ipv4Addr::new(10, 1, 0, host)));
    node.run_op(0, None, false);
    settle(&mut node);
    assert_eq!(node.leases.len(), 3);
}

#[test]
fn where_every_subnet_is_full_the_pod_is_told_so() {
    let mut node = with_a_full_subnet(true);
    settle(&mut node);
    let refusal = node.refusals.pop().unwrap();
    assert!(
        refusal.contains("InsufficientFreeAddressesInSubnet"),
        "{refusal}"
    );
    node.calls.clear();
    node.quiesce();
    assert!(node.calls.len() < 120, "{:?}", node.calls);
    // Without a choice there is nothing to create for.
    let node = with_a_full_subnet(false);
    assert_eq!(node.refusals.len(), 1);
    assert!(!node.calls.iter().any(|call| call.contains("create")));
}

#[test]
fn a_subnet_that_only_lacks_prefixes_is_told_of_whatever_the_next_ones_say() {
    let said = |code: &str| Ec2Failure {
        code: code.to_owned(),
        message: code.to_owned(),
        class: Class::Conflict,
    };
    let [full, lacks] = [
        "InsufficientFreeAddressesInSubnet",
        "InsufficientCidrBlocks",
    ]
    .map(said);
    let told = |first: &Ec2Failure, then: &Ec2Failure| then.clone().after(Some(first.clone()));
    assert_eq!(told(&lacks, &full), lacks);
    assert_eq!(told(&full, &lacks), lacks);
    assert_eq!(told(&full, &full), full);
    assert_eq!(full.clone().after(None), full);
}

/// All that is wanted was asked for once, and half of it, and so on.
#[test]
fn where_every_subnet_stays_full_each_is_asked_for_one_address() {
    let mut node = Node::start_with(
        1,
        Config {
            several_subnets: true,
            minimum: 8,
            ..config()
        },
    );
    node.quiesce();
    node.calls.clear();
    node.quiesce();
    let asks = |call: &&String| call.contains("addresses");
    let more = |call: &&String| !call.contains(" 1 addresses");
    let asked: Vec<_> = node.calls.iter().filter(asks).collect();
    assert!(
        !asked.is_empty() && !asked.into_iter().any(|call| more(&call)),
        "{:?}",
        node.calls
    );
}

/// A node that is about to give a prefix back.
fn giving_back() -> Node {
    let mut node = node(Config {
        warm_default: 1,
        delegation: Delegation::Prefixes,
        ..config()
    });
    for container in 0..17 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    for container in 0..17 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(60));
    node.pass(Duration::from_secs(700));
    assert!(!node.ops.is_empty(), "{:?}", node.calls);
    node
}

/// The node's own checks see to it that pods get what is there in EC2.
fn fill(node: &mut Node) {
    for container in 0..40 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(node);
    assert!(node.leases.len() > 16, "{:?}", node.refusals);
}

#[test]
fn what_may_have_been_given_back_goes_to_no_pod_before_a_look() {
    let mut node = giving_back();
    node.run_op(0, Some(Class::Retry), true);
    fill(&mut node);
}

#[test]
fn what_was_given_back_goes_to_no_pod_because_an_old_answer_shows_it() {
    let mut node = giving_back();
    let old = node.cloud.observe();
    node.run_op(0, None, false);
    node.pass(Duration::from_secs(1));
    let asked = node.now;
    node.pass(Duration::from_secs(1));
    node.feed(underlay_ipam::Input::Observed { asked, enis: old });
    fill(&mut node);
}

#[test]
fn nothing_grows_beyond_the_maximum_and_the_pod_is_told() {
    let mut node = node(Config {
        maximum: Some(2),
        ..config()
    });
    for container in 0..3 {
        node.add(key(container), pool(0), WAIT);
    }
    assert_eq!(
        node.refusals,
        ["pool default: 0 of 2 free on 1 ENI, and the node holds 2 addresses, 2 at most"]
    );
}

#[test]
fn a_surplus_of_two_is_kept_and_a_larger_one_given_back_after_its_time() {
    let mut node = node(config());
    for container in 0..5 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    node.calls.clear();
    for container in 0..5 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(31));
    assert_eq!(node.ipam.numbers(&pool(0)).free, 6);
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    node.quiesce();
    assert_eq!(node.ipam.numbers(&pool(0)).free, 3, "{:?}", node.calls);
    assert_eq!(node.cloud.enis.len(), 1, "the second ENI has left");
}

#[test]
fn a_surplus_that_is_used_in_time_stays() {
    let mut node = node(config());
    for container in 0..5 {
        node.add(key(container), pool(0), WAIT);
    }
    settle(&mut node);
    for container in 0..5 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(31));
    node.pass(Duration::from_secs(500));
    for container in 0..4 {
        node.add(key(container), pool(0), WAIT);
    }
    node.calls.clear();
    node.pass(Duration::from_secs(500));
    assert!(node.calls.is_empty(), "{:?}", node.calls);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_node_at_rest_holds_little_more_than_it_should(
        delegation in delegation(),
        warm_default in 0u16..10,
        minimum in 0u16..40,
        pods in 0u8..60,
        stay in prop::collection::vec(any::<bool>(), 60),
    ) {
        let per_eni = 3 * delegation.per_place();
        let mut node = node(Config { delegation, warm_default, minimum, ..config() });
        let served = pods.min(u8::try_from(3 * per_eni).unwrap());
        for container in 0..served {
            node.add(key(container), pool(0), WAIT);
        }
        settle(&mut node);
        for container in (0..served).filter(|container| !stay[usize::from(*container)]) {
            node.del(key(container));
            node.device_gone(key(container));
        }
        node.quiesce();
        let calls = node.calls.len();
        node.quiesce();
        prop_assert_eq!(node.calls.len(), calls, "an idle node is quiet");
        let numbers = node.ipam.numbers(&pool(0));
        let target = usize::from(warm_default.max(minimum.saturating_sub(u16::try_from(numbers.leased).unwrap())));
        let excess = numbers.free.saturating_sub(target);
        match delegation {
            Delegation::Addresses => prop_assert!(excess <= 2, "{:?}", node.ipam.report()),
            Delegation::Prefixes => {
                // Prefixes with pods cannot be given back: only whole free ones are waste.
                let whole = node.free_prefixes();
                let spare = whole.min(excess / usize::from(ADDRESSES_PER_PREFIX));
                prop_assert_eq!(spare, 0, "{:?}", node.ipam.report());
            }
        }
    }
}
