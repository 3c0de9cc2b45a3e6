"""Gateways, elastic addresses, routes, network ACLs and peering, as boto3 sees them."""

import os

import local_vpc
from local_vpc import create_eni, refused, run_instance

ANYWHERE = "0.0.0.0/0"
GONE = {
    "acl": "acl-0123456789abcdef0",
    "eigw": "eigw-0123456789abcdef0",
    "eip": "eipalloc-0123456789abcdef0",
    "igw": "igw-0123456789abcdef0",
    "nat": "nat-0123456789abcdef0",
    "pcx": "pcx-0123456789abcdef0",
}


def routes_of(ec2, table):
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return [
        {key: value for key, value in route.items() if key != "Origin"}
        for route in found["Routes"]
        if route["Origin"] == "CreateRoute"
    ]


def internet(ec2, vpc, subnet, table):
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidParameterValue"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("Resource.AlreadyAssociated"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    with refused("InvalidParameterValue"):
        ec2.attach_internet_gateway(InternetGatewayId=other, VpcId=vpc)
    with refused("Gateway.NotAttached"):
        ec2.detach_internet_gateway(InternetGatewayId=other, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=other)
    with refused("InvalidInternetGatewayID.NotFound"):
        ec2.delete_internet_gateway(InternetGatewayId=GONE["igw"])
    with refused("DependencyViolation"):
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
    (shown,) = ec2.describe_internet_gateways(
        Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}]
    )["InternetGateways"]
    assert shown["Attachments"] == [{"State": "available", "VpcId": vpc}], shown
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    expected = {"DestinationCidrBlock": ANYWHERE, "GatewayId": gateway, "State": "active"}
    assert routes_of(ec2, table) == [expected]
    return gateway


def addresses(ec2, vpc, subnet, gateway, table):
    allocated = ec2.allocate_address(Domain="vpc")
    allocation, public = allocated["AllocationId"], allocated["PublicIp"]
    eni = create_eni(ec2, subnet, SecondaryPrivateIpAddressCount=1)["NetworkInterfaceId"]
    enis = {"NetworkInterfaceIds": [eni]}
    with refused("InvalidAllocationID.NotFound"):
        ec2.associate_address(AllocationId=GONE["eip"], NetworkInterfaceId=eni)
    with refused("InvalidParameterValue"):
        ec2.associate_address(
            AllocationId=allocation, NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.200"
        )
    first = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)["AssociationId"]
    again = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)["AssociationId"]
    assert first == again, "the same call again changes nothing"
    (shown,) = ec2.describe_network_interfaces(**enis)["NetworkInterfaces"]
    primary, secondary = shown["PrivateIpAddresses"]
    assert shown["Association"]["PublicIp"] == public, shown
    assert primary["Association"]["AllocationId"] == allocation, primary
    assert "Association" not in secondary, secondary
    with refused("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=allocation)
    with refused("DependencyViolation"):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    move = {
        "AllocationId": allocation,
        "NetworkInterfaceId": eni,
        "PrivateIpAddress": secondary["PrivateIpAddress"],
    }
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_address(**move, AllowReassociation=False)
    ec2.associate_address(**move)
    (held,) = ec2.describe_addresses(PublicIps=[public])["Addresses"]
    assert held["PrivateIpAddress"] == secondary["PrivateIpAddress"], held
    ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=[secondary["PrivateIpAddress"]]
    )
    (held,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert "AssociationId" not in held, held
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_address(AssociationId=first)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    for _ in range(4):
        ec2.allocate_address(Domain="vpc")
    with refused("AddressLimitExceeded"):
        ec2.allocate_address(Domain="vpc")
    for each in ec2.describe_addresses()["Addresses"]:
        ec2.release_address(AllocationId=each["AllocationId"])
    with refused("InvalidAddress.NotFound"):
        ec2.describe_addresses(PublicIps=[public])


def public_launch(ec2, subnet):
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    instance = run_instance(ec2, subnet)["InstanceId"]
    (shown,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    (interface,) = shown["NetworkInterfaces"]
    assert shown["PublicIpAddress"] == interface["Association"]["PublicIp"], shown
    assert interface["Association"]["IpOwnerId"] == "amazon", interface
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    private = run_instance(ec2, subnet)["InstanceId"]
    (shown,) = ec2.describe_instances(InstanceIds=[private])["Reservations"][0]["Instances"]
    assert "PublicIpAddress" not in shown, shown
    ec2.terminate_instances(InstanceIds=[private])


def nat(ec2, subnet, table):
    with refused("MissingParameter"):
        ec2.create_nat_gateway(SubnetId=subnet)
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    with refused("InvalidParameterCombination"):
        ec2.create_nat_gateway(
            SubnetId=subnet, AllocationId=allocation, ConnectivityType="private"
        )
    lost = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=GONE["eip"])["NatGateway"]
    (lost,) = ec2.describe_nat_gateways(NatGatewayIds=[lost["NatGatewayId"]])["NatGateways"]
    assert (lost["State"], lost["FailureCode"]) == ("failed", "InvalidAllocationID.NotFound")
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation, ClientToken="once")
    gateway = made["NatGateway"]["NatGatewayId"]
    again = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation, ClientToken="once")
    assert again["NatGateway"]["NatGatewayId"] == gateway, again
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway])
    (shown,) = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
    (address,) = shown["NatGatewayAddresses"]
    (eni,) = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[address["NetworkInterfaceId"]]
    )["NetworkInterfaces"]
    assert (eni["InterfaceType"], eni["RequesterManaged"]) == ("nat_gateway", True), eni
    assert eni["Association"]["PublicIp"] == address["PublicIp"], (eni, address)
    with refused("OperationNotPermitted"):
        ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    twice = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)["NatGateway"]
    (twice,) = ec2.describe_nat_gateways(NatGatewayIds=[twice["NatGatewayId"]])["NatGateways"]
    assert twice["FailureCode"] == "Resource.AlreadyAssociated", twice
    to = {"RouteTableId": table, "DestinationCidrBlock": "192.168.0.0/16"}
    ec2.create_route(**to, NatGatewayId=gateway)
    with refused("RouteAlreadyExists"):
        ec2.create_route(**to, NatGatewayId=gateway)
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[gateway])
    assert [each["State"] for each in routes_of(ec2, table)] == ["active", "blackhole"]
    with refused("NatGatewayNotFound"):
        ec2.delete_nat_gateway(NatGatewayId=gateway)
    with refused("InvalidNatGatewayID.NotFound"):
        ec2.replace_route(**to, NatGatewayId=gateway)
    ec2.delete_route(**to)
    ec2.release_address(AllocationId=allocation)


