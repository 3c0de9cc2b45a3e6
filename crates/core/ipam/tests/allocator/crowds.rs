//! Many pods at once: how many calls their ENIs cost, and that nobody waits for others for long.

use std::{collections::VecDeque, time::Duration};

use underlay_ipam::{Config, InstanceLimits, OpId};
use underlay_types::{Class, Timestamp};

use crate::{
    key,
    model::node::{Node, config},
    pool,
    scenarios::WAIT,
};

/// How long each call takes.
const CALL: Duration = Duration::from_millis(200);
const GATHER: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(1);

/// As m5.xlarge, with what an agent holds unless told otherwise.
fn started() -> Node {
    let limits = InstanceLimits {
        enis_per_card: vec![4],
        enis: None,
        ipv4_per_eni: 15,
        prefixes: false,
    };
    let mut node = Node::start_with(200, Config::for_limits(limits));
    node.settle();
    node.calls.clear();
    node
}

/// Has pods come at these milliseconds, and everything take its time. Returns when the last of them
/// had an address.
fn crowd(node: &mut Node, arrivals: &[u64]) -> Duration {
    let begun = node.now;
    let mut under_way: VecDeque<(OpId, Timestamp)> = VecDeque::new();
    let mut coming: VecDeque<(u8, u64)> = (0..).zip(arrivals.iter().copied()).collect();
    for _ in 0..10_000 {
        let now = node.now;
        while coming
            .front()
            .is_some_and(|(_, at)| begun + Duration::from_millis(*at) <= now)
        {
            if let Some((container, _)) = coming.pop_front() {
                node.add(key(container), pool(0), WAIT);
            }
        }
        for (op, _) in &node.ops {
            if under_way.iter().all(|(known, _)| known != op) {
                under_way.push_back((*op, now + CALL));
            }
        }
        while let Some((op, _)) = under_way.front().filter(|(_, ends)| *ends <= now).copied() {
            under_way.pop_front();
            let which = node.ops.iter().position(|(known, _)| *known == op);
            node.run_op(which.unwrap(), None, false);
        }
        node.kernel_answers(true);
        if coming.is_empty() && node.open.is_empty() && node.ops.is_empty() {
            break;
        }
        node.pass(TICK);
    }
    assert_eq!(node.refusals, [""; 0]);
    assert_eq!(node.leases.len(), arrivals.len());
    node.now.saturating_since(begun)
}

#[test]
fn an_eni_of_a_crowd_costs_at_most_four_calls() {
    // At once; one after another; in handfuls; with longer and longer gaps.
    let at_once: Vec<u64> = vec![0; 40];
    let in_turn = (0..40).map(|pod| pod * 4).collect();
    let handfuls = (0..40).map(|pod| pod / 8 * 18).collect();
    let hesitant = (0..40).map(|pod| pod * pod / 10).collect();
    for arrivals in [at_once, in_turn, handfuls, hesitant] {
        let mut node = started();
        let took = crowd(&mut node, &arrivals);
        let enis = node.cloud.enis.len() - 1;
        // What is held ahead of need takes no last slot.
        assert_eq!(enis, 2, "{:?}", node.calls);
        assert!(
            node.calls.len() <= 4 * enis,
            "{arrivals:?}: {:?}",
            node.calls
        );
        assert!(took < Duration::from_secs(1), "{took:?}: {:?}", node.calls);
    }
}

#[test]
fn growth_is_not_put_off_by_pods_that_keep_coming() {
    let mut node = started();
    for container in 0..20 {
        node.add(key(container), pool(0), WAIT);
        node.pass(GATHER - TICK);
        if !node.calls.is_empty() {
            assert!(container < 14, "{container}");
            return;
        }
    }
    panic!("nothing was asked for");
}

#[test]
fn a_pod_alone_waits_no_longer_than_for_the_next_one() {
    let mut node = started();
    node.add(key(1), pool(1), WAIT);
    assert!(node.calls.is_empty() && node.refusals.is_empty());
    assert_eq!(node.ipam.next_deadline(), Some(node.now + GATHER));
    node.pass(GATHER);
    assert_eq!(node.calls.len(), 1);
    // The next one begins a crowd of its own.
    node.add(key(2), pool(2), WAIT);
    assert_eq!(node.calls.len(), 1);
    node.pass(GATHER);
    assert_eq!(node.calls.len(), 2);
}

#[test]
fn who_cannot_be_served_is_not_kept_waiting_for_others() {
    let mut node = Node::start_with(
        200,
        Config {
            gather: GATHER,
            ..config()
        },
    );
    node.settle();
    for container in 0..9 {
        node.add(key(container), pool(0), WAIT);
    }
    node.pass(GATHER);
    node.settle();
    assert_eq!(node.leases.len(), 9);
    node.add(key(9), pool(0), WAIT);
    assert_eq!(node.refusals.len(), 1, "the node is full");
}

#[test]
fn a_pod_that_gives_up_leaves_nothing_to_wait_for() {
    let mut node = started();
    node.add(key(1), pool(1), GATHER / 2);
    node.pass(GATHER / 2);
    assert_eq!(node.refusals.len(), 1);
    node.pass(GATHER);
    assert!(node.calls.is_empty(), "{:?}", node.calls);
    let next = node.ipam.next_deadline();
    assert!(next.is_none_or(|next| next > node.now + WAIT), "{next:?}");
    node.add(key(2), pool(1), WAIT);
    node.pass(GATHER);
    node.run_op(0, Some(Class::Retry), false);
    assert!(node.open.len() == 1, "{:?}", node.refusals);
}
