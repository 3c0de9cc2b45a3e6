//! Hosts outside any cluster, the API inside the VPC, groups and flow logs.

use std::{
    io::Read,
    net::TcpListener,
    os::fd::AsFd,
    process::{Command, Output},
};

use rustix::process::Signal;
use underlay_netlink::netns;

use crate::{
    ec2::HEADERS,
    run::{Run, complaint, exists, inside, namespace, printed},
};

/// A group whose only ingress rule allows TCP 5432 from itself.
fn database_group(run: &Run, vpc: &str) -> (String, String) {
    let named = [
        ("VpcId", vpc),
        ("GroupName", "db"),
        ("GroupDescription", "db"),
    ];
    let group = run.ec2.ask("CreateSecurityGroup", &named, "groupId");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "5432"),
        ("IpPermissions.1.ToPort", "5432"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.1.0/24"),
    ];
    let rule = run.ec2.ask(
        "AuthorizeSecurityGroupIngress",
        &rule,
        "securityGroupRuleId",
    );
    (group, rule)
}

fn host(run: &Run, eni: &str, name: &str) -> Output {
    run.command(&["host", "--eni", eni, "--name", name])
}

fn connect(from: &str, address: &str, port: &str) -> Result<String, Option<i32>> {
    let url = format!("telnet://{address}:{port}");
    inside(from, &["curl", "-s", "-m", "1", &url])
}

#[test]
fn a_host_is_reached_as_its_groups_allow_and_the_refused_packets_are_logged() {
    let run = Run::start();
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let (group, rule) = database_group(&run, &vpc);
    let wanted = [("SubnetId", subnet.as_str()), ("SecurityGroupId.1", &group)];
    let created = run.ec2.call("CreateNetworkInterface", &wanted);
    let field = |tag| crate::ec2::text_of(&created, tag).unwrap();
    let (eni, address) = (field("networkInterfaceId"), field("privateIpAddress"));
    let name = format!("{}-db", run.id);
    let path = printed(&host(&run, &eni, &name));
    assert_eq!(path, format!("{}/{name}", netns::DIRECTORY));
    assert!(complaint(&host(&run, &eni, "other")).contains("InvalidNetworkInterface.InUse"));

    let second = run
        .ec2
        .ask("CreateNetworkInterface", &wanted, "networkInterfaceId");
    assert!(complaint(&host(&run, &second, &name)).contains("File exists"));
    assert!(exists(&name), "the first host keeps its namespace");

    let format = "${interface-id} ${pkt-srcaddr} ${pkt-dstaddr} ${dstport} ${action}";
    run.ec2.call(
        "CreateFlowLogs",
        &[
            ("ResourceType", "NetworkInterface"),
            ("ResourceId.1", &eni),
            ("TrafficType", "REJECT"),
            ("LogDestinationType", "s3"),
            ("LogDestination", "arn:aws:s3:::logs"),
            ("LogFormat", format),
        ],
    );
    let _server = listen(&name, 5432);
    // curl's codes: 28 is a timeout; a connection that the server closes at once is 0.
    assert_eq!(connect(&instance, &address, "5432"), Ok("hello".to_owned()));
    assert_eq!(connect(&instance, &address, "5433"), Err(Some(28)));
    let revoke = [
        ("GroupId", group.as_str()),
        ("SecurityGroupRuleId.1", &rule),
    ];
    run.ec2.call("RevokeSecurityGroupIngress", &revoke);
    assert_eq!(connect(&instance, &address, "5432"), Err(Some(28)));

    let files = printed(&run.command(&["flush-flow-logs"]));
    let lines = Command::new("zcat").args(files.lines()).output().unwrap();
    let lines = String::from_utf8_lossy(&lines.stdout).into_owned();
    for port in ["5433", "5432"] {
        let line = format!("{eni} 10.0.1.4 {address} {port} REJECT");
        assert!(lines.lines().any(|each| each == line), "{line}\n{lines}");
    }
}

