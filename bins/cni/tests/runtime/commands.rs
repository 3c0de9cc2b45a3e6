//! Each command, in each version that has it.

use std::sync::Arc;

use serde_json::json;
use underlay_agent::service::ServiceError;

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, Invocation, Output},
};

const VERSIONS: &str = r#""supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}"#;

#[test]
fn add_answers_in_the_shape_of_each_version() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for (version, mtu, family) in [
        ("0.3.1", "", r#","version":"4""#),
        ("0.4.0", "", r#","version":"4""#),
        ("1.0.0", "", ""),
        ("1.1.0", r#""mtu":9001,"#, ""),
    ] {
        let add = host
            .invocation("ADD")
            .stdin(host.stdin(version, json!({})))
            .run();
        let wanted = format!(
            r#"{{"cniVersion":"{version}","dns":{{}},"interfaces":[{{"mac":"02:00:00:00:00:01",{mtu}"name":"ul0123456789ab"}},{{"mac":"02:00:00:00:00:02",{mtu}"name":"eth0","sandbox":"{}"}}],"ips":[{{"address":"10.0.1.10/32","gateway":"169.254.1.1","interface":1{family}}}],"routes":[{{"dst":"0.0.0.0/0","gw":"169.254.1.1"}}]}}"#,
            host.netns_path()
        );
        assert_eq!(add, Output::success(&wanted));
    }
}

#[test]
fn the_pod_and_its_groups_reach_the_node() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let stdin = host.stdin(
        "1.0.0",
        json!({"runtimeConfig": {
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
            "io.kubernetes.cri.pod-annotations":
                {"underlay.dev/security-groups": "sg-0000000b,sg-0000000a"},
        }}),
    );
    let args = "K8S_POD_NAME=web-0;IgnoreUnknown=1;K8S_POD_UID=u-1;K8S_POD_NAMESPACE=shop";
    let add = host
        .invocation("ADD")
        .stdin(stdin)
        .var("CNI_ARGS", args)
        .run();
    assert_eq!(add.exit, 0, "{add:?}");
    assert_eq!(
        node.log(),
        [
            "add underlay/c1/eth0 from sg-0000000a,sg-0000000b in a namespace for shop/web-0 \
             Some(\"u-1\") within 25s",
            "added underlay/c1/eth0"
        ]
    );
}

#[test]
fn del_succeeds_as_often_as_it_comes() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let previous = host.call("ADD").json();
    let with_result = host.stdin("1.1.0", json!({"prevResult": previous}));
    let del = host.invocation("DEL");
    assert_eq!(del.clone().stdin(with_result).run(), Output::success(""));
    assert_eq!(node.leases(), Vec::<String>::new());
    // As containerd repeats it: without a namespace and without a result.
    assert_eq!(del.clone().var("CNI_NETNS", "").run(), Output::success(""));
    assert_eq!(
        del.clone().var("CNI_NETNS", "/nowhere").run(),
        Output::success("")
    );
    assert_eq!(
        del.var("CNI_CONTAINERID", "unknown").run(),
        Output::success("")
    );
    assert_eq!(
        node.log()[2..],
        [
            "del underlay/c1/eth0 with a namespace",
            "del underlay/c1/eth0 without a namespace",
            "del underlay/c1/eth0 without a namespace",
            "del underlay/unknown/eth0 with a namespace"
        ]
    );
}

#[test]
fn an_add_that_is_repeated_answers_the_same() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let first = host.call("ADD");
    assert_eq!(host.call("ADD"), first);
    assert_eq!(host.call("DEL"), Output::success(""));
    assert_eq!(host.call("ADD"), first);
    assert_eq!(node.leases(), ["underlay/c1/eth0"]);
}

