//! A run with everything that leads out of a VPC, whose server is killed and goes on.

use std::net::{SocketAddr, UdpSocket};

use rustix::process::Signal;

use crate::{
    gateways::{
        behind_nat, caller, default_route, elastic_address, far_peer, seen, somebody, table_of,
    },
    run::{Run, inside, wait_for},
};

/// As whom somebody outside sees a socket, who may have to be asked again on a slow machine.
fn answer(socket: &UdpSocket) -> SocketAddr {
    wait_for("an answer from outside", || seen(socket))
}

/// Has the default network ACL of a VPC refuse what leaves for a TCP port.
fn refuse_port(run: &Run, vpc: &str, port: &str) {
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    let acl = run.ec2.ask("DescribeNetworkAcls", &of_vpc, "networkAclId");
    let entry = [
        ("NetworkAclId", acl.as_str()),
        ("RuleNumber", "50"),
        ("Protocol", "6"),
        ("RuleAction", "deny"),
        ("Egress", "true"),
        ("CidrBlock", "10.9.0.0/16"),
        ("PortRange.From", port),
        ("PortRange.To", port),
    ];
    run.ec2.call("CreateNetworkAclEntry", &entry);
}

#[test]
fn what_leads_out_of_a_vpc_outlives_the_server() {
    let mut run = Run::start();
    somebody(&run);
    let (vpc, public) = run.ec2.vpc_with_subnet();
    let (private, _, nat_address) = behind_nat(&run, &vpc, &public);
    let (hidden, _) = run.ec2.instance(&private);
    let (shown, _) = run.ec2.instance(&public);
    let (allocation, own_address) = elastic_address(&run);
    let associate = [
        ("AllocationId", allocation.as_str()),
        ("InstanceId", &shown),
    ];
    run.ec2.call("AssociateAddress", &associate);
    let (far, _) = far_peer(&run, &vpc);
    refuse_port(&run, &vpc, "82");
    // curl's codes: 7 when the far instance refuses, 28 when nothing comes back.
    let dial = |port, patience| {
        let url = format!("http://{far}:{port}");
        inside(&shown, &["curl", "-s", "-m", patience, &url])
    };
    let dials = || [dial("81", "10"), dial("82", "1")];
    let session = caller(&hidden);
    let own = caller(&shown);
    let before = (answer(&session), answer(&own));
    let addresses = (before.0.ip().to_string(), before.1.ip().to_string());
    assert_eq!(addresses, (nat_address, own_address));
    assert_eq!(dials(), [Err(Some(7)), Err(Some(28))]);

    run.end(Signal::KILL);
    // The NAT gateway's port is the session's.
    assert_eq!((answer(&session), answer(&own)), before);
    run.go_on(&[]);
    assert_eq!((answer(&session), answer(&own)), before);
    assert_eq!(dials(), [Err(Some(7)), Err(Some(28))]);

    // Another session has a port of its own, and what is asked for now is done.
    let another = answer(&caller(&hidden));
    assert_eq!(another.ip(), before.0.ip());
    assert_ne!(another, before.0);
    let blackhole = [
        ("RouteTableId", table_of(&run, &vpc)),
        ("DestinationCidrBlock", "0.0.0.0/0".to_owned()),
    ];
    let blackhole = blackhole
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    run.ec2.call("DeleteRoute", &blackhole);
    assert_eq!(seen(&caller(&shown)), None);
    let gateway = run
        .ec2
        .ask("DescribeInternetGateways", &[], "internetGatewayId");
    default_route(&run, &table_of(&run, &vpc), ("GatewayId", &gateway));
    assert_eq!(answer(&own), before.1);
}
