//! A VPC that is driven: its clock by hand, its faults by name, its budgets by number.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api_server::ApiServer,
    bad_input::{SIGNED, code_of, post},
};

/// A server with an admin socket.
struct Driven {
    server: ApiServer,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Driven {
    fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let path = socket.to_str().unwrap();
        let args: Vec<_> = ["--admin-socket", path]
            .iter()
            .chain(more)
            .copied()
            .collect();
        Self {
            server: ApiServer::start(&args),
            socket,
            _folder: folder,
        }
    }

    /// Runs a command of `underlay-vpc` and returns what it printed, or its complaint.
    fn run(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_underlay-vpc"))
            .args(args)
            .arg("--socket")
            .arg(&self.socket)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = args.iter().chain(&["--json"]).copied().collect();
        serde_json::from_str(&self.run(&args).unwrap()).unwrap()
    }

    fn call(&self, form: &str) -> (u16, String) {
        post(&self.server, form.as_bytes(), SIGNED)
    }

    /// A call that is carried out; the text of an element of its answer.
    fn done(&self, form: &str, element: &str) -> String {
        let (status, body) = self.call(form);
        assert_eq!(status, 200, "{form}: {body}");
        within(&body, element).unwrap_or_default().to_owned()
    }

    /// What a call comes to: its status and error code.
    fn refused(&self, form: &str) -> (u16, String) {
        let (status, body) = self.call(form);
        (
            status,
            if status == 0 {
                String::new()
            } else {
                code_of(&body)
            },
        )
    }

    /// A VPC with a subnet; the subnet's id.
    fn subnet(&self) -> String {
        let vpc = self.done("Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
        let form = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24");
        self.done(&form, "subnetId")
    }

    fn eni(&self, subnet: &str) -> String {
        let form = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
        self.done(&form, "networkInterfaceId")
    }

    fn instance(&self, subnet: &str) -> String {
        let form = format!(
            "Action=RunInstances&ImageId=ami-0dc0000000000000a&InstanceType=m5.large&MinCount=1&MaxCount=1&SubnetId={subnet}"
        );
        self.done(&form, "instanceId")
    }

    fn described(&self, eni: &str, element: &str) -> String {
        let form = format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={eni}");
        self.done(&form, element)
    }

    fn end(self) {
        assert_eq!(self.server.stop(), Some(0));
    }
}

/// The text of the first element of this name.
fn within<'a>(body: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{element}>"))?;
    Some(rest.split_once(&format!("</{element}>"))?.0)
}

#[test]
fn by_hand_an_attachment_is_done_only_when_the_clock_says_so() {
    let vpc = Driven::start(&["--preset", "realistic", "--clock-speed", "0"]);
    let subnet = vpc.subnet();
    let instance = vpc.instance(&subnet);
    let eni = vpc.eni(&subnet);
    vpc.json(&["clock", "advance", "1m"]);
    let before = vpc.json(&["clock"]);
    assert_eq!(before, vpc.json(&["clock", "show"]), "it stands");
    let form = format!(
        "Action=AttachNetworkInterface&NetworkInterfaceId={eni}&InstanceId={instance}&DeviceIndex=1"
    );
    vpc.done(&form, "attachmentId");
    let attaching = vpc.described(&eni, "attachment");
    assert!(
        attaching.contains("<status>attaching</status>"),
        "{attaching}"
    );
    let next = vpc.json(&["clock"])["next_in_seconds"].as_f64().unwrap();
    assert!((0.1..=10.0).contains(&next), "{next}");
    let after = vpc.json(&["clock", "advance", "20s"]);
    let passed = after["unix_nanos"].as_u64().unwrap() - before["unix_nanos"].as_u64().unwrap();
    assert_eq!(passed, 20_000_000_000);
    let attached = vpc.described(&eni, "attachment");
    assert!(attached.contains("<status>attached</status>"), "{attached}");
    vpc.end();
}

