"""What another emulator gets wrong, one test for each: where it accepts, forgets or makes up, this
VPC refuses, remembers or counts. The names say what was seen there."""

import os

import local_vpc
from local_vpc import addresses, create_eni, refused, run_instance

ANY = [{"CidrIp": "0.0.0.0/0"}]


def overlapping_block_of_a_vpc_accepted(ec2, vpc, subnet):
    with refused("InvalidVpc.Range"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.0.128.0/17")


def subnet_of_29_accepted(ec2, vpc, subnet):
    with refused("InvalidSubnet.Range"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.77.0/29")


def max_results_ignored(ec2, vpc, subnet):
    for operation, key in [
        (ec2.describe_subnets, "Subnets"),
        (ec2.describe_security_groups, "SecurityGroups"),
        (ec2.describe_network_interfaces, "NetworkInterfaces"),
        (ec2.describe_instance_types, "InstanceTypes"),
    ]:
        for _ in range(6):
            create_eni(ec2, subnet)
            ec2.create_security_group(
                GroupName=os.urandom(8).hex(), Description="one of many", VpcId=vpc
            )
        if key == "Subnets":
            for third in range(100, 106):
                ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{third}.0/24")
        page = operation(MaxResults=5)
        assert len(page[key]) == 5 and page["NextToken"], key


def free_addresses_negative_and_a_full_subnet_a_server_error(ec2, vpc, subnet):
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.78.0/28")["Subnet"]["SubnetId"]
    for left in range(10, -1, -1):
        create_eni(ec2, small)
        (shown,) = ec2.describe_subnets(SubnetIds=[small])["Subnets"]
        assert shown["AvailableIpAddressCount"] == left, shown
    with refused("InsufficientFreeAddressesInSubnet"):
        create_eni(ec2, small)
    with refused("InsufficientFreeAddressesInSubnet"):
        run_instance(ec2, small)


def rules_of_nonsense_accepted(ec2, vpc, subnet):
    group = ec2.create_security_group(GroupName="odd", Description="odd", VpcId=vpc)["GroupId"]

    def allow(**rule):
        return ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    ports = {"FromPort": 1, "ToPort": 2}
    with refused("InvalidParameterValue"):
        allow(IpProtocol="foo", IpRanges=ANY, **ports)
    with refused("InvalidPrefixListID.NotFound"):
        allow(IpProtocol="tcp", PrefixListIds=[{"PrefixListId": "pl-0123456789abcdef0"}], **ports)
    allow(IpProtocol="tcp", IpRanges=[{"CidrIp": "10.0.0.1/8"}], **ports)
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/8"}], shown


def rules_of_a_group_limited_at_another_number(ec2, vpc, subnet):
    group = ec2.create_security_group(GroupName="many", Description="many", VpcId=vpc)["GroupId"]

    def allow(first, count):
        ranges = [{"CidrIp": f"10.1.{n}.0/24"} for n in range(first, first + count)]
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": ranges}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    with refused("RulesPerSecurityGroupLimitExceeded"):
        allow(0, 61)
    allow(0, 60)
    with refused("RulesPerSecurityGroupLimitExceeded"):
        allow(60, 1)


def group_deleted_while_a_rule_names_it(ec2, vpc, subnet):
    named, naming = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("named", "naming")
    )
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": named}]}
    ec2.authorize_security_group_ingress(GroupId=naming, IpPermissions=[rule])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=named)


def unknown_type_and_image_launched(ec2, vpc, subnet):
    with refused("InvalidParameterValue", "Invalid value 'm5.gigantic' for InstanceType."):
        run_instance(ec2, subnet, kind="m5.gigantic")
    with refused("InvalidAMIID.NotFound"):
        ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            InstanceType="m5.large",
            SubnetId=subnet,
            MinCount=1,
            MaxCount=1,
        )


def primary_interface_outlives_its_instance(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet)
    (primary,) = instance["NetworkInterfaces"]
    assert primary["Attachment"]["DeleteOnTermination"] is True
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[primary["NetworkInterfaceId"]])


