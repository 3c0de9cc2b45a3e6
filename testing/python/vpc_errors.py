"""Refusals in their circumstances, with EC2's text where it is known, and what they leave behind.
vpc_catalogue.py has one call for each code."""

import local_vpc
from local_vpc import create_eni, refused, run_instance

GONE = {
    "eni": "eni-0123456789abcdef0",
    "group": "sg-0123456789abcdef0",
    "instance": "i-0123456789abcdef0",
    "subnet": "subnet-0123456789abcdef0",
    "table": "rtb-0123456789abcdef0",
    "vpc": "vpc-0123456789abcdef0",
}


def networks(ec2):
    with refused("InvalidVpc.Range"):
        ec2.create_vpc(CidrBlock="10.0.0.0/8")
    with refused("InvalidParameterValue"):
        ec2.create_vpc(CidrBlock="10.0.0.0")
    vpc, (subnet,) = local_vpc.network(ec2)
    for block, code in [
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/29", "InvalidSubnet.Range"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
    ]:
        with refused(code):
            ec2.create_subnet(VpcId=vpc, CidrBlock=block)
    with refused("InvalidParameterValue"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", AvailabilityZone="us-east-1z")
    with refused("InvalidVpcID.NotFound", f"The vpc ID '{GONE['vpc']}' does not exist"):
        ec2.create_subnet(VpcId=GONE["vpc"], CidrBlock="10.0.2.0/24")
    with refused("InvalidVpcID.Malformed"):
        ec2.describe_vpcs(VpcIds=["vpc-x"])
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    with refused("DryRunOperation", status=412):
        ec2.create_vpc(CidrBlock="10.9.0.0/16", DryRun=True)
    for number in range(4):
        ec2.create_vpc(CidrBlock=f"10.{number + 1}.0.0/16")
    with refused("VpcLimitExceeded"):
        ec2.create_vpc(CidrBlock="10.9.0.0/16")
    return vpc, subnet


def groups(ec2, vpc, subnet):
    web = ec2.create_security_group(VpcId=vpc, GroupName="web", Description="web")["GroupId"]
    app = ec2.create_security_group(VpcId=vpc, GroupName="app", Description="app")["GroupId"]
    with refused("InvalidGroup.Duplicate"):
        ec2.create_security_group(VpcId=vpc, GroupName="web", Description="again")
    (default,) = ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": ["default"]},
            {"Name": "vpc-id", "Values": [vpc]},
        ]
    )["SecurityGroups"]
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=default["GroupId"])

    def permission(protocol="tcp", port=80, cidr="10.0.0.0/8", **more):
        ranges = {} if "UserIdGroupPairs" in more else {"IpRanges": [{"CidrIp": cidr}]}
        return {"IpProtocol": protocol, "FromPort": port, "ToPort": port, **ranges, **more}

    def allow(*permissions):
        ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=list(permissions))

    allow(permission(cidr="10.0.0.1/8"))
    with refused("InvalidPermission.Duplicate"):
        allow(permission())
    with refused("InvalidParameterValue"):
        allow(permission(protocol="foo"))
    with refused("InvalidParameterValue"):
        allow(permission(cidr="10.0.0.0/33"))
    with refused("InvalidParameterValue"):
        allow(permission(port=70000))
    with refused("InvalidGroup.NotFound"):
        allow(permission(UserIdGroupPairs=[{"GroupId": GONE["group"]}]))
    with refused("InvalidGroupId.Malformed"):
        allow(permission(UserIdGroupPairs=[{"GroupId": "web"}]))
    with refused("RulesPerSecurityGroupLimitExceeded"):
        allow(*[permission(port=port) for port in range(1000, 1060)])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=[permission(port=81)])
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        ec2.revoke_security_group_ingress(
            GroupId=web, SecurityGroupRuleIds=["sgr-0123456789abcdef0"]
        )
    with refused("InvalidPrefixListID.NotFound"):
        allow({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0"}]})
    # A group that another group's rule names, or that an interface carries, stays.
    allow(permission(UserIdGroupPairs=[{"GroupId": app}]))
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=app)
    eni = create_eni(ec2, subnet, Groups=[web])["NetworkInterfaceId"]
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=web)
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    six = [
        ec2.create_security_group(VpcId=vpc, GroupName=f"g{n}", Description="x")["GroupId"]
        for n in range(6)
    ]
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        create_eni(ec2, subnet, Groups=six)
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=six)
    other = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    foreign = next(each["GroupId"] for each in other if each["VpcId"] != vpc)
    with refused("InvalidGroup.NotFound"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[foreign])
    with refused("InvalidGroup.NotFound"):
        create_eni(ec2, subnet, Groups=[GONE["group"]])
    ec2.delete_network_interface(NetworkInterfaceId=eni)


