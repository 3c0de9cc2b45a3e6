//! The plugin is killed at each of its system calls that has an effect.

use std::sync::Arc;

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, Output, wait_until},
};

/// The calls of the plugin that others can see.
const EFFECTS: [&str; 6] = ["socket", "connect", "sendmsg", "mkdir", "write", "rename"];

/// Kills `command` at the n-th call of `effect` for n = 1, 2, .. until it survives; runs `after`
/// after each. Returns how often it died.
fn killed_at_each(host: &Host, command: &str, effect: &str, after: impl Fn(&Host)) -> u32 {
    for n in 1.. {
        let inject = format!("inject={effect}:signal=KILL:when={n}");
        let killed = host
            .invocation(command)
            .var("PATH", "/usr/bin:/bin")
            .under(&["strace", "-qq", "-o/dev/null", "-e", &inject])
            .run();
        let survived = killed.exit == 0;
        after(host);
        if survived {
            return n - 1;
        }
        assert!(n < 20, "{command} dies for ever at {effect}");
    }
    0
}

#[test]
fn a_killed_add_is_undone_by_the_del_that_a_runtime_sends_then() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let mut deaths = 0;
    for effect in EFFECTS {
        deaths += killed_at_each(&host, "ADD", effect, |host| {
            assert_eq!(host.call("DEL"), Output::success(""));
            assert_eq!(node.leases(), Vec::<String>::new());
            assert_eq!(host.tombstones(), Vec::<String>::new());
        });
    }
    // socket, connect, sendmsg, and the write of the answer.
    assert_eq!(deaths, 4);
}

#[test]
fn a_killed_del_without_agent_leaves_a_whole_tombstone_or_none() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let mut deaths = 0;
    for effect in EFFECTS {
        drop(std::fs::remove_dir_all(&host.config.paths.run_dir));
        deaths += killed_at_each(&host, "DEL", effect, |host| {
            let complete = host
                .tombstones()
                .iter()
                .filter(|name| !name.starts_with('.'))
                .count();
            let before = node.log().len();
            drop(host.serve(&node));
            assert_eq!(node.log().len() - before, complete);
        });
    }
    // socket and connect (twice), the folder's making, the draft's write, the rename.
    assert!(deaths >= 7, "{deaths}");
}

#[test]
fn a_killed_plugin_does_not_stop_the_agent() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.gate("c1");
    let mut add = host.invocation("ADD").start();
    wait_until("the node was asked", || node.log().len() == 1);
    add.kill().unwrap();
    add.wait().unwrap();
    node.open();
    assert_eq!(host.call("DEL"), Output::success(""));
    assert_eq!(node.leases(), Vec::<String>::new());
}