def addresses_taken_reserved_and_of_elsewhere_accepted(ec2, vpc, subnet):
    create_eni(ec2, subnet, PrivateIpAddress="10.0.1.200")
    with refused("InvalidIPAddress.InUse"):
        create_eni(ec2, subnet, PrivateIpAddress="10.0.1.200")
    for bad in ("10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.255", "10.0.2.4"):
        with refused("InvalidParameterValue"):
            create_eni(ec2, subnet, PrivateIpAddress=bad)
    several = addresses(create_eni(ec2, subnet, SecondaryPrivateIpAddressCount=20))
    last = [int(address.rsplit(".", 1)[1]) for address in several]
    assert len(set(last)) == 21 and min(last) > 3 and max(last) < 255, several


def prefixes_ignored(ec2, vpc, subnet):
    eni = create_eni(ec2, subnet, Ipv4PrefixCount=1)
    assert len(eni["Ipv4Prefixes"]) == 1, eni
    more = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni["NetworkInterfaceId"], Ipv4PrefixCount=2
    )
    assert len(more["AssignedIpv4Prefixes"]) == 2, more


def unknown_group_made_up_and_six_groups_accepted(ec2, vpc, subnet):
    with refused("InvalidGroup.NotFound"):
        create_eni(ec2, subnet, Groups=["sg-0123456789abcdef0"])
    groups = [
        ec2.create_security_group(GroupName=f"six-{n}", Description="six", VpcId=vpc)["GroupId"]
        for n in range(6)
    ]
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        create_eni(ec2, subnet, Groups=groups)


def client_token_ignored(ec2, vpc, subnet):
    one, two = (create_eni(ec2, subnet, ClientToken="oracle") for _ in range(2))
    assert one["NetworkInterfaceId"] == two["NetworkInterfaceId"]


def interface_available_at_once(ec2, vpc, subnet):
    eni = create_eni(ec2, subnet)
    assert eni["Status"] == "pending", eni
    waiter = ec2.get_waiter("network_interface_available")
    waiter.wait(NetworkInterfaceIds=[eni["NetworkInterfaceId"]])


def attachments_without_limits(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet)["InstanceId"]
    away = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.79.0/24", AvailabilityZone="us-east-1b"
    )["Subnet"]["SubnetId"]

    def attach(eni, index, **more):
        return ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index, **more
        )

    enis = [create_eni(ec2, subnet)["NetworkInterfaceId"] for _ in range(3)]
    attach(enis[0], 1)
    with refused("InvalidNetworkInterface.InUse"):
        attach(enis[0], 2)
    with refused("InvalidParameterValue"):
        attach(enis[1], 1)
    with refused("InvalidParameterValue"):
        attach(enis[1], 2, NetworkCardIndex=1)
    with refused("InvalidParameterCombination"):
        attach(create_eni(ec2, away)["NetworkInterfaceId"], 2)
    attach(enis[1], 2)
    with refused("AttachmentLimitExceeded", "Interface count 4 exceeds the limit for m5.large"):
        attach(enis[2], 3)
    text = f"Network interface '{enis[0]}' is currently in use."
    with refused("InvalidParameterValue", text):
        ec2.delete_network_interface(NetworkInterfaceId=enis[0])


def assign_lists_everything_and_the_primary_can_go(ec2, vpc, subnet):
    eni = create_eni(ec2, subnet, PrivateIpAddress="10.0.1.210")["NetworkInterfaceId"]
    new = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.211"]
    )
    assert [each["PrivateIpAddress"] for each in new["AssignedPrivateIpAddresses"]] == [
        "10.0.1.211"
    ]
    for bad in ("10.0.1.210", "10.0.1.212"):
        with refused("InvalidParameterValue"):
            ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[bad])


def groups_of_another_vpc_accepted_and_added_up(ec2, vpc, subnet):
    other = ec2.create_vpc(CidrBlock="10.200.0.0/16")["Vpc"]["VpcId"]
    foreign, own = (
        ec2.create_security_group(GroupName="of", Description="of", VpcId=where)["GroupId"]
        for where in (other, vpc)
    )
    (primary,) = run_instance(ec2, subnet)["NetworkInterfaces"]
    eni = primary["NetworkInterfaceId"]
    try:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[foreign])
    except ec2.exceptions.ClientError:
        pass
    else:
        raise AssertionError("a group of another VPC was accepted")
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[own])
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert [group["GroupId"] for group in shown["Groups"]] == [own]