def launches(ec2, vpc, subnet):
    with refused("InvalidAMIID.NotFound"):
        ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
        )
    with refused("InvalidParameterValue"):
        run_instance(ec2, subnet, kind="m5.enormous")
    with refused("InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["m5.enormous"])
    with refused("InvalidParameterValue"):
        run_instance(ec2, subnet, kind="m6g.large")
    with refused("VPCIdNotSpecified"):
        ec2.run_instances(
            ImageId=local_vpc.DHCP_IMAGE, InstanceType="m5.large", MinCount=1, MaxCount=1
        )
    with refused("InvalidInstanceID.NotFound"):
        ec2.terminate_instances(InstanceIds=[GONE["instance"]])
    with refused("InvalidInstanceID.Malformed"):
        ec2.describe_instances(InstanceIds=["i-x"])
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/28")["Subnet"]["SubnetId"]
    with refused("InsufficientFreeAddressesInSubnet"):
        ec2.run_instances(
            ImageId=local_vpc.DHCP_IMAGE,
            InstanceType="m5.large",
            MinCount=12,
            MaxCount=20,
            SubnetId=small,
        )
    assert ec2.describe_subnets(SubnetIds=[small])["Subnets"][0]["AvailableIpAddressCount"] == 11


def attachments(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet, kind="t3.medium")["InstanceId"]

    def attach(eni, index, instance=instance, **more):
        return ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index, **more
        )["AttachmentId"]

    first, second, third = [create_eni(ec2, subnet)["NetworkInterfaceId"] for _ in range(3)]
    with refused("InvalidNetworkInterfaceID.NotFound",
                 f"The networkInterface ID '{GONE['eni']}' does not exist"):
        attach(GONE["eni"], 1)
    with refused("InvalidInstanceID.NotFound"):
        attach(first, 1, GONE["instance"])
    with refused("InvalidParameterValue"):
        attach(first, 1, NetworkCardIndex=1)
    held = attach(first, 1)
    taken = f"Instance '{instance}' already has an interface attached at device index '1'."
    with refused("InvalidParameterValue", taken):
        attach(second, 1)
    with refused("InvalidNetworkInterface.InUse", f"Interface: [{first}] in use."):
        attach(first, 2)
    attach(second, 2)
    with refused("AttachmentLimitExceeded", "Interface count 4 exceeds the limit for t3.medium"):
        attach(third, 3)
    with refused("InvalidParameterValue", f"Network interface '{first}' is currently in use."):
        ec2.delete_network_interface(NetworkInterfaceId=first)
    elsewhere = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.4.0/24", AvailabilityZone="us-east-1b"
    )["Subnet"]["SubnetId"]
    foreign = create_eni(ec2, elsewhere)["NetworkInterfaceId"]
    with refused("InvalidParameterCombination"):
        attach(foreign, 3)
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId="eni-attach-0123456789abcdef0")
    (primary,) = ec2.describe_network_interfaces(
        Filters=[
            {"Name": "attachment.instance-id", "Values": [instance]},
            {"Name": "attachment.device-index", "Values": ["0"]},
        ]
    )["NetworkInterfaces"]
    with refused("OperationNotPermitted"):
        ec2.detach_network_interface(AttachmentId=primary["Attachment"]["AttachmentId"])
    with refused("InvalidNetworkInterface.InUse"):
        run_instance(
            ec2, subnet, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": first}]
        )
    ec2.detach_network_interface(AttachmentId=held)
    ec2.delete_network_interface(NetworkInterfaceId=first)
    ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        attach(second, 1)
    # Interfaces that were attached by hand outlive the instance.
    for eni in (second, third, foreign):
        ec2.delete_network_interface(NetworkInterfaceId=eni)