def acls(ec2, vpc, subnet):
    of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (default,) = ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"]
    assert default["IsDefault"], default
    numbers = [(each["Egress"], each["RuleNumber"], each["RuleAction"]) for each in default["Entries"]]
    assert numbers == [
        (False, 100, "allow"),
        (False, 32767, "deny"),
        (True, 100, "allow"),
        (True, 32767, "deny"),
    ], numbers
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]
    assert [each["RuleNumber"] for each in acl["Entries"]] == [32767, 32767], acl
    acl = acl["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 200, "Egress": False}
    web = {
        "Protocol": "6",
        "RuleAction": "allow",
        "CidrBlock": "10.0.0.7/8",
        "PortRange": {"From": 80, "To": 81},
    }
    ec2.create_network_acl_entry(**entry, **web)
    with refused("NetworkAclEntryAlreadyExists"):
        ec2.create_network_acl_entry(**entry, **web)
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.replace_network_acl_entry(**(entry | {"Egress": True}), **web)
    with refused("InvalidParameterValue"):
        ec2.create_network_acl_entry(**(entry | {"RuleNumber": 32767}), **web)
    with refused("MissingParameter"):
        ec2.create_network_acl_entry(
            **(entry | {"RuleNumber": 1}), Protocol="17", RuleAction="deny", CidrBlock=ANYWHERE
        )
    for number in range(1, 20):
        ec2.create_network_acl_entry(**(entry | {"RuleNumber": number}), **web)
    with refused("NetworkAclEntryLimitExceeded"):
        ec2.create_network_acl_entry(**(entry | {"RuleNumber": 20}), **web)
    (shown,) = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    (last,) = [each for each in shown["Entries"] if each["RuleNumber"] == 200]
    assert last == entry_shown(entry, web), last
    association = default["Associations"][0]["NetworkAclAssociationId"]
    made = ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
    with refused("DependencyViolation"):
        ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidParameterValue"):
        ec2.delete_network_acl(NetworkAclId=default["NetworkAclId"])
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.delete_network_acl(NetworkAclId=GONE["acl"])
    ec2.replace_network_acl_association(
        AssociationId=made["NewAssociationId"], NetworkAclId=default["NetworkAclId"]
    )
    ec2.delete_network_acl_entry(**entry)
    ec2.delete_network_acl(NetworkAclId=acl)


def entry_shown(entry, web):
    shown = {key: value for key, value in entry.items() if key != "NetworkAclId"} | web
    return shown | {"CidrBlock": "10.0.0.0/8"}


def peering(ec2, vpc, table):
    clash = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    failed = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=clash)
    assert failed["VpcPeeringConnection"]["Status"]["Code"] == "failed", failed
    with refused("InvalidStateTransition"):
        ec2.accept_vpc_peering_connection(
            VpcPeeringConnectionId=failed["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        )
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)["VpcPeeringConnection"]
    id = {"VpcPeeringConnectionId": made["VpcPeeringConnectionId"]}
    assert made["Status"]["Code"] == "pending-acceptance", made
    with refused("VpcPeeringConnectionAlreadyExists"):
        ec2.create_vpc_peering_connection(VpcId=other, PeerVpcId=vpc)
    to = {"RouteTableId": table, "DestinationCidrBlock": "10.9.0.0/16"}
    ec2.create_route(**to, **id)
    assert routes_of(ec2, table)[-1]["State"] == "blackhole"
    ec2.accept_vpc_peering_connection(**id)
    (shown,) = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=list(id.values()))[
        "VpcPeeringConnections"
    ]
    assert shown["Status"]["Code"] == "active", shown
    assert routes_of(ec2, table)[-1]["State"] == "active"
    options = ec2.modify_vpc_peering_connection_options(
        **id, AccepterPeeringConnectionOptions={"AllowDnsResolutionFromRemoteVpc": True}
    )
    assert options["AccepterPeeringConnectionOptions"]["AllowDnsResolutionFromRemoteVpc"]
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=other)
    ec2.delete_vpc_peering_connection(**id)
    with refused("InvalidStateTransition"):
        ec2.delete_vpc_peering_connection(**id)
    with refused("InvalidVpcPeeringConnectionID.NotFound"):
        ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=GONE["pcx"])
    assert routes_of(ec2, table)[-1]["State"] == "blackhole"
    ec2.delete_route(**to)
    ec2.delete_vpc(VpcId=other)
    ec2.delete_vpc(VpcId=clash)