/// Says hello to whoever connects, until the test's process ends.
fn listen(name: &str, port: u16) -> std::thread::JoinHandle<()> {
    let netns = namespace(name);
    let bind = || TcpListener::bind(("0.0.0.0", port)).unwrap();
    let listener = netns::run_in(netns.as_fd(), bind).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut ignored = [0; 1];
            std::io::Write::write_all(&mut stream, b"hello").unwrap_or_default();
            stream
                .shutdown(std::net::Shutdown::Write)
                .unwrap_or_default();
            stream.read(&mut ignored).map(drop).unwrap_or_default();
        }
    })
}

/// The IPv4 addresses of a host's device, without those of the loopback device.
fn addresses(name: &str) -> Vec<String> {
    let shown = inside(
        name,
        &["ip", "-4", "-o", "address", "show", "scope", "global"],
    )
    .unwrap();
    let address = |line: &str| line.split_whitespace().nth(3).unwrap().to_owned();
    shown.lines().map(address).collect()
}

#[test]
fn a_host_follows_the_addresses_of_its_interface() {
    let mut run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let wanted = [
        ("SubnetId", subnet.as_str()),
        ("PrivateIpAddress", "10.0.1.20"),
    ];
    let eni = run
        .ec2
        .ask("CreateNetworkInterface", &wanted, "networkInterfaceId");
    let name = format!("{}-db", run.id);
    printed(&host(&run, &eni, &name));
    assert_eq!(addresses(&name), ["10.0.1.20/24"]);
    let change = |run: &Run, action, address| {
        let wanted = [
            ("NetworkInterfaceId", eni.as_str()),
            ("PrivateIpAddress.1", address),
        ];
        run.ec2.call(action, &wanted);
    };
    change(&run, "AssignPrivateIpAddresses", "10.0.1.21");
    assert_eq!(addresses(&name), ["10.0.1.20/24", "10.0.1.21/24"]);
    let _server = listen(&name, 5432);
    let hello = Ok("hello".to_owned());
    assert_eq!(connect(&instance, "10.0.1.21", "5432"), hello);

    run.end(Signal::KILL);
    run.go_on(&[]);
    assert_eq!(addresses(&name), ["10.0.1.20/24", "10.0.1.21/24"]);
    change(&run, "AssignPrivateIpAddresses", "10.0.1.22");
    change(&run, "UnassignPrivateIpAddresses", "10.0.1.21");
    assert_eq!(addresses(&name), ["10.0.1.20/24", "10.0.1.22/24"]);
    assert_eq!(connect(&instance, "10.0.1.22", "5432"), hello);
}

#[test]
fn the_api_is_served_inside_the_vpc_once_per_subnet_and_groups() {
    let run = Run::start();
    let (_, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let url = printed(&run.command(&["endpoint", "--subnet", &subnet]));
    assert_eq!(
        printed(&run.command(&["endpoint", "--subnet", &subnet])),
        url
    );
    let mut command = vec!["curl", "-sS", "-m", "5"];
    let headers: Vec<_> = HEADERS.lines().collect();
    for header in &headers {
        command.extend(["-H", header]);
    }
    let target = format!("{url}/?Action=DescribeInstances&Version=2016-11-15");
    command.push(&target);
    // The date is old, which nobody minds without --require-auth: any well-formed caller will do.
    let answer = inside(&instance, &command).unwrap();
    assert!(answer.contains(&instance), "{answer}");

    let fixed = ["endpoint", "--subnet", &subnet, "--address", "10.0.1.99"];
    assert_eq!(printed(&run.command(&fixed)), "http://10.0.1.99");
    let reserved = ["endpoint", "--subnet", &subnet, "--address", "10.0.1.1"];
    assert!(complaint(&run.command(&reserved)).contains("InvalidParameterValue"));
    let unknown = complaint(&run.command(&["endpoint", "--subnet", "subnet-00000000"]));
    assert!(unknown.contains("InvalidSubnetID.NotFound"), "{unknown}");
}