def deletion_at_termination_not_changed(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet)
    (primary,) = instance["NetworkInterfaces"]
    eni, held = primary["NetworkInterfaceId"], primary["Attachment"]["AttachmentId"]
    keep = {"AttachmentId": held, "DeleteOnTermination": False}
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Attachment=keep)
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert (shown["Status"], shown.get("Attachment")) == ("available", None), shown


def filters_a_server_error(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet)["InstanceId"]
    found = ec2.describe_network_interfaces(
        Filters=[
            {"Name": "attachment.instance-id", "Values": [instance]},
            {"Name": "attachment.device-index", "Values": ["0"]},
            {"Name": "attachment.status", "Values": ["attached"]},
        ]
    )["NetworkInterfaces"]
    assert len(found) == 1
    with refused("InvalidParameterValue"):
        ec2.describe_network_interfaces(Filters=[{"Name": "bogus", "Values": ["x"]}])


def flow_log_of_a_bogus_field_accepted_and_its_options_dropped(ec2, vpc, subnet):
    to = {
        "ResourceIds": [vpc],
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogDestinationType": "s3",
        "LogDestination": "arn:aws:s3:::logs",
        "DestinationOptions": {"FileFormat": "parquet", "PerHourPartition": True},
    }
    with refused("InvalidParameter"):
        ec2.create_flow_logs(LogFormat="${bogus}", **to)
    (log,) = ec2.describe_flow_logs(FlowLogIds=ec2.create_flow_logs(**to)["FlowLogIds"])["FlowLogs"]
    assert log["DestinationOptions"]["FileFormat"] == "parquet", log


def routes_overwritten_without_target_and_instead_of_local(ec2, vpc, subnet):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    one, two = (create_eni(ec2, subnet)["NetworkInterfaceId"] for _ in range(2))

    def route(destination, **target):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, **target)

    route("192.168.0.0/16", NetworkInterfaceId=one)
    with refused("RouteAlreadyExists"):
        route("192.168.0.0/16", NetworkInterfaceId=two)
    with refused("RouteAlreadyExists"):
        route("10.0.0.0/16", NetworkInterfaceId=two)
    with refused("MissingParameter"):
        route("172.16.0.0/12")


def reserved_tags_accepted_and_the_wrong_code_for_no_interface(ec2, vpc, subnet):
    with refused("InvalidParameterValue"):
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "aws:x", "Value": "y"}])
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.create_tags(Resources=["eni-0123456789abcdef0"], Tags=[{"Key": "x", "Value": "y"}])


def metadata_options_change_while_the_instance_runs(ec2, vpc, subnet):
    """Not of the list, but as easily stored and forgotten."""
    instance = run_instance(ec2, subnet)["InstanceId"]
    wanted = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}
    answer = ec2.modify_instance_metadata_options(InstanceId=instance, **wanted)
    assert answer["InstanceMetadataOptions"]["State"] == "pending", answer
    ec2.modify_instance_metadata_options(InstanceId=instance, InstanceMetadataTags="enabled")
    (shown,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert shown["MetadataOptions"] == {
        **wanted,
        "State": "applied",
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "enabled",
    }, shown["MetadataOptions"]
    for bad in ({"HttpPutResponseHopLimit": 65}, {"HttpTokens": "perhaps"}):
        with refused("InvalidParameterValue"):
            ec2.modify_instance_metadata_options(InstanceId=instance, **bad)
    with refused("InvalidInstanceID.NotFound"):
        ec2.modify_instance_metadata_options(InstanceId="i-0123456789abcdef0")
    ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        ec2.modify_instance_metadata_options(InstanceId=instance, **wanted)


def reservations_unchecked_and_not_honoured_by_any_allocator(ec2, vpc, subnet):
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.80.0/26")["Subnet"]["SubnetId"]

    def reserve(cidr, kind):
        return ec2.create_subnet_cidr_reservation(
            SubnetId=small, Cidr=cidr, ReservationType=kind
        )

    reserve("10.0.80.16/28", "explicit")
    reserve("10.0.80.32/28", "prefix")
    with refused("InvalidParameterValue"):
        reserve("10.0.80.24/29", "explicit")
    with refused("InvalidParameterValue"):
        reserve("10.0.81.0/28", "explicit")
    for _ in range(20):
        (taken,) = addresses(create_eni(ec2, small))
        assert not 16 <= int(taken.rsplit(".", 1)[1]) < 48, taken
    eni = create_eni(ec2, small, PrivateIpAddress="10.0.80.16")["NetworkInterfaceId"]
    prefix = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=1)
    assert prefix["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": "10.0.80.32/28"}], prefix


