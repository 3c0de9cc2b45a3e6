//! Clients of the agent's socket that are not the plugin, or misbehave.

use std::{
    fs::{File, Permissions, set_permissions},
    io::{ErrorKind, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::Uid,
};
use serde_json::{Value, json};
use underlay_agent::{cni_front::RunDir, service::ServiceError};

use crate::{
    memory_node::MemoryNode,
    plugin::{Host, files},
};

fn connect(host: &Host) -> UnixStream {
    let stream = UnixStream::connect(host.config.paths.socket()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn frame(request: &Value) -> Vec<u8> {
    let json = request.to_string();
    let mut frame = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(json.as_bytes());
    frame
}

fn answer(mut stream: UnixStream) -> Value {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), bytes.len() - 4);
    serde_json::from_slice(&bytes[4..]).unwrap()
}

fn ask(host: &Host, request: &Value) -> Value {
    let mut stream = connect(host);
    stream.write_all(&frame(request)).unwrap();
    answer(stream)
}

/// Whether the agent closed the connection without a word.
fn is_hung_up(mut stream: UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn what_comes_after_a_request_is_nobodys() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let mut stream = connect(&host);
    let request = json!({"proto": 1, "command": "VERSION", "stdin": "{\"cniVersion\":\"1.0.0\"}"});
    stream
        .write_all(&[frame(&request), b"more".to_vec()].concat())
        .unwrap();
    assert_eq!(answer(stream)["exit"], 0);
}

#[test]
fn what_is_no_request_gets_no_answer_and_does_no_harm() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let torn = frame(&json!({"proto": 1, "command": "STATUS"}));
    for bytes in [
        b"".as_slice(),
        b"\0\0",
        &torn[..torn.len() - 1],
        b"\xff\xff\xff\xff{}",
        b"\0\x10\0\x01",
        b"\0\0\0\x02[]",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x04\xff\xff\xff\xff",
    ] {
        let mut stream = connect(&host);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_hung_up(stream), "{bytes:?}");
    }
    assert_eq!(host.call("STATUS").exit, 0);
    assert_eq!(node.log(), ["status"]);
}

#[test]
fn a_client_that_is_slow_holds_up_nobody_and_is_left_in_the_end() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let mut slow = connect(&host);
    slow.write_all(b"\0\0").unwrap();
    let silent = connect(&host);
    assert_eq!(host.call("ADD").exit, 0);
    assert!(is_hung_up(slow));
    assert!(is_hung_up(silent));
}

#[test]
fn unknown_fields_are_ignored_and_other_protocols_are_named() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let stdin = host.stdin("1.1.0", json!({}));
    let request = |proto: u32| json!({"proto": proto, "command": "STATUS", "stdin": stdin, "trace": {"id": 7}});
    assert_eq!(
        ask(&host, &request(1)),
        json!({"proto": 1, "exit": 0, "stdout": ""})
    );
    for proto in [0, 2] {
        let answer = ask(&host, &request(proto));
        assert_eq!(answer["exit"], 1);
        let error: Value = serde_json::from_str(answer["stdout"].as_str().unwrap()).unwrap();
        assert_eq!(error["code"], 11);
        assert_eq!(
            error["msg"],
            format!("the plugin speaks protocol {proto}, this agent 1 to 1")
        );
    }
    let unknown = ask(
        &host,
        &json!({"proto": 1, "command": "RENAME", "stdin": stdin}),
    );
    let error: Value = serde_json::from_str(unknown["stdout"].as_str().unwrap()).unwrap();
    assert_eq!(error["code"], 4);
    assert_eq!(node.log(), ["status"]);
}