#[test]
fn faults_strike_the_calls_they_name_as_often_as_told() {
    let vpc = Driven::start(&[]);
    let describe = "Action=DescribeVpcs";
    let on = |args: &[&str]| vpc.run(&[&["fault", "on"], args].concat()).unwrap();
    on(&["throttle", "--action", "DescribeVpcs", "--count", "2"]);
    for _ in 0..2 {
        assert_eq!(
            vpc.refused(describe),
            (503, "RequestLimitExceeded".to_owned())
        );
    }
    assert_eq!(vpc.call(describe).0, 200);
    for (hazard, refusal) in [
        (vec!["server-error"], (500, "InternalError")),
        (vec!["unavailable"], (503, "Unavailable")),
        (vec!["cut-off"], (0, "")),
        (vec!["hang", "--delay", "50ms"], (0, "")),
        (
            vec!["refuse", "--code", "InsufficientInstanceCapacity"],
            (500, "InsufficientInstanceCapacity"),
        ),
    ] {
        on(&[
            hazard.as_slice(),
            &["--action", "Describe*", "--count", "1"],
        ]
        .concat());
        assert_eq!(
            vpc.refused(describe),
            (refusal.0, refusal.1.to_owned()),
            "{hazard:?}"
        );
        assert_eq!(vpc.call(describe).0, 200);
    }
    let counts = vpc.json(&["calls"]);
    let count = |result: &str| {
        let mut all = counts.as_array().unwrap().iter();
        let found = all.find(|each| each["action"] == "DescribeVpcs" && each["result"] == result);
        found.map(|each| each["calls"].as_u64().unwrap())
    };
    let results = ["OK", "RequestLimitExceeded", "InternalError", "cut"].map(count);
    assert_eq!(results, [Some(6), Some(2), Some(1), Some(2)]);
    vpc.end();
}

#[test]
fn a_lost_reply_a_double_and_half_of_a_call_leave_what_they_did() {
    let vpc = Driven::start(&[]);
    let subnet = vpc.subnet();
    let eni = vpc.eni(&subnet);
    let on = |args: &[&str]| {
        vpc.run(&[&["fault", "on", "--count", "1"], args].concat())
            .unwrap()
    };
    let vpcs = || vpc.call("Action=DescribeVpcs").1.matches("<vpcId>").count();
    let create = "Action=CreateVpc&CidrBlock=10.9.0.0/16";
    on(&["lost-reply", "--action", "CreateVpc"]);
    assert_eq!((vpc.call(create).0, vpcs()), (0, 2));
    on(&["duplicate", "--action", "CreateVpc"]);
    assert_eq!((vpc.call(create).0, vpcs()), (200, 4));
    on(&["partial", "--target", &eni]);
    let assign = format!(
        "Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}&SecondaryPrivateIpAddressCount=5"
    );
    assert_eq!(vpc.refused(&assign), (500, "InternalError".to_owned()));
    let held = vpc.described(&eni, "privateIpAddressesSet");
    assert_eq!(held.matches("<privateIpAddress>").count(), 1 + 2);
    vpc.end();
}

#[test]
fn while_connections_are_refused_nobody_gets_through_and_then_all_do() {
    let vpc = Driven::start(&[]);
    let refuses = || match TcpStream::connect(vpc.server.address()) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    };
    let becomes = |wanted: bool| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while refuses() != wanted {
            assert!(Instant::now() < deadline, "refuses: {}", !wanted);
            std::thread::yield_now();
        }
    };
    for _ in 0..2 {
        vpc.run(&["fault", "on", "connections-refused"]).unwrap();
        becomes(true);
        let off = ["fault", "off", "--hazard", "connections-refused"];
        assert_eq!(vpc.json(&off)["faults"], 1);
        becomes(false);
        assert_eq!(vpc.call("Action=DescribeVpcs").0, 200);
    }
    vpc.end();
}

#[test]
fn buckets_empty_and_fill_by_the_clock_and_their_numbers_can_be_set() {
    let vpc = Driven::start(&["--clock-speed", "0"]);
    let subnet = vpc.subnet();
    vpc.run(&[
        "limits",
        "--throttle",
        "on",
        "--set",
        "CreateNetworkInterface=3/2",
    ])
    .unwrap();
    let form = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
    let admitted = || (0..10).take_while(|_| vpc.call(&form).0 == 200).count();
    assert_eq!(admitted(), 3);
    let left = vpc.json(&["buckets"]);
    assert_eq!(
        (&left[0]["action"], &left[0]["tokens"]),
        (&"CreateNetworkInterface".into(), &0.into())
    );
    vpc.run(&["clock", "advance", "1s"]).unwrap();
    assert_eq!(admitted(), 2);
    vpc.run(&["limits", "--throttle", "off"]).unwrap();
    assert_eq!(admitted(), 10);
    let text = vpc.run(&["limits"]).unwrap();
    assert!(text.starts_with("throttling is off\n"), "{text}");
    vpc.end();
}