def trunk_silently_an_interface(ec2, vpc, subnet):
    trunk = create_eni(ec2, subnet, InterfaceType="trunk")
    assert trunk["InterfaceType"] == "trunk", trunk
    branch = create_eni(ec2, subnet)["NetworkInterfaceId"]
    held = ec2.associate_trunk_interface(
        BranchInterfaceId=branch,
        TrunkInterfaceId=trunk["NetworkInterfaceId"],
        VlanId=7,
    )["InterfaceAssociation"]
    (shown,) = ec2.describe_trunk_interface_associations(
        AssociationIds=[held["AssociationId"]]
    )["InterfaceAssociations"]
    assert (shown["BranchInterfaceId"], shown["VlanId"]) == (branch, 7), shown


def ipv6_prefixes_ignored_everything_listed_and_a_server_error_without_ipv6(ec2, vpc, subnet):
    eni = create_eni(ec2, subnet)["NetworkInterfaceId"]
    with refused("InvalidParameterValue"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    (network,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    (block,) = network["Ipv6CidrBlockAssociationSet"]
    dual = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.82.0/24",
        Ipv6CidrBlock=block["Ipv6CidrBlock"].replace("/56", "/64"),
    )["Subnet"]
    (held,) = dual["Ipv6CidrBlockAssociationSet"]
    assert held["Ipv6CidrBlockState"] == {"State": "associated"}, held
    eni = create_eni(ec2, dual["SubnetId"], Ipv6AddressCount=1)["NetworkInterfaceId"]
    new = ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    assert len(new["AssignedIpv6Addresses"]) == 1, new
    new = ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6PrefixCount=1)
    assert len(new["AssignedIpv6Prefixes"]) == 1 and not new["AssignedIpv6Addresses"], new
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert len(shown["Ipv6Addresses"]) == 2 and len(shown["Ipv6Prefixes"]) == 1, shown


def prefixes_not_unassigned_and_reassignment_not_read(ec2, vpc, subnet):
    one, two = (create_eni(ec2, subnet)["NetworkInterfaceId"] for _ in range(2))
    ec2.assign_private_ip_addresses(NetworkInterfaceId=one, Ipv4Prefixes=["10.0.1.224/28"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=one, Ipv4Prefixes=["10.0.1.224/28"])
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[one])["NetworkInterfaces"]
    assert not shown.get("Ipv4Prefixes"), shown
    moved = {"PrivateIpAddresses": ["10.0.1.220"]}
    ec2.assign_private_ip_addresses(NetworkInterfaceId=one, **moved)
    with refused("InvalidIPAddress.InUse"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=two, **moved)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=two, AllowReassignment=True, **moved)
    (shown,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": ["10.0.1.220"]}]
    )["NetworkInterfaces"]
    assert shown["NetworkInterfaceId"] == two, shown


def nat_gateway_at_once_with_an_address_outside_its_subnet(ec2, vpc, subnet):
    slow = local_vpc.client(endpoint=os.environ["DRIVEN_ENDPOINT"])
    _, (own,) = local_vpc.network(slow)
    made = slow.create_nat_gateway(SubnetId=own, ConnectivityType="private")["NatGateway"]
    assert made["State"] == "pending", made
    made = ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]
    (shown,) = ec2.describe_nat_gateways(NatGatewayIds=[made["NatGatewayId"]])["NatGateways"]
    (address,) = shown["NatGatewayAddresses"]
    assert address["PrivateIp"].startswith("10.0.1."), shown
    with refused("InvalidParameterValue"):
        ec2.create_nat_gateway(
            SubnetId=subnet, ConnectivityType="private", PrivateIpAddress="10.0.2.9"
        )