#[test]
fn check_wants_the_result_and_says_what_differs() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let previous = host.call("ADD").json();
    let check = host.invocation("CHECK");
    assert_eq!(check.run().error().1, "prevResult: is required for CHECK");
    let check = check.stdin(host.stdin("1.1.0", json!({"prevResult": previous})));
    assert_eq!(check.run(), Output::success(""));
    let mut other = previous.clone();
    other["ips"][0]["address"] = "10.9.9.9/32".into();
    let with_other = host.stdin("1.1.0", json!({"prevResult": other}));
    let differs = host.invocation("CHECK").stdin(with_other).run().error();
    let address = previous["ips"][0]["address"].as_str().unwrap();
    assert_eq!(
        (differs.0, differs.1),
        (101, format!("prevResult has no address {address}"))
    );
    node.fail(|message| ServiceError::Differs { message }, "eth0 is down");
    assert_eq!(
        check.run().error(),
        (101, "eth0 is down".into(), String::new())
    );
}

#[test]
fn gc_keeps_the_valid_attachments() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    for container in ["c1", "c2", "c3"] {
        assert_eq!(
            host.invocation("ADD")
                .var("CNI_CONTAINERID", container)
                .run()
                .exit,
            0
        );
    }
    let valid = json!({"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]});
    let gc = Invocation::bare(host.stdin("1.1.0", valid))
        .var("CNI_COMMAND", "GC")
        .var("CNI_PATH", "/opt/cni/bin");
    assert_eq!(gc.run(), Output::success(""));
    assert_eq!(node.leases(), ["underlay/c2/eth0"]);
    assert_eq!(
        gc.without("CNI_PATH").run().error(),
        (4, "CNI_PATH: is required for GC".into(), String::new())
    );
}

#[test]
fn status_needs_no_pod_and_is_50_or_51_when_add_cannot_be_served() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let mut status = host.invocation("STATUS");
    for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        status = status.var(name, "");
    }
    assert_eq!(status.run(), Output::success(""));
    node.fail(
        |message| ServiceError::NoAddress { message },
        "0 of 27 free on 3 ENIs, growth refused by EC2",
    );
    assert_eq!(
        status.run().error(),
        (
            50,
            "0 of 27 free on 3 ENIs, growth refused by EC2".into(),
            String::new()
        )
    );
    let message = "0 of 27 free on 3 ENIs. Running pods may be cut off: 2 pods of eni-1";
    node.fail(|message| ServiceError::CutOff { message }, message);
    let limited = (51, message.to_owned(), String::new());
    assert_eq!(status.run().error(), limited);
    node.recover();
    assert_eq!(status.run(), Output::success(""));
}

#[test]
fn version_needs_no_agent_and_no_input() {
    let version = |stdin: &str| Invocation::bare(stdin).var("CNI_COMMAND", "VERSION").run();
    for (stdin, in_use) in [
        (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"),
        (r#"{"cniVersion":"1.2.0"}"#, "1.1.0"),
        ("", "1.1.0"),
        ("nonsense", "1.1.0"),
    ] {
        let wanted = format!(r#"{{"cniVersion":"{in_use}",{VERSIONS}"#);
        assert_eq!(version(stdin), Output::success(&wanted));
    }
}

#[test]
fn every_failure_of_the_node_has_its_code_and_names_the_pod() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let add = host
        .invocation("ADD")
        .var("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0");
    let code = |kind: fn(String) -> ServiceError| {
        node.fail(kind, "m");
        let (code, msg, details) = add.run().error();
        assert_eq!(
            (msg.as_str(), details.as_str()),
            ("m", "pod shop/web-0, pool default")
        );
        code
    };
    assert_eq!(code(|message| ServiceError::NoAddress { message }), 11);
    assert_eq!(code(|message| ServiceError::NotReady { message }), 11);
    assert_eq!(code(|message| ServiceError::Group { message }), 7);
    assert_eq!(code(|message| ServiceError::Refused { message }), 100);
    assert_eq!(code(|message| ServiceError::Kernel { message }), 5);
    assert_eq!(code(|message| ServiceError::Journal { message }), 5);
    assert_eq!(node.leases(), Vec::<String>::new());
}

#[test]
fn a_failed_del_does_not_say_what_a_runtime_swallows() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    node.fail(
        |message| ServiceError::Kernel { message },
        "table Not Found: No such file or directory",
    );
    let (code, msg, _) = host.call("DEL").error();
    assert_eq!((code, msg.as_str()), (5, "table absent: absent (ENOENT)"));
}
