//! Calls at the same time.

use std::{process::Child, sync::Arc, time::Duration};

use crate::{
    memory_node::{MemoryNode, Others},
    plugin::{Host, finish, wait_until},
};

fn waits_for_its_answer(plugin: &Child) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{}/syscall", plugin.id()));
    // recvfrom
    call.unwrap().starts_with("45 ")
}

#[test]
fn a_del_waits_for_the_add_of_its_attachment_and_other_pods_do_not() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.gate("c1");
    let add = host.invocation("ADD").start();
    wait_until("the node was asked", || node.log().len() == 1);
    let del = host.invocation("DEL").start();
    assert_eq!(
        host.invocation("ADD")
            .var("CNI_CONTAINERID", "c2")
            .run()
            .exit,
        0
    );
    assert_eq!(node.leases(), ["underlay/c2/eth0"]);
    node.open();
    assert_eq!(finish(add).exit, 0);
    assert_eq!(finish(del).exit, 0);
    let log: Vec<String> = node
        .log()
        .into_iter()
        .filter(|line| line.contains("/c1/"))
        .collect();
    assert_eq!(
        log,
        [
            "add underlay/c1/eth0 from default in a namespace for no pod within 25s",
            "added underlay/c1/eth0",
            "del underlay/c1/eth0 with a namespace"
        ]
    );
}

/// A runtime that lists what it knows, and meanwhile asks for a pod again.
#[test]
fn a_gc_waits_for_the_add_of_its_key_and_spares_what_that_answered() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for container in ["c1", "c2"] {
        let add = host.invocation("ADD").var("CNI_CONTAINERID", container);
        assert_eq!(add.run().exit, 0);
    }
    node.gate("c1");
    let again = host.invocation("ADD").start();
    wait_until("the node was asked", || node.log().len() == 5);
    let none = serde_json::json!({"cni.dev/valid-attachments": []});
    let gc = host.invocation("GC").stdin(host.stdin("1.1.0", none));
    let gc = gc.start();
    wait_until("the leases are listed", || node.log().len() >= 6);
    node.open();
    assert_eq!(finish(again).exit, 0);
    assert_eq!(finish(gc).exit, 0);
    let log = node.log().split_off(4);
    assert_eq!(
        log,
        [
            "add underlay/c1/eth0 from default in a namespace for no pod within 25s",
            "gc underlay but ",
            "added underlay/c1/eth0",
            "collect underlay/c1/eth0",
            "collect underlay/c2/eth0",
        ]
    );
    assert_eq!(node.leases(), ["underlay/c1/eth0"]);
}

#[test]
fn thirty_pods_come_and_go_at_once() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for command in ["ADD", "DEL"] {
        let calls: Vec<_> = (0..30)
            .map(|n| {
                host.invocation(command)
                    .var("CNI_CONTAINERID", &format!("c{n}"))
                    .start()
            })
            .collect();
        for call in calls {
            let output = finish(call);
            assert_eq!(output.exit, 0, "{output:?}");
        }
        assert_eq!(node.leases().len(), if command == "ADD" { 30 } else { 0 });
    }
}

/// Starts ADDs of that many pods.
fn adds(host: &Host, count: usize) -> Vec<Child> {
    let add = |n| {
        let container = format!("crowd{n}");
        host.invocation("ADD")
            .var("CNI_CONTAINERID", &container)
            .start()
    };
    (0..count).map(add).collect()
}

#[test]
fn calls_that_wait_keep_no_other_from_being_served() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.gate_all(Others::Wait);
    let waiting = adds(&host, 20);
    wait_until("all were asked for", || node.log().len() == 20);
    assert_eq!(host.call("STATUS").exit, 0);
    node.open();
    for add in waiting {
        assert_eq!(finish(add).exit, 0);
    }
}

#[test]
fn eight_calls_are_carried_out_at_a_time_and_the_others_after_them() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.gate_all(Others::Work);
    let working = adds(&host, 20);
    wait_until("the requests are sent", || {
        working.iter().all(waits_for_its_answer)
    });
    wait_until("eight were asked for", || node.log().len() >= 8);
    assert_eq!(node.log().len(), 8);
    node.open();
    for add in working {
        assert_eq!(finish(add).exit, 0);
    }
    assert_eq!(node.leases().len(), 20);
}

#[test]
fn a_front_that_stops_finishes_what_is_under_way() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let front = host.serve(&node);
    node.gate("c1");
    let add = host.invocation("ADD").start();
    wait_until("the node was asked", || node.log().len() == 1);
    let stopping = std::thread::spawn(move || front.stop(Duration::from_secs(20)));
    wait_until("the socket is gone", || {
        !host.config.paths.socket().exists()
    });
    node.open();
    assert_eq!(finish(add).exit, 0);
    assert_eq!(stopping.join().unwrap(), 0);
    assert_eq!(host.call("ADD").error().0, 11);
}

/// A runtime sends the DEL of an ADD that it gave up. Whichever thread of the agent is first, the
/// pod must be gone in the end.
#[test]
fn an_add_whose_plugin_is_gone_does_not_begin() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.gate("c1");
    let first = host.invocation("ADD").start();
    wait_until("the node was asked", || node.log().len() == 1);
    let mut given_up = host.invocation("ADD").start();
    wait_until("the second call has sent its request", || {
        waits_for_its_answer(&given_up)
    });
    given_up.kill().unwrap();
    given_up.wait().unwrap();
    node.open();
    assert_eq!(finish(first).exit, 0);
    assert_eq!(host.call("DEL").exit, 0);
    let adds = |line: &String| line.starts_with("added ");
    assert_eq!(node.log().iter().filter(|line| adds(line)).count(), 1);
    assert_eq!(node.leases(), Vec::<String>::new());
}

/// The calls of one attachment are carried out one after the other, each as a whole, whatever their
/// number and order; what stands in the end is what the last of them left.
#[test]
fn adds_and_dels_of_the_same_and_of_other_pods_at_once_end_right() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.dawdle(Duration::from_millis(20));
    let mut random: u32 = 7;
    let mut below = |limit: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % limit
    };
    for round in 0..4 {
        let begun = node.log().len();
        let calls: Vec<_> = (0..24)
            .map(|_| {
                let command = if below(2) == 0 { "ADD" } else { "DEL" };
                let container = format!("c{}", below(3));
                let call = host.invocation(command).var("CNI_CONTAINERID", &container);
                call.start()
            })
            .collect();
        for call in calls {
            let output = finish(call);
            assert_eq!(output.exit, 0, "round {round}: {output:?}");
        }
        let log = node.log().split_off(begun);
        let standing = node.leases();
        for key in ["c0", "c1", "c2"].map(|container| format!("underlay/{container}/eth0")) {
            let of_key = log.iter().filter(|line| line.contains(&key));
            let verbs: Vec<&str> = of_key.filter_map(|line| line.split(' ').next()).collect();
            let mut is_adding = false;
            for verb in &verbs {
                assert_eq!(
                    *verb == "added",
                    is_adding,
                    "{key}, round {round}: {verbs:?}"
                );
                is_adding = *verb == "add";
            }
            if let Some(last) = verbs.last() {
                let stands = standing.contains(&key);
                assert_eq!(stands, *last == "added", "{key}, round {round}: {verbs:?}");
            }
        }
    }
}
