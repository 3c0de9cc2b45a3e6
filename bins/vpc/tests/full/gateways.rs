//! Gateways as calls make them: instances and the world outside.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use underlay_netlink::netns;

use crate::run::{Run, inside, namespace, printed};

const SOMEBODY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PATIENCE: Duration = Duration::from_millis(500);

/// Somebody outside who answers with the address that a datagram came from.
fn somebody(run: &Run) {
    let path = printed(&run.command(&["outside"]));
    let name = path.rsplit('/').next().unwrap();
    let bind = || UdpSocket::bind((SOMEBODY, 7)).unwrap();
    let socket = netns::run_in(namespace(name).as_fd(), bind).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(from.to_string().as_bytes(), from).ok();
        }
    });
}

/// As whom somebody outside sees an instance; `None` when nothing comes back.
fn seen_as(instance: &str) -> Option<SocketAddr> {
    netns::run_in(namespace(instance).as_fd(), || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect((SOMEBODY, 7)).unwrap();
        socket.send(b"who?").unwrap();
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer).ok()?;
        let text = std::str::from_utf8(&answer[..length]).unwrap();
        Some(text.parse().unwrap())
    })
    .unwrap()
}

/// An internet gateway of the VPC.
fn internet_gateway(run: &Run, vpc: &str) -> String {
    let gateway = run
        .ec2
        .ask("CreateInternetGateway", &[], "internetGatewayId");
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", vpc)];
    run.ec2.call("AttachInternetGateway", &attach);
    gateway
}

fn elastic_address(run: &Run) -> (String, String) {
    let answer = run.ec2.call("AllocateAddress", &[]);
    let field = |tag| crate::ec2::text_of(&answer, tag).unwrap();
    (field("allocationId"), field("publicIp"))
}