def more_routes(ec2, vpc, subnet, table, gateway):
    route = {"RouteTableId": table}
    within = "10.0.1.0/24"
    with refused("InvalidParameterValue"):
        ec2.create_route(**route, DestinationCidrBlock=within, GatewayId=gateway)
    with refused("InvalidParameterValue"):
        ec2.create_route(**route, DestinationCidrBlock="169.254.169.0/24", GatewayId=gateway)
    with refused("InvalidParameterValue"):
        ec2.create_route(
            **route, DestinationIpv6CidrBlock="fd00:ec2::/48", GatewayId=gateway
        )
    with refused("UnsupportedOperation"):
        ec2.create_route(
            **route, DestinationCidrBlock="1.0.0.0/8", TransitGatewayId="tgw-01234567"
        )
    with refused("MissingParameter"):
        ec2.create_route(**route, DestinationCidrBlock="1.0.0.0/8")
    with refused("InvalidParameterCombination"):
        ec2.create_route(
            **route,
            DestinationCidrBlock="1.0.0.0/8",
            DestinationIpv6CidrBlock="::/0",
            GatewayId=gateway,
        )
    egress = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    egress = {"EgressOnlyInternetGatewayId": egress["EgressOnlyInternetGatewayId"]}
    with refused("InvalidParameterValue"):
        ec2.create_route(**route, DestinationCidrBlock="1.0.0.0/8", **egress)
    ec2.create_route(**route, DestinationIpv6CidrBlock="::/0", **egress)
    ec2.delete_egress_only_internet_gateway(**egress)
    assert routes_of(ec2, table)[-1]["State"] == "blackhole"
    ec2.delete_route(**route, DestinationIpv6CidrBlock="::/0")
    eni = create_eni(ec2, subnet)["NetworkInterfaceId"]
    local = {"RouteTableId": table, "DestinationCidrBlock": "10.0.0.0/16"}
    ec2.replace_route(**local, NetworkInterfaceId=eni)
    with refused("InvalidParameterValue"):
        ec2.replace_route(**local, GatewayId=gateway)
    ec2.replace_route(**local, LocalTarget=True)
    with refused("InvalidParameterValue"):
        ec2.replace_route(**route, DestinationCidrBlock=ANYWHERE, LocalTarget=True)
    ec2.create_route(**route, DestinationCidrBlock=within, NetworkInterfaceId=eni)
    ec2.delete_route(**route, DestinationCidrBlock=within)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    prefixes = ec2.create_managed_prefix_list(
        PrefixListName="far", MaxEntries=49, AddressFamily="IPv4"
    )["PrefixList"]["PrefixListId"]
    with refused("RouteLimitExceeded"):
        ec2.create_route(**route, DestinationPrefixListId=prefixes, GatewayId=gateway)
    ec2.delete_managed_prefix_list(PrefixListId=prefixes)
    main = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    tables = ec2.describe_route_tables(**main)["RouteTables"]
    (old,) = [each for table in tables for each in table["Associations"] if each["Main"]]
    made = ec2.replace_route_table_association(
        AssociationId=old["RouteTableAssociationId"], RouteTableId=table
    )
    (new,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Associations"]
    assert (new["RouteTableAssociationId"], new["Main"]) == (made["NewAssociationId"], True)
    ec2.replace_route_table_association(
        AssociationId=made["NewAssociationId"], RouteTableId=old["RouteTableId"]
    )


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    gateway = internet(ec2, vpc, subnet, table)
    addresses(ec2, vpc, subnet, gateway, table)
    public_launch(ec2, subnet)
    nat(ec2, subnet, table)
    acls(ec2, vpc, subnet)
    peering(ec2, vpc, table)
    more_routes(ec2, vpc, subnet, table, gateway)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert [each["State"] for each in routes_of(ec2, table)] == ["blackhole"]
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    slow = local_vpc.client(endpoint=os.environ["REALISTIC_ENDPOINT"])
    vpc, (subnet,) = local_vpc.network(slow)
    made = slow.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]
    assert made["State"] == "pending", made


main()
