//! What may or may not have come to pass: answers that were lost, calls that outlive the process
//! that made them, attachments that end while the node waits for the device.

use std::time::Duration;

use underlay_ipam::{Config, Ec2Op, Input, ObservedEni, Parting, Standing};
use underlay_types::{Class, EniId, PoolKey};

use crate::{
    key,
    model::{
        cloud::{CloudEni, primary},
        node::{Node, config, v4},
    },
    pool,
    scenarios::{WAIT, ready, settle},
};

/// Longer than anything is shown late.
const SHOWN: Duration = Duration::from_secs(200);

/// A node that is about to give addresses back, its call not carried out yet.
fn giving_back() -> Node {
    let mut node = Node::start_with(
        200,
        Config {
            warm_default: 0,
            ..config()
        },
    );
    for container in 0..3 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    for container in 0..3 {
        node.del(key(container));
        node.device_gone(key(container));
    }
    node.pass(Duration::from_secs(31));
    node.pass(Duration::from_secs(600));
    node.kernel_answers(true);
    let gives_back = |op: &Ec2Op| matches!(op, Ec2Op::UnassignAddresses { .. });
    assert!(
        node.ops.iter().any(|(_, op)| gives_back(op)),
        "{:?}",
        node.calls
    );
    node
}

fn observe(node: &mut Node, enis: Vec<ObservedEni>) {
    node.pass(Duration::from_millis(1));
    let asked = node.now;
    node.pass(Duration::from_millis(1));
    node.feed(Input::Observed { asked, enis });
}

/// Every address that is given must be there: the node checks that.
fn fill(node: &mut Node) {
    for container in 20..28 {
        node.add(key(container), pool(0), WAIT);
        settle(node);
    }
}

#[test]
fn what_was_asked_back_in_vain_is_not_given_while_a_look_may_be_late() {
    let mut node = giving_back();
    let late = node.cloud.observe();
    while !node.ops.is_empty() {
        node.run_op(0, Some(Class::Invalid), true);
    }
    observe(&mut node, late);
    fill(&mut node);
}

#[test]
fn what_was_asked_back_in_vain_is_looked_for_again_and_used() {
    let mut node = giving_back();
    while !node.ops.is_empty() {
        node.run_op(0, Some(Class::Retry), false);
    }
    node.look();
    node.observe = false;
    node.pass(SHOWN);
    assert!(node.observe);
    let held = |node: &Node| {
        node.ipam
            .report()
            .enis
            .iter()
            .map(|eni| eni.free)
            .sum::<usize>()
    };
    let before = held(&node);
    node.look();
    assert!(held(&node) > before, "{:?}", node.ipam.report());
}

/// EC2 gives what one ENI gave back to another, which goes; a late look shows the first one's.
#[test]
fn what_went_to_an_eni_that_is_gone_is_not_the_first_ones_again() {
    let mut node = giving_back();
    let late = node.cloud.observe();
    settle(&mut node);
    node.add(key(9), pool(1), Duration::from_secs(1));
    node.run_op(0, None, false);
    node.run_op(0, Some(Class::Conflict), false);
    node.pass(Duration::from_secs(2));
    settle(&mut node);
    assert_eq!(node.cloud.enis.len(), 1, "{:?}", node.calls);
    observe(&mut node, late);
    fill(&mut node);
}

/// The call is carried out after the next run has looked.
fn outlived(node: &mut Node) {
    let calls: Vec<Ec2Op> = node.ops.iter().map(|(_, call)| call.clone()).collect();
    let until = node.now + SHOWN;
    let partings = calls.iter().filter_map(Parting::of);
    node.partings = partings
        .map(|parting| Parting { until, ..parting })
        .collect();
    assert!(!node.partings.is_empty());
    node.restart();
    for call in calls {
        let _answer = node.cloud.run(&call);
    }
}

#[test]
fn addresses_that_an_earlier_run_asked_back_are_not_given_to_pods() {
    let mut node = giving_back();
    outlived(&mut node);
    fill(&mut node);
    node.pass(SHOWN);
    node.look();
    settle(&mut node);
    let known: usize = node.ipam.report().enis.iter().map(|eni| eni.total).sum();
    let there: usize = node.cloud.enis.values().map(|eni| eni.all().len()).sum();
    assert_eq!(known, there);
}