#[test]
fn one_descriptor_may_come_and_not_two() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let stdin = host.stdin("1.1.0", json!({}));
    let env = json!({"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/n"});
    let add = json!({"proto": 1, "command": "ADD", "env": env, "stdin": stdin});
    let netns = File::open(host.netns_path()).unwrap();
    let send = |fds: &[BorrowedFd<'_>]| {
        let stream = connect(&host);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        let bytes = frame(&add);
        let sent = sendmsg(
            &stream,
            &[IoSlice::new(&bytes)],
            &mut control,
            SendFlags::empty(),
        );
        assert_eq!(sent.unwrap(), bytes.len());
        stream
    };
    assert_eq!(answer(send(&[netns.as_fd()]))["exit"], 0);
    let before = host.descriptors_of_the_namespace();
    for count in [2, 8] {
        assert!(is_hung_up(send(&vec![netns.as_fd(); count])));
    }
    assert_eq!(host.descriptors_of_the_namespace(), before);
    // And an ADD without any names the variable.
    let answer = ask(&host, &add);
    let error: Value = serde_json::from_str(answer["stdout"].as_str().unwrap()).unwrap();
    assert_eq!(error["msg"], "CNI_NETNS: /n came without a descriptor");
}

#[test]
fn only_root_is_served_even_if_the_socket_is_open_to_all() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let _front = host.serve(&node);
    let socket = host.config.paths.socket();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&host.config.paths.run_dir), 0o700);
    assert!(connect_as_nobody(&host).is_err());
    for path in [host.path(""), host.config.paths.run_dir.clone(), socket] {
        set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let mut stream = connect_as_nobody(&host).unwrap();
    drop(stream.write_all(&frame(&json!({"proto": 1, "command": "NODE_STATUS"}))));
    assert!(is_hung_up(stream));
    assert_eq!(host.call("STATUS").exit, 0);
    assert_eq!(node.log(), ["status"]);
}

/// Connects from a thread that is user nobody; the socket remembers who connected.
fn connect_as_nobody(host: &Host) -> std::io::Result<UnixStream> {
    let socket = host.config.paths.socket();
    let connecting = thread::spawn(move || {
        let nobody = Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        UnixStream::connect(socket)
    });
    connecting.join().unwrap()
}

#[test]
fn the_node_is_shown_drained_resumed_and_uninstalled() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let front = host.serve(&node);
    front.publish_conflist().unwrap();
    assert_eq!(
        files(&host.config.paths.conflist_dir),
        ["10-underlay.conflist"]
    );
    assert_eq!(host.call("ADD").exit, 0);
    let request = |command: &str, stdin: &str| {
        ask(
            &host,
            &json!({"proto": 1, "command": command, "stdin": stdin}),
        )
    };
    let ok = |stdout: &str| json!({"proto": 1, "exit": 0, "stdout": stdout});
    assert_eq!(
        request("NODE_STATUS", ""),
        ok(r#"{"leases":["underlay/c1/eth0"]}"#)
    );
    assert_eq!(request("NODE_DRAIN", ""), ok("{}"));
    assert_eq!(request("NODE_RESUME", ""), ok("{}"));
    assert_eq!(
        files(&host.config.paths.conflist_dir),
        ["10-underlay.conflist"]
    );
    node.fail(|message| ServiceError::Refused { message }, "eni-1 is left");
    let refused = request("NODE_UNINSTALL", r#"{"deadline_seconds":5}"#);
    assert_eq!(refused["exit"], 1);
    assert_eq!(refused["stdout"], r#"{"error":"eni-1 is left"}"#);
    // The runtime was told first, and is not told otherwise later.
    front.publish_conflist().unwrap();
    assert_eq!(files(&host.config.paths.conflist_dir), Vec::<String>::new());
    let wrong = request("NODE_DRAIN", "soon");
    assert_eq!(wrong["exit"], 1);
    assert_eq!(
        node.log()[2..],
        ["drain within 60s", "resume", "uninstall within 5s"]
    );
}

#[test]
fn one_agent_serves_a_folder_at_a_time() {
    let host = Host::new();
    let node = Arc::new(MemoryNode::default());
    let front = host.serve(&node);
    let second = RunDir::claim(&host.config.paths.run_dir).unwrap_err();
    assert!(
        second
            .to_string()
            .starts_with("another underlay-agent runs here"),
        "{second}"
    );
    drop(front);
    drop(host.serve(&node));
}