#[test]
fn the_admin_socket_refuses_what_it_does_not_understand() {
    let vpc = Driven::start(&[]);
    for (args, part) in [
        (
            &["fault", "on", "slow", "--target", "vpc-1"][..],
            "no id of an instance",
        ),
        (
            &["fault", "on", "stuck-attach", "--action", "RunInstances"],
            "cannot be told an action",
        ),
        (
            &["fault", "on", "refuse", "--code", "Bogus"],
            "no error code",
        ),
        (&["fault", "on", "gremlins"], "there is no hazard"),
        (&["fault", "off", "77"], "there is no fault 77"),
        (&["clock", "advance", "-1s"], "unexpected argument"),
        (&["clock", "speed", "fast"], "no speed"),
        (&["clock", "step"], "nothing is under way"),
        (&["limits", "--set", "Bogus=1/1"], "nor an action"),
    ] {
        let complaint = vpc.run(args).unwrap_err();
        assert!(complaint.contains(part), "{args:?}: {complaint}");
        assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    }
    vpc.end();
}

#[test]
fn the_admin_socket_refuses_bodies_it_cannot_read() {
    let vpc = Driven::start(&[]);
    let huge = format!("{{\"hazard\":\"{}\"}}", "x".repeat(1 << 20));
    for (request, status) in [
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "404"),
        (
            "DELETE /clock HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "404",
        ),
        (posted("/clock", "{}"), "400"),
        (posted("/clock", "{\"speed\":1}"), "400"),
        (posted("/clock", "{\"sped\":\"1\"}"), "400"),
        (posted("/clock", "\u{fffd}\0"), "400"),
        (posted("/faults", "[]"), "400"),
        (posted("/faults", &"[".repeat(10_000)), "400"),
        (posted("/faults/off", "{}"), "400"),
        (
            posted(
                "/limits",
                "{\"budgets\":[{\"of\":\"reading\",\"burst\":-1,\"per_second\":1}]}",
            ),
            "400",
        ),
        (posted("/faults", &huge), "400"),
    ] {
        let mut stream = UnixStream::connect(&vpc.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        // It may have answered before it read all.
        drop(stream.write_all(request.as_bytes()));
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        let text = String::from_utf8_lossy(&head);
        let shown: String = request.chars().take(80).collect();
        assert_eq!(text, format!("HTTP/1.1 {status}"), "{shown}");
    }
    vpc.json(&["clock"]);
    vpc.end();
}

fn posted(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn an_interface_is_inspected_as_it_is_and_as_others_see_it() {
    let vpc = Driven::start(&["--clock-speed", "0"]);
    let subnet = vpc.subnet();
    let instance = vpc.instance(&subnet);
    let eni = vpc.eni(&subnet);
    let lag = [
        "fault",
        "on",
        "describe-lag",
        "--target",
        &eni,
        "--delay",
        "10s",
    ];
    vpc.run(&lag).unwrap();
    vpc.run(&[
        "fault",
        "on",
        "metadata-misses-eni",
        "--target",
        &instance,
        "--delay",
        "20s",
    ])
    .unwrap();
    let form = format!(
        "Action=AttachNetworkInterface&NetworkInterfaceId={eni}&InstanceId={instance}&DeviceIndex=1"
    );
    vpc.done(&form, "attachmentId");
    let seen = |of: &str| {
        let inspection = vpc.json(&["inspect", of]);
        let report = inspection["enis"]
            .as_array()
            .unwrap()
            .iter()
            .find(|each| each["id"] == *eni);
        let report = report.unwrap().clone();
        ["now", "described", "metadata"].map(|view| {
            let status = report[view]["status"].as_str();
            status.unwrap_or("none").to_owned()
        })
    };
    assert_eq!(seen(&instance), ["in-use", "available", "none"]);
    vpc.run(&["clock", "advance", "10s"]).unwrap();
    assert_eq!(seen(&eni), ["in-use", "in-use", "none"]);
    vpc.run(&["clock", "step"]).unwrap();
    assert_eq!(seen(&eni), ["in-use", "in-use", "in-use"]);
    let complaint = vpc.run(&["inspect", "eni-0123456789abcdef0"]).unwrap_err();
    assert!(
        complaint.contains("there is no interface of"),
        "{complaint}"
    );
    vpc.end();
}