#[test]
fn an_eni_that_an_earlier_run_was_detaching_is_detached_first() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let left = node.leases[&key(1)].eni.clone();
    node.del(key(1));
    node.device_gone(key(1));
    node.pass(Duration::from_secs(31));
    node.pass(Duration::from_secs(600));
    node.kernel_answers(true);
    assert!(
        matches!(node.ops.first(), Some((_, Ec2Op::DetachEni { .. }))),
        "{:?}",
        node.ops
    );
    node.calls.clear();
    outlived(&mut node);
    assert_eq!(node.calls.first(), Some(&format!("detach {left}")));
    node.add(key(2), pool(1), WAIT);
    node.look();
    settle(&mut node);
    let eni = &node.cloud.enis[&node.leases[&key(2)].eni];
    assert!(eni.place.is_some(), "{:?}", node.calls);
}

#[test]
fn an_eni_that_is_detached_before_its_device_comes_is_attached_again() {
    let mut node = ready();
    node.add(key(1), pool(1), Duration::from_secs(600));
    while !node.ops.is_empty() {
        node.run_op(0, None, false);
    }
    let eni = node.to_use[0].clone();
    node.cloud.detach_outside(&eni);
    // Each look comes while the node waits for the device.
    node.look();
    node.kernel_answers(false);
    assert!(
        node.observe,
        "a device that does not come is a reason to look"
    );
    node.look();
    settle(&mut node);
    assert!(node.leases.contains_key(&key(1)), "{:?}", node.calls);
}

/// Looks that are not judged, since a call is under way, still show that the ENI is there.
#[test]
fn looks_that_show_an_eni_come_between_those_that_do_not() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let eni = node.leases[&key(1)].eni.clone();
    let place = node.cloud.enis[&eni].place;
    let miss = |node: &mut Node| {
        node.cloud.detach_outside(&eni);
        node.look();
        node.cloud.enis.get_mut(&eni).unwrap().place = place;
    };
    miss(&mut node);
    // A pod more than there are addresses has the ENI asked for one.
    for container in 2..4 {
        node.add(key(container), pool(1), WAIT);
    }
    assert!(!node.ops.is_empty());
    node.look();
    settle(&mut node);
    miss(&mut node);
    let report = node.ipam.report();
    let known = report.enis.iter().find(|known| known.eni == eni);
    assert_eq!(known.unwrap().place, place, "{report:?}");
}

#[test]
fn nothing_is_set_of_an_attachment_that_is_not_there() {
    let mut node = ready();
    node.add(key(1), pool(1), WAIT);
    settle(&mut node);
    let eni = node.leases[&key(1)].eni.clone();
    node.cloud.detach_outside(&eni);
    node.cloud.enis.get_mut(&eni).unwrap().delete_on_termination = false;
    node.calls.clear();
    node.look();
    assert!(node.calls.is_empty(), "{:?}", node.calls);
}

/// An ENI of the default pool that exists and is not attached.
fn add_loose(node: &mut Node, addresses: std::ops::Range<u8>) -> EniId {
    let eni = EniId::from_serial(77);
    let loose = CloudEni {
        pool: PoolKey::default_pool(),
        place: None,
        standing: Standing::Serving,
        delete_on_termination: false,
        addresses: addresses.map(|octet| [10, 0, 9, octet].into()).collect(),
        prefixes: std::collections::BTreeSet::new(),
        ipv6_prefixes: std::collections::BTreeSet::new(),
    };
    node.cloud.enis.insert(eni.clone(), loose);
    node.look();
    eni
}

#[test]
fn an_eni_that_exists_does_not_wait_for_a_subnet_that_has_nothing_left() {
    for warm_default in [1, 5] {
        let mut node = Node::start_with(
            0,
            Config {
                warm_default,
                ..config()
            },
        );
        settle(&mut node);
        let eni = add_loose(&mut node, 0..3);
        node.quiesce();
        assert!(node.cloud.enis[&eni].place.is_some(), "{:?}", node.calls);
    }
}

#[test]
fn an_eni_with_more_than_it_may_have_is_replaced() {
    let mut node = ready();
    for container in 0..3 {
        node.add(key(container), pool(0), WAIT);
        settle(&mut node);
    }
    let held: Vec<_> = node.leases.values().map(v4).collect();
    let spare = node.cloud.enis.keys().filter(|eni| **eni != primary());
    for eni in spare.cloned().collect::<Vec<_>>() {
        assert!(
            node.cloud.enis[&eni]
                .all()
                .iter()
                .all(|address| !held.contains(address))
        );
        node.cloud.delete_outside(&eni);
    }
    node.calls.clear();
    let eni = add_loose(&mut node, 0..4);
    node.look();
    node.quiesce();
    assert!(!node.cloud.enis.contains_key(&eni), "{:?}", node.calls);
    assert!(node.ipam.numbers(&pool(0)).free > 0);
    assert!(node.calls.len() < 20, "{:?}", node.calls);
}
