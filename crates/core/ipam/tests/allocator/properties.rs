//! What holds whatever happens. The node's own checks run after every input.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use underlay_ipam::{Config, Delegation, Input};
use underlay_types::{Class, Families};

use crate::{
    key,
    model::{
        cloud::{IPV4_PER_ENI, MAX_ENIS, ipv6_blocks},
        node::{Node, config},
        outside::Change,
    },
    pool,
};

#[derive(Debug, Clone)]
enum Step {
    Add {
        container: u8,
        pool: u8,
        wait_secs: u8,
    },
    Del(u8),
    DeviceGone(u8),
    RunOp {
        which: u8,
        fails: Option<u8>,
        lost: bool,
    },
    Kernel {
        ready: bool,
    },
    Look,
    Pass {
        secs: u8,
    },
    Restart,
    Outside(Change),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..12, 0u8..4, 0u8..30).prop_map(|(container, pool, wait_secs)| {
            Step::Add { container, pool, wait_secs }
        }),
        4 => (0u8..12).prop_map(Step::Del),
        3 => (0u8..12).prop_map(Step::DeviceGone),
        8 => any::<u8>().prop_map(|which| Step::RunOp { which, fails: None, lost: false }),
        1 => (any::<u8>(), 0u8..4, any::<bool>()).prop_map(|(which, class, lost)| {
            Step::RunOp { which, fails: Some(class), lost }
        }),
        6 => prop_oneof![4 => Just(true), 1 => Just(false)]
            .prop_map(|ready| Step::Kernel { ready }),
        1 => Just(Step::Look),
        3 => (0u8..40).prop_map(|secs| Step::Pass { secs }),
        1 => Just(Step::Restart),
    ]
}

pub(crate) fn delegation() -> impl Strategy<Value = Delegation> {
    prop_oneof![Just(Delegation::Addresses), Just(Delegation::Prefixes)]
}

/// Small targets; without IPv4 there is nothing to count.
fn configuration() -> impl Strategy<Value = Config> {
    let families = prop_oneof![
        2 => Just(Families::V4),
        2 => Just(Families::Dual),
        1 => Just(Families::V6)
    ];
    let targets = (prop::option::of(0u16..80), 0u16..20, 0u64..2);
    (families, delegation(), targets).prop_map(|(families, delegation, targets)| {
        let (maximum, minimum, gathers) = targets;
        let counted = families != Families::V6;
        Config {
            families,
            delegation,
            gather: Duration::from_millis(gathers * 20),
            minimum: if counted { minimum } else { 0 },
            maximum: maximum.filter(|_| counted),
            ..config()
        }
    })
}

/// As [`step`], and somebody else changes EC2.
fn disturbed_step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        2 => any::<u8>().prop_map(Change::Unassign),
        2 => any::<(u8, u8)>().prop_map(|(address, to)| Change::Reassign { address, to }),
        1 => (any::<u8>(), prop::option::of(any::<u8>())).prop_map(|(from, to)| {
            Change::MoveIpv6 { from, to }
        }),
        1 => any::<u8>().prop_map(Change::Detach),
        1 => any::<u8>().prop_map(Change::Delete),
    ];
    prop_oneof![
        16 => step(),
        1 => Just(Step::Look),
        1 => change.prop_map(Step::Outside),
    ]
}

const fn class(number: u8) -> Class {
    match number {
        0 => Class::Retry,
        1 => Class::Throttled { after: None },
        2 => Class::Conflict,
        _ => Class::Denied,
    }
}

fn take(node: &mut Node, step: &Step) {
    match *step {
        Step::Add {
            container,
            pool: which,
            wait_secs,
        } => {
            node.add(
                key(container),
                pool(which),
                Duration::from_secs(u64::from(wait_secs)),
            );
        }
        Step::Del(container) => node.del(key(container)),
        Step::DeviceGone(container) => {
            // A device of a live pod does not go.
            if !node.leases.contains_key(&key(container)) {
                node.device_gone(key(container));
            }
        }
        Step::RunOp { which, fails, lost } => {
            node.run_op(usize::from(which), fails.map(class), lost);
        }
        Step::Kernel { ready } => node.kernel_answers(ready),
        Step::Look => node.look(),
        Step::Pass { secs } => node.pass(Duration::from_secs(u64::from(secs))),
        Step::Restart => node.restart(),
        Step::Outside(change) => node.change_outside(change),
    }
}

/// Every address of every ENI is known, in exactly one state.
fn assert_nothing_lost(node: &Node) {
    let report = node.ipam.report();
    if node.has_v4() {
        let known: BTreeSet<_> = report
            .enis
            .iter()
            .map(|eni| (eni.eni.clone(), eni.total))
            .collect();
        let there: BTreeSet<_> = node.addresses_to_hold().into_iter().collect();
        assert_eq!(known, there, "{report:?}");
    }
    for eni in &report.enis {
        let there = node.cloud.enis.get(&eni.eni);
        let there = there.map_or(0, |eni| eni.ipv6_prefixes.len());
        assert_eq!(eni.ipv6_prefixes, there, "{eni:?}");
    }
    for eni in &report.enis {
        assert_eq!(eni.free + eni.leased + eni.cooling, eni.total, "{eni:?}");
    }
}

/// Pods have their ENI, unless it cannot be attached.
fn assert_attached(node: &Node) {
    let full = node.cloud.attached() >= usize::from(MAX_ENIS);
    let pods = node.leases.values().map(|lease| &lease.eni);
    for (id, eni) in pods.filter_map(|id| Some((id, node.cloud.enis.get(id)?))) {
        let fits = eni.addresses.len() + eni.prefixes.len() < IPV4_PER_ENI.into();
        let attached = eni.place.is_some();
        assert!(attached || full || !fits, "{id}: {:?}", node.ipam.report());
    }
}

proptest! {
    #[test]
    fn addresses_are_given_once_kept_cool_and_never_lost(
        subnet in 4u8..70,
        config in configuration(),
        steps in prop::collection::vec(disturbed_step(), 1..120),
    ) {
        let families = config.families;
        let mut node = Node::start_with(subnet, config);
        for step in &steps {
            take(&mut node, step);
        }
        node.quiesce();
        assert_nothing_lost(&node);
        assert_attached(&node);

        node.feed(Input::Drain);
        for container in 0..12 {
            node.del(key(container));
            node.device_gone(key(container));
        }
        node.quiesce();
        prop_assert!(node.ipam.is_drained(), "{:?}", node.ipam.report());
        prop_assert_eq!(node.cloud.free.len(), usize::from(subnet), "every address is back");
        prop_assert_eq!(node.cloud.enis.len(), 1, "every ENI of ours is gone");
        prop_assert!(
            families == Families::V4 || node.cloud.free_ipv6.len() == ipv6_blocks().count(),
            "every IPv6 prefix is back"
        );
    }

    #[test]
    fn without_faults_no_call_is_refused_for_a_limit(
        steps in prop::collection::vec(step(), 1..80),
        config in configuration(),
    ) {
        let unlimited = Config { minimum: 0, maximum: None, ..config };
        let mut node = Node::start_with(200, unlimited);
        for step in steps {
            match step {
                Step::RunOp { which, .. } => node.run_op(usize::from(which), None, false),
                Step::Look => {}
                Step::Kernel { .. } => {
                    take(&mut node, &step);
                    // A device that is missed has EC2 asked.
                    node.observe = false;
                }
                step => take(&mut node, &step),
            }
            prop_assert!(!node.observe, "a call failed: {:?}", node.ipam.report());
        }
    }
}