def addresses(ec2, vpc, subnet):
    instance = run_instance(ec2, subnet, kind="m5.large")["InstanceId"]
    with refused("InvalidSubnetID.NotFound"):
        create_eni(ec2, GONE["subnet"])
    with refused("InvalidParameterValue"):
        create_eni(ec2, subnet, PrivateIpAddress="10.0.1.1")
    with refused("InvalidParameterValue"):
        create_eni(ec2, subnet, PrivateIpAddress="10.0.2.1")
    with refused("InvalidParameterCombination"):
        create_eni(ec2, subnet, SecondaryPrivateIpAddressCount=1, Ipv4PrefixCount=1)
    with refused("UnsupportedOperation"):
        create_eni(ec2, subnet, InterfaceType="efa")
    eni = create_eni(ec2, subnet, PrivateIpAddress="10.0.1.99")["NetworkInterfaceId"]
    with refused("InvalidIPAddress.InUse", "Address 10.0.1.99 is in use."):
        create_eni(ec2, subnet, PrivateIpAddress="10.0.1.99")
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)

    def assign(**what):
        return ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, **what)

    with refused("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."):
        assign(SecondaryPrivateIpAddressCount=10)
    with refused("InvalidParameterCombination"):
        assign(SecondaryPrivateIpAddressCount=1, Ipv4PrefixCount=1)
    with refused("MissingParameter"):
        assign()
    with refused("InvalidParameterValue"):
        assign(PrivateIpAddresses=["10.0.1.255"])
    with refused("InvalidParameterValue"):
        assign(Ipv4Prefixes=["10.0.1.24/28"])
    with refused("InvalidIPAddress.InUse"):
        assign(Ipv4Prefixes=["10.0.1.96/28"])
    with refused("InvalidParameterValue"):
        ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.99"]
        )
    with refused("InvalidParameterValue"):
        ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.98"]
        )
    ec2.terminate_instances(InstanceIds=[instance])
    exhaustion(ec2, vpc)
    old = run_instance(ec2, subnet, kind="t2.micro")["InstanceId"]
    with refused("UnsupportedOperation"):
        (first,) = ec2.describe_instances(InstanceIds=[old])["Reservations"][0]["Instances"]
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=first["NetworkInterfaces"][0]["NetworkInterfaceId"],
            Ipv4PrefixCount=1,
        )
    ec2.terminate_instances(InstanceIds=[old])


def exhaustion(ec2, vpc):
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.8.0/27")["Subnet"]["SubnetId"]
    eni = create_eni(ec2, small, PrivateIpAddress="10.0.8.4")["NetworkInterfaceId"]
    create_eni(ec2, small, PrivateIpAddress="10.0.8.20")

    def assign(**what):
        return ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, **what)

    blocks = "The specified subnet does not have enough free cidr blocks to satisfy the request."
    with refused("InsufficientCidrBlocks", blocks):
        assign(Ipv4PrefixCount=1)
    few = "There aren't sufficient free Ipv4 addresses or prefixes"
    with refused("InvalidParameterValue", few):
        assign(SecondaryPrivateIpAddressCount=26)
    with refused("InvalidParameterValue", few):
        create_eni(ec2, small, SecondaryPrivateIpAddressCount=25)
    assign(SecondaryPrivateIpAddressCount=25)
    none = "The specified subnet does not have enough free addresses to satisfy the request."
    with refused("InsufficientFreeAddressesInSubnet", none):
        assign(SecondaryPrivateIpAddressCount=1)
    with refused("InsufficientFreeAddressesInSubnet", none):
        create_eni(ec2, small)
    assert ec2.describe_subnets(SubnetIds=[small])["Subnets"][0]["AvailableIpAddressCount"] == 0


