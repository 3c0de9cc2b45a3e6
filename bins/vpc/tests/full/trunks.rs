//! Trunks and branches as calls make them: a tagged frame on the trunk's device is the branch's.

use std::{net::UdpSocket, os::fd::AsFd, process::Command, thread};

use rustix::process::Signal;
use underlay_netlink::netns;

use crate::run::{Run, inside, namespace};

const TAG: &str = "7";
const FRAMES: &str = include_str!("../../../../crates/io/fabric/tests/fabric/branch.py");

/// Answers a datagram on port 7 with itself.
fn serve(instance: &str) {
    let bind = || UdpSocket::bind(("0.0.0.0", 7)).unwrap();
    let socket = netns::run_in(namespace(instance).as_fd(), bind).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).ok();
        }
    });
}

/// An interface; its id, Ethernet address and address.
fn interface(run: &Run, subnet: &str, kind: &[(&str, &str)]) -> (String, String, String) {
    let mut wanted = vec![("SubnetId", subnet)];
    wanted.extend(kind);
    let answer = run.ec2.call("CreateNetworkInterface", &wanted);
    let field = |tag| crate::ec2::text_of(&answer, tag).unwrap();
    (
        field("networkInterfaceId"),
        field("macAddress"),
        field("privateIpAddress"),
    )
}

/// The name of an instance's device.
fn device(instance: &str, mac: &str) -> String {
    let links = inside(instance, &["ip", "-o", "link"]).unwrap();
    let line = links.lines().find(|line| line.contains(mac)).unwrap();
    let name = line.split(' ').nth(1).unwrap();
    name.split(['@', ':']).next().unwrap().to_owned()
}

/// What comes back when the trunk's instance speaks for the branch with the tag.
fn speak(instance: &str, device: &str, branch: (&str, &str), peer: &str) -> Vec<String> {
    let output = Command::new("nsenter")
        .arg(format!("--net={}/{instance}", netns::DIRECTORY))
        .args([
            "python3", "-c", FRAMES, device, TAG, branch.0, branch.1, peer, "7",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_branch_is_reached_by_its_tag_also_after_a_kill_of_the_server() {
    let mut run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let (peer, address) = run.ec2.instance(&subnet);
    serve(&peer);
    let (trunk, trunk_mac, _) = interface(&run, &subnet, &[("InterfaceType", "trunk")]);
    let (branch, mac, own) = interface(&run, &subnet, &[]);
    let attach = [
        ("NetworkInterfaceId", trunk.as_str()),
        ("InstanceId", &instance),
        ("DeviceIndex", "1"),
    ];
    run.ec2.call("AttachNetworkInterface", &attach);
    let device = device(&instance, &trunk_mac);
    inside(&instance, &["ip", "link", "set", &device, "up"]).unwrap();
    let speak = || speak(&instance, &device, (&mac, &own), &address);
    assert_eq!(speak(), ["silence"]);

    let associate = [
        ("BranchInterfaceId", branch.as_str()),
        ("TrunkInterfaceId", &trunk),
        ("VlanId", TAG),
    ];
    let association = run
        .ec2
        .ask("AssociateTrunkInterface", &associate, "associationId");
    let answered = speak();
    assert_eq!(answered.last().unwrap(), "udp 7 word", "{answered:?}");

    run.end(Signal::KILL);
    run.go_on(&[]);
    assert_eq!(speak(), answered);

    run.ec2.call(
        "DisassociateTrunkInterface",
        &[("AssociationId", &association)],
    );
    assert_eq!(speak(), ["silence"]);
}