def network_acl_without_its_deny_entries(ec2, vpc, subnet):
    entries = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["Entries"]
    shown = [(each["Egress"], each["RuleNumber"], each["RuleAction"]) for each in entries]
    for direction in (False, True):
        assert (direction, 32767, "deny") in shown, shown
    assert {action for _, _, action in shown} == {"deny"}, shown


def public_address_of_the_loopback_network(ec2, vpc, subnet):
    public = ec2.allocate_address(Domain="vpc")["PublicIp"]
    assert public.startswith(("198.18.", "198.19.")), public


def interfaces_in_use_on_a_terminated_instance(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet)["InstanceId"]
    eni = create_eni(ec2, subnet)["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
    ec2.terminate_instances(InstanceIds=[instance])
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert (shown["Status"], shown.get("Attachment")) == ("available", None), shown
    assert not ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["NetworkInterfaces"]


def missing_actions_a_page_of_html(ec2, vpc, subnet):
    group = ec2.create_security_group(GroupName="ref", Description="x", VpcId=vpc)["GroupId"]
    assert ec2.describe_security_group_references(GroupId=[group])["SecurityGroupReferenceSet"] == []
    found = ec2.get_security_groups_for_vpc(VpcId=vpc)["SecurityGroupForVpcs"]
    assert group in [each["GroupId"] for each in found]
    with refused("InvalidAction"):
        ec2.describe_transit_gateways()


def nothing_throttled(ec2, vpc, subnet):
    """By a clock that stands no token comes back: the burst is all there is."""
    slow = local_vpc.client(endpoint=os.environ["DRIVEN_ENDPOINT"])
    for _ in range(100):
        slow.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["*"]}])
    with refused("RequestLimitExceeded", status=503):
        slow.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["*"]}])


TESTS = [
    overlapping_block_of_a_vpc_accepted,
    subnet_of_29_accepted,
    max_results_ignored,
    free_addresses_negative_and_a_full_subnet_a_server_error,
    rules_of_nonsense_accepted,
    rules_of_a_group_limited_at_another_number,
    group_deleted_while_a_rule_names_it,
    unknown_type_and_image_launched,
    primary_interface_outlives_its_instance,
    addresses_taken_reserved_and_of_elsewhere_accepted,
    prefixes_ignored,
    unknown_group_made_up_and_six_groups_accepted,
    client_token_ignored,
    interface_available_at_once,
    attachments_without_limits,
    assign_lists_everything_and_the_primary_can_go,
    groups_of_another_vpc_accepted_and_added_up,
    deletion_at_termination_not_changed,
    filters_a_server_error,
    flow_log_of_a_bogus_field_accepted_and_its_options_dropped,
    routes_overwritten_without_target_and_instead_of_local,
    reserved_tags_accepted_and_the_wrong_code_for_no_interface,
    metadata_options_change_while_the_instance_runs,
    reservations_unchecked_and_not_honoured_by_any_allocator,
    trunk_silently_an_interface,
    ipv6_prefixes_ignored_everything_listed_and_a_server_error_without_ipv6,
    prefixes_not_unassigned_and_reassignment_not_read,
    nat_gateway_at_once_with_an_address_outside_its_subnet,
    network_acl_without_its_deny_entries,
    public_address_of_the_loopback_network,
    interfaces_in_use_on_a_terminated_instance,
    missing_actions_a_page_of_html,
    nothing_throttled,
]


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    failed = []
    for test in TESTS:
        try:
            test(ec2, vpc, subnet)
        except Exception as error:  # each defect is told
            failed.append(f"{test.__name__}: {error!r}")
    assert not failed, "\n".join(failed)
    print(f"oracle: {len(TESTS)} ok")


if __name__ == "__main__":
    main()
