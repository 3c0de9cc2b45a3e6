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
pub(crate) fn somebody(run: &Run) {
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

/// A socket of an instance that speaks to somebody outside.
pub(crate) fn caller(instance: &str) -> UdpSocket {
    let bind = || UdpSocket::bind("0.0.0.0:0").unwrap();
    let socket = netns::run_in(namespace(instance).as_fd(), bind).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect((SOMEBODY, 7)).unwrap();
    socket
}

/// As whom somebody outside sees a socket; `None` when nothing comes back.
pub(crate) fn seen(socket: &UdpSocket) -> Option<SocketAddr> {
    socket.send(b"who?").unwrap();
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).ok()?;
    let text = std::str::from_utf8(&answer[..length]).unwrap();
    Some(text.parse().unwrap())
}

/// As whom somebody outside sees an instance; `None` when nothing comes back.
fn seen_as(instance: &str) -> Option<SocketAddr> {
    seen(&caller(instance))
}

/// An internet gateway of the VPC.
pub(crate) fn internet_gateway(run: &Run, vpc: &str) -> String {
    let gateway = run
        .ec2
        .ask("CreateInternetGateway", &[], "internetGatewayId");
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", vpc)];
    run.ec2.call("AttachInternetGateway", &attach);
    gateway
}

/// An elastic address: its allocation, and itself.
pub(crate) fn elastic_address(run: &Run) -> (String, String) {
    let answer = run.ec2.call("AllocateAddress", &[]);
    let field = |tag| crate::ec2::text_of(&answer, tag).unwrap();
    (field("allocationId"), field("publicIp"))
}

pub(crate) fn default_route(run: &Run, table: &str, target: (&str, &str)) {
    let route = [
        ("RouteTableId", table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        target,
    ];
    run.ec2.call("CreateRoute", &route);
}

/// The main route table of a VPC.
pub(crate) fn table_of(run: &Run, vpc: &str) -> String {
    let main = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc),
        ("Filter.2.Name", "association.main"),
        ("Filter.2.Value.1", "true"),
    ];
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

/// A private subnet 10.0.2.0/24 whose way out is a NAT gateway in a public one; answers it, the
/// gateway and its address.
pub(crate) fn behind_nat(run: &Run, vpc: &str, public: &str) -> (String, String, String) {
    let within = [("VpcId", vpc), ("CidrBlock", "10.0.2.0/24")];
    let private = run.ec2.ask("CreateSubnet", &within, "subnetId");
    let gateway = internet_gateway(run, vpc);
    let main = table_of(run, vpc);
    default_route(run, &main, ("GatewayId", &gateway));
    let (allocation, address) = elastic_address(run);
    let nat = [("SubnetId", public), ("AllocationId", &allocation)];
    let nat = run.ec2.ask("CreateNatGateway", &nat, "natGatewayId");
    let table = run
        .ec2
        .ask("CreateRouteTable", &[("VpcId", vpc)], "routeTableId");
    let associate = [("RouteTableId", table.as_str()), ("SubnetId", &private)];
    run.ec2.call("AssociateRouteTable", &associate);
    default_route(run, &table, ("NatGatewayId", &nat));
    (private, nat, address)
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
    let (private, nat, address) = behind_nat(&run, &vpc, &public);
    let instances = [run.ec2.instance(&private).0, run.ec2.instance(&private).0];
    for instance in &instances {
        let seen = seen_as(instance).map(|seen| seen.ip().to_string());
        assert_eq!(seen, Some(address.clone()));
    }
    run.ec2.call("DeleteNatGateway", &[("NatGatewayId", &nat)]);
    assert_eq!(seen_as(&instances[0]), None);
}

/// An instance in a VPC 10.9.0.0/16 that is a peer of this one, which it lets in; answers its
/// address and the peering.
pub(crate) fn far_peer(run: &Run, vpc: &str) -> (String, String) {
    let other = run
        .ec2
        .ask("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId");
    let within = [("VpcId", other.as_str()), ("CidrBlock", "10.9.1.0/24")];
    let far_subnet = run.ec2.ask("CreateSubnet", &within, "subnetId");
    let (_, address) = run.ec2.instance(&far_subnet);
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
    let peers = [("VpcId", vpc), ("PeerVpcId", &other)];
    let peering = run.ec2.ask(
        "CreateVpcPeeringConnection",
        &peers,
        "vpcPeeringConnectionId",
    );
    let accept = [("VpcPeeringConnectionId", peering.as_str())];
    run.ec2.call("AcceptVpcPeeringConnection", &accept);
    for (from, block) in [(vpc, "10.9.0.0/16"), (other.as_str(), "10.0.0.0/16")] {
        let table = table_of(run, from);
        let route = [
            ("RouteTableId", table.as_str()),
            ("DestinationCidrBlock", block),
            ("VpcPeeringConnectionId", &peering),
        ];
        run.ec2.call("CreateRoute", &route);
    }
    (address, peering)
}

#[test]
fn accepted_peers_reach_each_other_by_their_routes() {
    let run = Run::start();
    let (vpc, subnet) = run.ec2.vpc_with_subnet();
    let (one, _) = run.ec2.instance(&subnet);
    let (address, peering) = far_peer(&run, &vpc);
    let accept = [("VpcPeeringConnectionId", peering.as_str())];
    // curl's code 7: the connection was refused, by the far instance itself.
    let url = format!("http://{address}:81");
    let dial = || inside(&one, &["curl", "-s", "-m", "1", &url]);
    assert_eq!(dial(), Err(Some(7)));
    run.ec2.call("DeleteVpcPeeringConnection", &accept);
    assert_eq!(dial(), Err(Some(28)));
}
