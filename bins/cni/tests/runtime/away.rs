//! The agent is away, or goes away.

use std::{
    os::unix::{fs::PermissionsExt, net::UnixListener},
    sync::Arc,
};

use serde_json::{Value, json};
use underlay_agent::service::ServiceError;

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, Output, finish, wait_until},
};

#[test]
fn whatever_needs_the_agent_is_refused_and_says_where_to_look() {
    let host = Host::new();
    // All at once: each waits for an agent.
    let calls = ["ADD", "CHECK", "STATUS", "GC"].map(|name| (name, host.invocation(name).start()));
    for (command, call) in calls {
        let (code, msg, details) = finish(call).error();
        let socket = host.config.paths.socket();
        let wanted = format!(
            "{command}: the Underlay agent is away: {}: there is no such path",
            socket.display()
        );
        let refused = if command == "STATUS" { 50 } else { 11 };
        assert_eq!((code, msg), (refused, wanted));
        assert!(details.contains("underlay node status"), "{details}");
        assert!(
            details.contains("systemctl status underlay-agent"),
            "{details}"
        );
    }
    assert!(!host.config.paths.run_dir.exists());
}

#[test]
fn a_dead_agents_socket_is_no_agent() {
    let host = Host::new();
    std::fs::create_dir(&host.config.paths.run_dir).unwrap();
    drop(UnixListener::bind(host.config.paths.socket()).unwrap());
    let (code, msg, _) = host.call("ADD").error();
    assert_eq!(code, 11);
    assert!(msg.ends_with("agent.sock: nobody listens there"), "{msg}");
}

#[test]
fn a_del_leaves_one_tombstone_with_the_request_verbatim() {
    let host = Host::new();
    let previous = json!({"ips": [{"address": "10.0.1.10/32"}], "é": "\"\\\n"});
    let stdin = host.stdin("1.0.0", json!({"prevResult": previous}));
    let del = host.invocation("DEL").stdin(stdin.as_str());
    for _ in 0..3 {
        assert_eq!(del.run(), Output::success(""));
    }
    let [tombstone] = host.tombstones().try_into().unwrap();
    let path = host.config.paths.tombstones().join(tombstone);
    assert_eq!(
        path.metadata().unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let request: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let wanted = json!({
        "proto": 1,
        "command": "DEL",
        "env": {
            "CNI_COMMAND": "DEL",
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": host.netns_path(),
            "CNI_PATH": "/opt/cni/bin",
        },
        "stdin": stdin,
    });
    assert_eq!(request, wanted);
}

#[test]
fn tombstones_are_carried_out_before_anything_is_served() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let front = host.serve(&node);
    for container in ["c1", "c2"] {
        assert_eq!(
            host.invocation("ADD")
                .var("CNI_CONTAINERID", container)
                .run()
                .exit,
            0
        );
    }
    drop(front);
    assert_eq!(host.call("DEL"), Output::success(""));
    assert_eq!(node.leases(), ["underlay/c1/eth0", "underlay/c2/eth0"]);
    let _front = host.serve(&node);
    assert_eq!(node.leases(), ["underlay/c2/eth0"]);
    assert_eq!(host.tombstones(), Vec::<String>::new());
}

#[test]
fn a_tombstone_that_fails_stays_and_one_that_is_none_goes() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    assert_eq!(host.call("DEL"), Output::success(""));
    let kept = host.tombstones();
    let dir = host.config.paths.tombstones();
    std::fs::write(dir.join("0000000000000000"), "{").unwrap();
    std::fs::write(dir.join(".123"), "{").unwrap();
    // A living plugin's draft.
    let held = std::fs::File::create(dir.join(".124")).unwrap();
    held.lock().unwrap();
    node.fail(|message| ServiceError::Kernel { message }, "busy");
    drop(host.serve(&node));
    assert_eq!(host.tombstones(), [vec![".124".to_owned()], kept].concat());
    node.recover();
    drop(host.serve(&node));
    assert_eq!(host.tombstones(), [".124"]);
    assert_eq!(node.log(), ["del underlay/c1/eth0 without a namespace"; 2]);
}

