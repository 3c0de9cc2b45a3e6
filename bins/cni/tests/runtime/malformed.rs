//! Malformed input: the specification's code and the name of what is wrong, with or without agent.

use std::sync::Arc;

use serde_json::json;

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, Invocation},
};

struct Case {
    invocation: Invocation,
    code: i64,
    msg: &'static str,
}

/// What the plugin itself refuses.
fn refused_by_the_plugin(host: &Host) -> Vec<Case> {
    let case = |invocation: Invocation, code, msg| Case {
        invocation,
        code,
        msg,
    };
    let add = || host.invocation("ADD");
    vec![
        case(add().without("CNI_COMMAND"), 4, "CNI_COMMAND: is required"),
        case(
            add().var("CNI_COMMAND", "add"),
            4,
            "CNI_COMMAND: \"add\" is not one of ADD, DEL, CHECK, GC, STATUS, VERSION",
        ),
        case(
            add().without("CNI_CONTAINERID"),
            4,
            "CNI_CONTAINERID: is required for ADD",
        ),
        case(
            add().without("CNI_IFNAME").var("CNI_NETNS", ""),
            4,
            "CNI_IFNAME: is required for ADD; CNI_NETNS: is required for ADD",
        ),
        case(
            add().var("CNI_CONTAINERID", "../c1"),
            4,
            "CNI_CONTAINERID: \"../c1\" is not a container id: an alphanumeric, then \
             alphanumerics, '_', '.' or '-'",
        ),
        case(
            add().var("CNI_NETNS", "/nowhere"),
            4,
            "CNI_NETNS: cannot open /nowhere: No such file or directory (os error 2)",
        ),
        case(
            add().stdin(""),
            6,
            "the network configuration on standard input is not a JSON object",
        ),
        case(
            add().stdin("{\"cniVersion\""),
            6,
            "the network configuration on standard input is not a JSON object",
        ),
        case(
            add().stdin(b"{\"name\":\"\xff\"}".as_slice()),
            6,
            "the network configuration on standard input is not UTF-8",
        ),
        case(
            add().stdin(r#"{"cniVersion":"1.0.0","name":"n","runDir":"run"}"#),
            7,
            "runDir: \"run\" is not an absolute path",
        ),
    ]
}

/// What the agent refuses.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refused_by_the_agent(host: &Host) -> Vec<Case> {
    let with = |command: &str, version: &str, rest, code, msg| Case {
        invocation: host.invocation(command).stdin(host.stdin(version, rest)),
        code,
        msg,
    };
    vec![
        with(
            "ADD",
            "0.2.0",
            json!({}),
            1,
            "cniVersion: CNI version \"0.2.0\" is not supported; supported are 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        ),
        with(
            "CHECK",
            "0.3.1",
            json!({}),
            1,
            "cniVersion: 0.3.1 has no CHECK; it needs 0.4.0 or newer",
        ),
        with(
            "GC",
            "1.0.0",
            json!({}),
            1,
            "cniVersion: 1.0.0 has no GC; it needs 1.1.0 or newer",
        ),
        with(
            "ADD",
            "1.0.0",
            json!({"name": "a/b"}),
            7,
            "name: \"a/b\" is not a network name: an alphanumeric, then alphanumerics, '_', '.' or '-'",
        ),
        with(
            "ADD",
            "1.0.0",
            json!({"securitygroups": []}),
            7,
            "unknown key in the network configuration: securitygroups",
        ),
        with(
            "STATUS",
            "1.1.0",
            json!({"vxlan": true}),
            7,
            "unknown key in the network configuration: vxlan",
        ),
        with(
            "ADD",
            "1.0.0",
            json!({"securityGroups": ["sg-1"]}),
            7,
            "securityGroups: \"sg-1\" is not an id of the form sg-<8 or 17 lower-case hex digits>",
        ),
        with(
            "ADD",
            "1.0.0",
            json!({"prevResult": 1}),
            7,
            "prevResult: must be an object",
        ),
        with(
            "GC",
            "1.1.0",
            json!({}),
            7,
            "cni.dev/valid-attachments: is required for GC",
        ),
        Case {
            invocation: host.invocation("ADD").var("CNI_ARGS", "K8S_POD_NAME"),
            code: 4,
            msg: "CNI_ARGS: \"K8S_POD_NAME\" is not of the form KEY=VALUE",
        },
    ]
}

#[test]
fn what_the_plugin_refuses_does_not_depend_on_the_agent() {
    let host = Host::new();
    for case in refused_by_the_plugin(&host) {
        let (code, msg, _) = case.invocation.run().error();
        assert_eq!((code, msg.as_str()), (case.code, case.msg));
    }
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for case in refused_by_the_plugin(&host) {
        let (code, msg, _) = case.invocation.run().error();
        assert_eq!((code, msg.as_str()), (case.code, case.msg));
    }
    assert_eq!(node.log(), Vec::<String>::new());
}

#[test]
fn what_the_agent_refuses_never_reaches_the_node() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for case in refused_by_the_agent(&host) {
        let (code, msg, _) = case.invocation.run().error();
        assert_eq!((code, msg.as_str()), (case.code, case.msg));
    }
    assert_eq!(node.log(), Vec::<String>::new());
}

#[test]
fn errors_are_answered_in_the_version_of_the_configuration() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for (asked, answered) in [("0.3.1", "0.3.1"), ("1.0.0", "1.0.0"), ("9.9.9", "1.1.0")] {
        let add = host
            .invocation("ADD")
            .stdin(host.stdin(asked, json!({"oops": 1})));
        assert_eq!(add.run().json()["cniVersion"], answered);
    }
}

#[test]
fn del_works_with_a_configuration_of_a_newer_version() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let newer = json!({"newKey": {}, "securityGroups": 7, "runtimeConfig": [], "prevResult": 0});
    let del = host
        .invocation("DEL")
        .stdin(host.stdin("1.1.0", newer))
        .var("CNI_ARGS", "=");
    assert_eq!(del.run().exit, 0);
    assert_eq!(node.log(), ["del underlay/c1/eth0 with a namespace"]);
}

#[test]
fn more_than_a_mebibyte_is_refused() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let long = host.stdin("1.0.0", json!({"a.b": "x".repeat(1 << 20)}));
    let (code, msg, _) = host.invocation("ADD").stdin(long).run().error();
    assert_eq!(code, 6, "{msg}");
    // As much as fits is served: escaping makes the request longer than its parts.
    let fits = host.stdin("1.0.0", json!({"a.b": "x".repeat((1 << 20) - 2000)}));
    assert_eq!(host.invocation("ADD").stdin(fits).run().exit, 0);
}