fn default_route(run: &Run, table: &str, target: (&str, &str)) {
    let route = [
        ("RouteTableId", table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        target,
    ];
    run.ec2.call("CreateRoute", &route);
}

fn table_of(run: &Run, vpc: &str) -> String {
    let main = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    run.ec2.ask("DescribeRouteTables", &main, "routeTableId")
}

#[test]
fn an_instance_with_an_elastic_address_reaches_the_internet_as_it() {
    let run = Run::start();
    somebody(&run);
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let gateway = internet_gateway(&run, &vpc);
    let table = table_of(&run, &vpc);
    default_route(&run, &table, ("GatewayId", &gateway));
    assert_eq!(seen_as(&instance), None);
    let (allocation, public) = elastic_address(&run);
    let associate = [
        ("AllocationId", allocation.as_str()),
        ("InstanceId", &instance),
    ];
    let association = run.ec2.ask("AssociateAddress", &associate, "associationId");
    let seen = seen_as(&instance).map(|seen| seen.ip().to_string());
    assert_eq!(seen, Some(public));
    run.ec2
        .call("DisassociateAddress", &[("AssociationId", &association)]);
    assert_eq!(seen_as(&instance), None);
}

#[test]
fn a_route_to_a_prefix_list_means_its_blocks_as_they_are_now() {
    let run = Run::start();
    somebody(&run);
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let (instance, _) = run.ec2.instance(&subnet);
    let gateway = internet_gateway(&run, &vpc);
    let (allocation, _) = elastic_address(&run);
    let associate = [
        ("AllocationId", allocation.as_str()),
        ("InstanceId", &instance),
    ];
    run.ec2.call("AssociateAddress", &associate);
    let list = [
        ("PrefixListName", "somebody"),
        ("AddressFamily", "IPv4"),
        ("MaxEntries", "5"),
        ("Entry.1.Cidr", "198.51.100.0/24"),
    ];
    let list = run
        .ec2
        .ask("CreateManagedPrefixList", &list, "prefixListId");
    let table = table_of(&run, &vpc);
    let route = [
        ("RouteTableId", table.as_str()),
        ("DestinationPrefixListId", &list),
        ("GatewayId", &gateway),
    ];
    run.ec2.call("CreateRoute", &route);
    assert_eq!(seen_as(&instance), None, "it is not in the list");
    let change = |version, what| {
        let change = [
            ("PrefixListId", list.as_str()),
            ("CurrentVersion", version),
            (what, "203.0.113.0/24"),
        ];
        run.ec2.call("ModifyManagedPrefixList", &change);
    };
    change("1", "AddEntry.1.Cidr");
    assert!(seen_as(&instance).is_some());
    change("2", "RemoveEntry.1.Cidr");
    assert_eq!(seen_as(&instance), None);
}

#[test]
fn instances_behind_a_nat_gateway_share_its_address() {
    let run = Run::start();
    somebody(&run);
    let (vpc, public) = run.ec2.vpc_with_subnet();
    let within = [("VpcId", vpc.as_str()), ("CidrBlock", "10.0.2.0/24")];
    let private = run.ec2.ask("CreateSubnet", &within, "subnetId");
    let gateway = internet_gateway(&run, &vpc);
    let main = table_of(&run, &vpc);
    default_route(&run, &main, ("GatewayId", &gateway));
    let (allocation, address) = elastic_address(&run);
    let nat = [("SubnetId", public.as_str()), ("AllocationId", &allocation)];
    let nat = run.ec2.ask("CreateNatGateway", &nat, "natGatewayId");
    let table = run
        .ec2
        .ask("CreateRouteTable", &[("VpcId", &vpc)], "routeTableId");
    let associate = [("RouteTableId", table.as_str()), ("SubnetId", &private)];
    run.ec2.call("AssociateRouteTable", &associate);
    default_route(&run, &table, ("NatGatewayId", &nat));
    let instances = [run.ec2.instance(&private).0, run.ec2.instance(&private).0];
    for instance in &instances {
        let seen = seen_as(instance).map(|seen| seen.ip().to_string());
        assert_eq!(seen, Some(address.clone()));
    }
    run.ec2.call("DeleteNatGateway", &[("NatGatewayId", &nat)]);
    assert_eq!(seen_as(&instances[0]), None);
}

#[test]
fn accepted_peers_reach_each_other_by_their_routes() {
    let run = Run::start();
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let other = run
        .ec2
        .ask("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId");
    let within = [("VpcId", other.as_str()), ("CidrBlock", "10.9.1.0/24")];
    let far_subnet = run.ec2.ask("CreateSubnet", &within, "subnetId");
    let ((one, _), (far, address)) = (run.ec2.instance(&subnet), run.ec2.instance(&far_subnet));
    let group = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", other.as_str()),
    ];
    let group = run.ec2.ask("DescribeSecurityGroups", &group, "groupId");
    let open = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/16"),
    ];
    run.ec2.call("AuthorizeSecurityGroupIngress", &open);
    let peers = [("VpcId", vpc.as_str()), ("PeerVpcId", &other)];
    let peering = run.ec2.ask(
        "CreateVpcPeeringConnection",
        &peers,
        "vpcPeeringConnectionId",
    );
    let accept = [("VpcPeeringConnectionId", peering.as_str())];
    run.ec2.call("AcceptVpcPeeringConnection", &accept);
    for (from, block) in [(&vpc, "10.9.0.0/16"), (&other, "10.0.0.0/16")] {
        let table = table_of(&run, from);
        let route = [
            ("RouteTableId", table.as_str()),
            ("DestinationCidrBlock", block),
            ("VpcPeeringConnectionId", &peering),
        ];
        run.ec2.call("CreateRoute", &route);
    }
    // curl's code 7: the connection was refused, by the far instance itself.
    let url = format!("http://{address}:81");
    let dial = || inside(&one, &["curl", "-s", "-m", "1", &url]);
    assert_eq!(dial(), Err(Some(7)), "{far}");
    run.ec2.call("DeleteVpcPeeringConnection", &accept);
    assert_eq!(dial(), Err(Some(28)));
}