#[test]
fn an_add_or_del_takes_up_the_pending_del_of_its_attachment() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    for (command, log) in [
        ("DEL", vec!["del underlay/c1/eth0 with a namespace"]),
        (
            "ADD",
            vec![
                "del underlay/c1/eth0 without a namespace",
                "add underlay/c1/eth0 from default in a namespace for no pod within 25s",
                "added underlay/c1/eth0",
            ],
        ),
    ] {
        // A tombstone that appears while the agent serves, as a killed plugin leaves it.
        assert_eq!(host.call("DEL"), Output::success(""));
        let tombstones = host.config.paths.tombstones();
        let aside = host.path("aside");
        std::fs::rename(&tombstones, &aside).unwrap();
        let _front = host.serve(&node);
        std::fs::rename(&aside, &tombstones).unwrap();
        let before = node.log().len();
        assert_eq!(host.call(command).exit, 0);
        assert_eq!(node.log()[before..], log);
        assert_eq!(host.tombstones(), Vec::<String>::new());
    }
}

#[test]
fn a_del_that_cannot_leave_a_tombstone_is_code_11_in_words_a_runtime_believes() {
    let host = Host::new();
    std::fs::write(&host.config.paths.run_dir, "in the way").unwrap();
    let (code, msg, _) = host.call("DEL").error();
    assert_eq!(code, 11, "{msg}");
    assert!(
        msg.contains("nor can the request be kept for it in"),
        "{msg}"
    );
    let said = msg.to_lowercase();
    assert!(
        !said.contains("not found") && !said.contains("no such file or directory"),
        "{msg}"
    );
}

#[test]
fn a_del_that_any_agent_would_refuse_leaves_no_tombstone() {
    let host = Host::new();
    let del = host.invocation("DEL");
    let unnamed = format!(
        r#"{{"cniVersion":"1.0.0","runDir":{:?}}}"#,
        host.config.paths.run_dir
    );
    assert_eq!(del.clone().stdin(unnamed).run().error().0, 7);
    assert_eq!(del.stdin(host.stdin("0.1.0", json!({}))).run().error().0, 1);
    assert_eq!(host.tombstones(), Vec::<String>::new());
}

#[test]
fn an_agent_that_ends_before_it_answers_is_away() {
    let host = Host::new();
    std::fs::create_dir(&host.config.paths.run_dir).unwrap();
    let listener = UnixListener::bind(host.config.paths.socket()).unwrap();
    let dying = std::thread::spawn(move || {
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
    });
    let (code, msg, _) = host.call("ADD").error();
    assert_eq!(code, 11);
    assert!(
        msg.starts_with("ADD: the Underlay agent ended before it answered: "),
        "{msg}"
    );
    assert_eq!(host.call("DEL"), Output::success(""));
    assert_eq!(host.tombstones().len(), 1);
    dying.join().unwrap();
}

#[test]
fn an_add_waits_for_an_agent_that_is_started_again() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    drop(host.serve(&node));
    let add = host.invocation("ADD").start();
    let _front = host.serve(&node);
    assert_eq!(finish(add).exit, 0);
    assert_eq!(node.leases(), ["underlay/c1/eth0"]);
}

#[test]
fn a_status_whose_agent_ends_asks_the_next_one() {
    let host = Host::new();
    std::fs::create_dir(&host.config.paths.run_dir).unwrap();
    let socket = host.config.paths.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let status = host.invocation("STATUS").start();
    let ended = listener.accept().unwrap();
    std::fs::remove_file(&socket).unwrap();
    drop(listener);
    drop(ended);
    let _front = host.serve(&Arc::new(MemoryNode::default()));
    assert_eq!(finish(status), Output::success(""));
}

/// The plugin finds no agent; then an agent starts and looks for tombstones before the plugin's
/// stands. The plugin asks again and the DEL is done.
#[test]
fn a_del_that_meets_a_starting_agent_is_not_lost() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let front = host.serve(&node);
    assert_eq!(host.call("ADD").exit, 0);
    drop(front);
    let slow = [
        "strace",
        "-qq",
        "-o/dev/null",
        "-e",
        "inject=rename:delay_enter=2000000",
    ];
    let del = host
        .invocation("DEL")
        .var("PATH", "/usr/bin:/bin")
        .under(&slow)
        .start();
    wait_until("the plugin has its draft", || host.tombstones().len() == 1);
    let _front = host.serve(&node);
    assert_eq!(
        node.leases(),
        ["underlay/c1/eth0"],
        "the tombstone was not there yet"
    );
    assert_eq!(finish(del), Output::success(""));
    assert_eq!(node.leases(), Vec::<String>::new());
    assert_eq!(host.tombstones(), Vec::<String>::new());
}