def routes(ec2, vpc, subnet):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    eni = create_eni(ec2, subnet)["NetworkInterfaceId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=eni
    )
    for destination, code in [
        ("192.168.0.0/16", "RouteAlreadyExists"),
        ("10.0.0.0/16", "RouteAlreadyExists"),
        ("10.0.1.0/28", "InvalidParameterValue"),
        ("169.254.169.254/32", "InvalidParameterValue"),
    ]:
        with refused(code):
            ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni
            )
    with refused("MissingParameter"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="1.0.0.0/8")
    with refused("InvalidRouteTableID.NotFound"):
        ec2.delete_route_table(RouteTableId=GONE["table"])
    with refused("InvalidRoute.NotFound"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="1.0.0.0/8")
    with refused("InvalidParameterValue"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16")
    held = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=table)
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_route_table(AssociationId="rtbassoc-0123456789abcdef0")
    (shown,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    states = {each["DestinationCidrBlock"]: each["State"] for each in shown["Routes"]}
    assert states == {"10.0.0.0/16": "active", "192.168.0.0/16": "blackhole"}, states
    ec2.disassociate_route_table(AssociationId=held)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_network_interface(NetworkInterfaceId=eni)


def flow_logs(ec2, vpc):
    def create(**more):
        wanted = {
            "ResourceIds": [vpc],
            "ResourceType": "VPC",
            "TrafficType": "ALL",
            "LogDestinationType": "s3",
            "LogDestination": "arn:aws:s3:::logs/demo",
            "MaxAggregationInterval": 60,
            **more,
        }
        return ec2.create_flow_logs(**wanted)

    made = create(LogFormat="${pkt-srcaddr} ${pkt-dstaddr} ${action}")
    assert made["Unsuccessful"] == []
    (shown,) = ec2.describe_flow_logs(FlowLogIds=made["FlowLogIds"])["FlowLogs"]
    assert shown["LogFormat"] == "${pkt-srcaddr} ${pkt-dstaddr} ${action}"
    assert (shown["ResourceId"], shown["FlowLogStatus"]) == (vpc, "ACTIVE")
    with refused("FlowLogAlreadyExists"):
        create(LogFormat="${pkt-srcaddr} ${pkt-dstaddr} ${action}")
    with refused("InvalidParameter"):
        create(LogFormat="${bogus}")
    with refused("InvalidParameter"):
        create(MaxAggregationInterval=1)
    with refused("InvalidVpcID.NotFound"):
        create(ResourceIds=[GONE["vpc"]])
    with refused("UnsupportedOperation"):
        create(LogDestinationType="kinesis-data-firehose")
    with refused("InvalidParameterValue"):
        create(DestinationOptions={"FileFormat": "csv"})
    with refused("InvalidFlowLogId.NotFound"):
        ec2.delete_flow_logs(FlowLogIds=["fl-0123456789abcdef0"])
    ec2.delete_flow_logs(FlowLogIds=made["FlowLogIds"])


def tags(ec2, vpc):
    with refused("InvalidParameterValue"):
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "aws:x", "Value": "y"}])
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.create_tags(Resources=[vpc, GONE["eni"]], Tags=[{"Key": "x", "Value": "y"}])
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"] == []
    with refused("InvalidID"):
        ec2.create_tags(Resources=["nonsense"], Tags=[{"Key": "x", "Value": "y"}])
    with refused("TagLimitExceeded"):
        ec2.create_tags(
            Resources=[vpc], Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(51)]
        )


def tokens(ec2, subnet):
    first = create_eni(ec2, subnet, ClientToken="once")
    again = create_eni(ec2, subnet, ClientToken="once")
    assert first["NetworkInterfaceId"] == again["NetworkInterfaceId"]
    with refused("IdempotentParameterMismatch"):
        create_eni(ec2, subnet, ClientToken="once", Description="other")
    one = run_instance(ec2, subnet, ClientToken="launch")
    two = run_instance(ec2, subnet, ClientToken="launch")
    assert one["InstanceId"] == two["InstanceId"]


def descriptions(ec2):
    with refused("InvalidParameterValue"):
        ec2.describe_network_interfaces(Filters=[{"Name": "bogus", "Values": ["x"]}])
    for operation in (ec2.describe_subnets, ec2.describe_instances, ec2.describe_vpcs):
        with refused("InvalidParameterValue"):
            operation(Filters=[{"Name": "bogus", "Values": ["x"]}])
        with refused("InvalidNextToken"):
            operation(NextToken="bogus")
    with refused("InvalidParameterValue"):
        ec2.describe_instances(MaxResults=1001)
    with refused("InvalidAction"):
        ec2.create_transit_gateway()


def main():
    ec2 = local_vpc.client()
    vpc, subnet = networks(ec2)
    groups(ec2, vpc, subnet)
    launches(ec2, vpc, subnet)
    attachments(ec2, vpc, subnet)
    addresses(ec2, vpc, subnet)
    routes(ec2, vpc, subnet)
    flow_logs(ec2, vpc)
    tags(ec2, vpc)
    tokens(ec2, subnet)
    descriptions(ec2)
    print("errors: ok")


if __name__ == "__main__":
    main()
