"""Every code of the catalogue of refusals (crates/core/vpc-model/src/error.rs), each with a call
that gets it, and the HTTP status that goes with it. A code without a call fails."""

import os
import pathlib
import re
import socket
import subprocess
import urllib.parse

import botocore.exceptions

import local_vpc
from local_vpc import DHCP_IMAGE, create_eni, run_instance

CATALOGUE = pathlib.Path(__file__).parents[2] / "crates/core/vpc-model/src/error.rs"
ANYWHERE = "0.0.0.0/0"
GONE = "0123456789abcdef0"


class World:
    """A VPC with small quotas, in which calls are refused. What several calls need is made once."""

    def __init__(self):
        self.ec2 = local_vpc.client()
        self.slow = local_vpc.client(endpoint=os.environ["DRIVEN_ENDPOINT"])
        self.vpc, (self.subnet,) = local_vpc.network(self.ec2)
        self.group = self.new_group("one")
        self.table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        self.eni = create_eni(self.ec2, self.subnet, PrivateIpAddress="10.0.1.99")[
            "NetworkInterfaceId"
        ]
        self.instance = run_instance(self.ec2, self.subnet)["InstanceId"]
        self.late_body = unfinished_request()

    def new_group(self, name):
        return self.ec2.create_security_group(
            VpcId=self.vpc, GroupName=name, Description=name
        )["GroupId"]

    def new_subnet(self, cidr):
        return self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]

    def new_eni(self, **more):
        return create_eni(self.ec2, self.subnet, **more)["NetworkInterfaceId"]

    def attach(self, eni, index, instance=None):
        return self.ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=instance or self.instance, DeviceIndex=index
        )

    def allow(self, group=None, **rule):
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, **rule}
        return self.ec2.authorize_security_group_ingress(
            GroupId=group or self.group, IpPermissions=[rule]
        )

    def route(self, destination=ANYWHERE, **more):
        self.ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock=destination, **more
        )

    def entry(self, number, **more):
        wanted = {"Protocol": "-1", "RuleAction": "allow", "CidrBlock": ANYWHERE, **more}
        self.ec2.create_network_acl_entry(
            NetworkAclId=self.acl, RuleNumber=number, Egress=False, **wanted
        )

    def prefix_list(self, entries=5):
        made = self.ec2.create_managed_prefix_list(
            PrefixListName="list", MaxEntries=entries, AddressFamily="IPv4"
        )
        return made["PrefixList"]["PrefixListId"]

    def modify_list(self, *blocks, version=1, ec2=None, **more):
        return self.ec2.modify_managed_prefix_list(
            PrefixListId=self.prefix_list(entries=1),
            CurrentVersion=version,
            **({"AddEntries": [{"Cidr": each} for each in blocks]} if blocks else {}),
            **more,
        )

    def flow_log(self):
        return self.ec2.create_flow_logs(
            ResourceIds=[self.vpc],
            ResourceType="VPC",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination="arn:aws:s3:::logs",
        )

    def changed(self, operation, change, **more):
        """The same call with its body changed after boto3 has looked at it."""
        event = f"before-call.ec2.{self.ec2.meta.method_to_api_mapping[operation]}"

        def hook(params, **_):
            change(params["body"])

        self.ec2.meta.events.register(event, hook)
        try:
            return getattr(self.ec2, operation)(**more)
        finally:
            self.ec2.meta.events.unregister(event, hook)

    def fault(self, hazard, *more):
        """A call that a fault strikes, switched on at the admin socket."""
        subprocess.run(
            [os.environ["UNDERLAY_VPC"], "fault", "on", hazard, "--action", "DescribeVpcs"]
            + ["--count", "1", "--socket", os.environ["ADMIN_SOCKET"], *more],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.ec2.describe_vpcs()


def unfinished_request():
    """A request whose body does not come: read the answer when it is due."""
    address = urllib.parse.urlsplit(os.environ["ENDPOINT"])
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nA")
    return connection


def request_expired(w):
    answer = b""
    while b"</Response>" not in answer and (part := w.late_body.recv(65_536)):
        answer += part
    w.late_body.close()
    (code,) = re.findall(r"<Code>(.*)</Code>", answer.decode())
    status = int(answer.split(b" ", 2)[1])
    raise botocore.exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "none",
    )


def throttled(w):
    """Five at once and two a second, and no second passes: the sixth finds no token."""
    for _ in range(5):
        try:
            run_instance(w.slow, f"subnet-{GONE}")
        except w.slow.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidSubnetID.NotFound", error
    try:
        run_instance(w.slow, f"subnet-{GONE}")
    except w.slow.exceptions.ClientError as error:
        assert error.response["Error"]["Message"] == "Request limit exceeded.", error
        raise


def unready_prefix_list(w):
    made = w.slow.create_managed_prefix_list(
        PrefixListName="slow", MaxEntries=1, AddressFamily="IPv4"
    )["PrefixList"]
    w.slow.delete_managed_prefix_list(PrefixListId=made["PrefixListId"])


def unsigned(w, authorization):
    def spoil(request, **_):
        request.headers["Authorization"] = authorization

    ec2 = local_vpc.client()
    ec2.meta.events.register("before-send.ec2", spoil)
    ec2.describe_vpcs()


def verified(secret="hunter2", key="AKIDROOT"):
    endpoint = os.environ["VERIFYING_ENDPOINT"]
    local_vpc.client(endpoint=endpoint, key=key, secret=secret).describe_vpcs()


def used_up_pool(w):
    """The pool of this server has fewer addresses than the account may hold."""
    w.ec2.modify_subnet_attribute(SubnetId=w.subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = w.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    w.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=w.vpc)
    try:
        repeat(run_instance, w.ec2, w.subnet)
    finally:
        w.ec2.modify_subnet_attribute(SubnetId=w.subnet, MapPublicIpOnLaunch={"Value": False})
        found = w.ec2.describe_instances()["Reservations"]
        ids = [each["InstanceId"] for launch in found for each in launch["Instances"]]
        w.ec2.terminate_instances(InstanceIds=[each for each in ids if each != w.instance])


def unattached_gateway(w):
    gateway = w.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    try:
        w.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=w.vpc)
    finally:
        w.ec2.delete_internet_gateway(InternetGatewayId=gateway)


def two_interfaces(w):
    """An attribute of the only interface, of an instance that has two."""
    instance = run_instance(w.ec2, w.subnet)["InstanceId"]
    w.attach(w.new_eni(), 1, instance)
    try:
        w.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    finally:
        w.ec2.terminate_instances(InstanceIds=[instance])


def block_in_use(w):
    added = w.ec2.associate_vpc_cidr_block(VpcId=w.vpc, CidrBlock="10.77.0.0/16")
    subnet = w.new_subnet("10.77.1.0/24")
    association = added["CidrBlockAssociation"]["AssociationId"]
    try:
        w.ec2.disassociate_vpc_cidr_block(AssociationId=association)
    finally:
        w.ec2.delete_subnet(SubnetId=subnet)
        w.ec2.disassociate_vpc_cidr_block(AssociationId=association)


def fragmented(w):
    subnet = w.new_subnet("10.0.8.0/27")
    made = [
        create_eni(w.ec2, subnet, PrivateIpAddress=address)["NetworkInterfaceId"]
        for address in ("10.0.8.4", "10.0.8.20")
    ]
    try:
        w.ec2.assign_private_ip_addresses(NetworkInterfaceId=made[0], Ipv4PrefixCount=1)
    finally:
        for eni in made:
            w.ec2.delete_network_interface(NetworkInterfaceId=eni)
        w.ec2.delete_subnet(SubnetId=subnet)


def full_subnet(w):
    subnet = w.new_subnet("10.0.9.0/28")
    eni = create_eni(w.ec2, subnet, SecondaryPrivateIpAddressCount=10)["NetworkInterfaceId"]
    try:
        w.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1
        )
    finally:
        w.ec2.delete_network_interface(NetworkInterfaceId=eni)
        w.ec2.delete_subnet(SubnetId=subnet)


def primary_detached(w):
    (primary,) = w.ec2.describe_instances(InstanceIds=[w.instance])["Reservations"][0][
        "Instances"
    ][0]["NetworkInterfaces"]
    w.ec2.detach_network_interface(AttachmentId=primary["Attachment"]["AttachmentId"])


def default_group_deleted(w):
    (default,) = w.ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": ["default"]},
            {"Name": "vpc-id", "Values": [w.vpc]},
        ]
    )["SecurityGroups"]
    w.ec2.delete_security_group(GroupId=default["GroupId"])


def too_many_attached(w):
    for index in range(1, 4):
        w.attach(w.new_eni(), index)


def terminated_attached(w):
    instance = run_instance(w.ec2, w.subnet)["InstanceId"]
    w.ec2.terminate_instances(InstanceIds=[instance])
    w.attach(w.eni, 1, instance)


def token_of_another_call(w):
    for description in ("one", "other"):
        w.new_eni(ClientToken="once", Description=description)


def associated_twice(w):
    for _ in range(2):
        w.ec2.associate_route_table(RouteTableId=w.table, SubnetId=w.subnet)


def taken_group_name(w):
    for _ in range(2):
        w.new_group("two")


def peered(w, times):
    other = w.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = w.ec2.create_vpc_peering_connection(VpcId=w.vpc, PeerVpcId=other)
    id = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    try:
        if times == "again":
            w.ec2.create_vpc_peering_connection(VpcId=w.vpc, PeerVpcId=other)
        w.ec2.reject_vpc_peering_connection(VpcPeeringConnectionId=id)
        w.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=id)
    finally:
        if times == "again":
            w.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
        w.ec2.delete_vpc(VpcId=other)


def too_many_peers(w):
    for number in range(20, 23):
        other = w.ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"]
        made = w.ec2.create_vpc_peering_connection(VpcId=w.vpc, PeerVpcId=other)
        w.ec2.accept_vpc_peering_connection(
            VpcPeeringConnectionId=made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        )


def too_many_nat_gateways(w):
    repeat(w.ec2.create_nat_gateway, SubnetId=w.subnet, ConnectivityType="private")


def twice(call, **more):
    for _ in range(2):
        call(**more)


def repeat(call, *args, **more):
    """Calls until it is refused; quotas here are small."""
    for _ in range(100):
        call(*args, **more)


def each(call, values):
    for value in values:
        call(value)


# What takes all that a quota allows comes last.
CASES = {
    "AuthFailure": lambda w: verified(key="AKIDOTHER"),
    "SignatureDoesNotMatch": lambda w: verified(secret="hunter3"),
    "IncompleteSignature": lambda w: unsigned(w, "AWS4-HMAC-SHA256 Credential=a/b"),
    "MissingAction": lambda w: w.changed(
        "describe_vpcs", lambda body: body.update({"Action": ""})
    ),
    "InvalidAction": lambda w: w.ec2.create_transit_gateway(),
    "MalformedQueryString": lambda w: w.changed(
        "describe_vpcs", lambda body: body.update({"": "x"})
    ),
    "UnknownParameter": lambda w: w.changed(
        "describe_vpcs", lambda body: body.update({"Bogus": "x"})
    ),
    "RequestEntityTooLarge": lambda w: w.changed(
        "describe_vpcs", lambda body: body.update({"Bogus": "x" * (1 << 20)})
    ),
    "DryRunOperation": lambda w: w.ec2.describe_vpcs(DryRun=True),
    "InternalError": lambda w: w.fault("server-error"),
    "Unavailable": lambda w: w.fault("unavailable"),
    "InsufficientInstanceCapacity": lambda w: w.fault(
        "refuse", "--code", "InsufficientInstanceCapacity"
    ),
    "UnauthorizedOperation": lambda w: w.fault(
        "refuse", "--code", "UnauthorizedOperation"
    ),
    "RequestLimitExceeded": throttled,
    "IdempotentParameterMismatch": token_of_another_call,
    "FilterLimitExceeded": lambda w: w.ec2.describe_vpcs(
        Filters=[{"Name": "vpc-id", "Values": ["*"]}] * 51
    ),
    "InvalidNextToken": lambda w: w.ec2.describe_vpcs(NextToken="bogus"),
    "InvalidParameter": lambda w: w.ec2.create_flow_logs(
        ResourceIds=[w.vpc], ResourceType="VPC", TrafficType="ALL", LogFormat="${bogus}",
        LogDestinationType="s3", LogDestination="arn:aws:s3:::logs",
    ),
    "InvalidParameterCombination": lambda w: w.new_eni(
        SecondaryPrivateIpAddressCount=1, Ipv4PrefixCount=1
    ),
    "InvalidParameterValue": lambda w: w.new_eni(PrivateIpAddress="10.0.1.1"),
    "MissingParameter": lambda w: w.ec2.assign_private_ip_addresses(NetworkInterfaceId=w.eni),
    "UnsupportedOperation": lambda w: w.new_eni(InterfaceType="efa"),
    "OperationNotPermitted": primary_detached,
    "CannotDelete": default_group_deleted,
    "DependencyViolation": lambda w: w.ec2.delete_subnet(SubnetId=w.subnet),
    # Ids of no form, and ids of nothing.
    "InvalidID": lambda w: w.ec2.create_tags(Resources=["x"], Tags=[{"Key": "a", "Value": "b"}]),
    "InvalidAMIID.Malformed": lambda w: w.ec2.describe_images(ImageIds=["x"]),
    "InvalidAMIID.NotFound": lambda w: w.ec2.describe_images(ImageIds=[f"ami-{GONE}"]),
    "InvalidGroupId.Malformed": lambda w: w.ec2.describe_security_groups(GroupIds=["x"]),
    "InvalidGroup.NotFound": lambda w: w.ec2.describe_security_groups(GroupIds=[f"sg-{GONE}"]),
    "InvalidInstanceID.Malformed": lambda w: w.ec2.describe_instances(InstanceIds=["x"]),
    "InvalidInstanceID.NotFound": lambda w: w.ec2.describe_instances(InstanceIds=[f"i-{GONE}"]),
    "InvalidInternetGatewayId.Malformed": lambda w: w.ec2.describe_internet_gateways(
        InternetGatewayIds=["x"]
    ),
    "InvalidInternetGatewayID.NotFound": lambda w: w.ec2.describe_internet_gateways(
        InternetGatewayIds=[f"igw-{GONE}"]
    ),
    "InvalidNetworkAclId.Malformed": lambda w: w.ec2.describe_network_acls(NetworkAclIds=["x"]),
    "InvalidNetworkAclID.NotFound": lambda w: w.ec2.describe_network_acls(
        NetworkAclIds=[f"acl-{GONE}"]
    ),
    "InvalidNetworkInterfaceId.Malformed": lambda w: w.ec2.describe_network_interfaces(
        NetworkInterfaceIds=["x"]
    ),
    "InvalidNetworkInterfaceID.NotFound": lambda w: w.ec2.describe_network_interfaces(
        NetworkInterfaceIds=[f"eni-{GONE}"]
    ),
    "InvalidRouteTableID.Malformed": lambda w: w.ec2.describe_route_tables(RouteTableIds=["x"]),
    "InvalidRouteTableID.NotFound": lambda w: w.ec2.describe_route_tables(
        RouteTableIds=[f"rtb-{GONE}"]
    ),
    "InvalidSubnetID.Malformed": lambda w: w.ec2.describe_subnets(SubnetIds=["x"]),
    "InvalidSubnetID.NotFound": lambda w: w.ec2.describe_subnets(SubnetIds=[f"subnet-{GONE}"]),
    "InvalidVpcID.Malformed": lambda w: w.ec2.describe_vpcs(VpcIds=["x"]),
    "InvalidVpcID.NotFound": lambda w: w.ec2.describe_vpcs(VpcIds=[f"vpc-{GONE}"]),
    "InvalidVpcPeeringConnectionId.Malformed": lambda w: w.ec2.describe_vpc_peering_connections(
        VpcPeeringConnectionIds=["x"]
    ),
    "InvalidVpcPeeringConnectionID.NotFound": lambda w: w.ec2.describe_vpc_peering_connections(
        VpcPeeringConnectionIds=[f"pcx-{GONE}"]
    ),
    "NatGatewayMalformed": lambda w: w.ec2.describe_nat_gateways(NatGatewayIds=["x"]),
    "NatGatewayNotFound": lambda w: w.ec2.describe_nat_gateways(NatGatewayIds=[f"nat-{GONE}"]),
    "InvalidNatGatewayID.NotFound": lambda w: w.route(NatGatewayId=f"nat-{GONE}"),
    "InvalidAddress.NotFound": lambda w: w.ec2.describe_addresses(PublicIps=["198.51.100.1"]),
    "InvalidAllocationID.NotFound": lambda w: w.ec2.release_address(
        AllocationId=f"eipalloc-{GONE}"
    ),
    "InvalidAssociationID.NotFound": lambda w: w.ec2.disassociate_route_table(
        AssociationId=f"rtbassoc-{GONE}"
    ),
    "InvalidAttachmentID.NotFound": lambda w: w.ec2.detach_network_interface(
        AttachmentId=f"eni-attach-{GONE}"
    ),
    "InvalidFlowLogId.NotFound": lambda w: w.ec2.delete_flow_logs(FlowLogIds=[f"fl-{GONE}"]),
    "InvalidGatewayID.NotFound": lambda w: w.ec2.delete_egress_only_internet_gateway(
        EgressOnlyInternetGatewayId=f"eigw-{GONE}"
    ),
    "InvalidNetworkAclEntry.NotFound": lambda w: w.ec2.delete_network_acl_entry(
        NetworkAclId=w.acl, RuleNumber=7, Egress=True
    ),
    "InvalidPermissionID.NotFound": lambda w: w.ec2.delete_network_interface_permission(
        NetworkInterfacePermissionId=f"eni-perm-{GONE}"
    ),
    "InvalidPrefixListID.NotFound": lambda w: w.ec2.delete_managed_prefix_list(
        PrefixListId=f"pl-{GONE}"
    ),
    "InvalidRoute.NotFound": lambda w: w.ec2.delete_route(
        RouteTableId=w.table, DestinationCidrBlock="1.0.0.0/8"
    ),
    "InvalidSecurityGroupRuleId.NotFound": lambda w: w.ec2.revoke_security_group_ingress(
        GroupId=w.group, SecurityGroupRuleIds=[f"sgr-{GONE}"]
    ),
    "InvalidSubnetCidrBlockAssociationID.NotFound": lambda w: w.ec2.disassociate_subnet_cidr_block(
        AssociationId=f"subnet-cidr-assoc-{GONE}"
    ),
    "InvalidSubnetCidrReservationID.NotFound": lambda w: w.ec2.delete_subnet_cidr_reservation(
        SubnetCidrReservationId=f"scr-{GONE}"
    ),
    "InvalidVpcCidrBlockAssociationID.NotFound": lambda w: w.ec2.disassociate_vpc_cidr_block(
        AssociationId=f"vpc-cidr-assoc-{GONE}"
    ),
    # Blocks and addresses.
    "InvalidVpc.Range": lambda w: w.ec2.create_vpc(CidrBlock="10.0.0.0/8"),
    "InvalidSubnet.Conflict": lambda w: w.new_subnet("10.0.1.128/25"),
    "InvalidSubnet.Range": lambda w: w.new_subnet("10.1.0.0/24"),
    "InvalidCidrBlock.InUse": block_in_use,
    "InvalidIPAddress.InUse": lambda w: w.new_eni(PrivateIpAddress="10.0.1.99"),
    "InsufficientCidrBlocks": fragmented,
    "InsufficientFreeAddressesInSubnet": full_subnet,
    # Interfaces and instances.
    "PrivateIpAddressLimitExceeded": lambda w: w.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=run_instance(w.ec2, w.subnet)["NetworkInterfaces"][0][
            "NetworkInterfaceId"
        ],
        SecondaryPrivateIpAddressCount=10,
    ),
    "SecurityGroupsPerInterfaceLimitExceeded": lambda w: w.new_eni(
        Groups=[w.new_group(f"g{number}") for number in range(6)]
    ),
    "InvalidNetworkInterface.InUse": lambda w: each(
        lambda index: w.attach(w.eni, index), (1, 2)
    ),
    "AttachmentLimitExceeded": lambda w: each(
        lambda index: w.attach(w.new_eni(), index), (2, 3, 4)
    ),
    "InvalidInstanceID": two_interfaces,
    "InvalidInstanceType": lambda w: w.ec2.describe_instance_types(InstanceTypes=["m5.huge"]),
    "InvalidUserData.Malformed": lambda w: w.changed(
        "run_instances",
        lambda body: body.update({"UserData": "not base64!"}),
        ImageId=DHCP_IMAGE, MinCount=1, MaxCount=1, SubnetId=w.subnet, UserData="x",
    ),
    "VPCIdNotSpecified": lambda w: w.ec2.run_instances(
        ImageId=DHCP_IMAGE, InstanceType="m5.large", MinCount=1, MaxCount=1
    ),
    "IncorrectInstanceState": terminated_attached,
    # Groups and prefix lists.
    "InvalidGroup.Duplicate": taken_group_name,
    "InvalidPermission.Duplicate": lambda w: twice(w.allow, IpRanges=[{"CidrIp": "1.0.0.0/8"}]),
    "InvalidPermission.Malformed": lambda w: w.allow(),
    "InvalidPermission.NotFound": lambda w: w.ec2.revoke_security_group_ingress(
        GroupId=w.group,
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "9.0.0.0/8"}]}],
    ),
    "RulesPerSecurityGroupLimitExceeded": lambda w: w.allow(
        IpRanges=[{"CidrIp": f"10.9.{number}.0/24"} for number in range(61)]
    ),
    "IncorrectState": unready_prefix_list,
    "InvalidPrefixListModification": lambda w: w.modify_list(
        RemoveEntries=[{"Cidr": "9.0.0.0/8"}]
    ),
    "PrefixListMaxEntriesExceeded": lambda w: w.modify_list("1.0.0.0/8", "2.0.0.0/8"),
    "PrefixListVersionMismatch": lambda w: w.modify_list("1.0.0.0/8", version=9),
    # Routes, gateways, network ACLs, peering.
    "Resource.AlreadyAssociated": associated_twice,
    "RouteAlreadyExists": lambda w: w.route("10.0.0.0/16", NetworkInterfaceId=w.eni),
    "Gateway.NotAttached": unattached_gateway,
    "NetworkAclEntryAlreadyExists": lambda w: each(w.entry, (1, 1)),
    "InvalidStateTransition": lambda w: peered(w, "once"),
    "VpcPeeringConnectionAlreadyExists": lambda w: peered(w, "again"),
    "FlowLogAlreadyExists": lambda w: twice(w.flow_log),
    "TagLimitExceeded": lambda w: w.ec2.create_tags(
        Resources=[w.vpc], Tags=[{"Key": f"k{number}", "Value": "v"} for number in range(51)]
    ),
    # Quotas.
    "InsufficientAddressCapacity": used_up_pool,
    "AddressLimitExceeded": lambda w: repeat(w.ec2.allocate_address, Domain="vpc"),
    "CidrLimitExceeded": lambda w: each(
        lambda number: w.ec2.associate_vpc_cidr_block(
            VpcId=w.vpc, CidrBlock=f"10.{number}.0.0/16"
        ),
        range(80, 85),
    ),
    "RouteLimitExceeded": lambda w: each(
        lambda number: w.route(f"{number}.0.0.0/8", NetworkInterfaceId=w.eni), range(30, 90)
    ),
    "RouteTableLimitExceeded": lambda w: repeat(w.ec2.create_route_table, VpcId=w.vpc),
    "NetworkAclEntryLimitExceeded": lambda w: each(w.entry, range(100, 121)),
    "NetworkAclLimitExceeded": lambda w: repeat(w.ec2.create_network_acl, VpcId=w.vpc),
    "NatGatewayLimitExceeded": too_many_nat_gateways,
    "InternetGatewayLimitExceeded": lambda w: repeat(w.ec2.create_internet_gateway),
    "VpcPeeringConnectionsPerVpcLimitExceeded": too_many_peers,
    "EgressOnlyInternetGatewayLimitExceeded": lambda w: each(
        lambda vpc: w.ec2.create_egress_only_internet_gateway(VpcId=vpc["VpcId"]),
        w.ec2.describe_vpcs()["Vpcs"],
    ),
    "PrefixListLimitExceeded": lambda w: repeat(w.prefix_list),
    "SecurityGroupLimitExceeded": lambda w: each(w.new_group, (f"q{n}" for n in range(100))),
    "SubnetLimitExceeded": lambda w: each(
        lambda number: w.new_subnet(f"10.0.{number}.0/24"), range(100, 130)
    ),
    "InstanceLimitExceeded": lambda w: repeat(run_instance, w.ec2, w.subnet),
    "NetworkInterfaceLimitExceeded": lambda w: repeat(w.new_eni),
    "VpcLimitExceeded": lambda w: repeat(w.ec2.create_vpc, CidrBlock="10.50.0.0/16"),
    "RequestExpired": request_expired,
}


def catalogue():
    """Codes with their HTTP status, as the server has them."""
    rows = re.findall(r'^    [A-Z]\w+ "([^"]+)" (\d+),$', CATALOGUE.read_text(), re.MULTILINE)
    return {code: int(status) for code, status in rows}


def outcome(call, world):
    try:
        call(world)
    except botocore.exceptions.ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    except Exception as error:  # each is told of, not only the first
        return repr(error)
    return "accepted"


def main():
    codes = catalogue()
    assert len(codes) > 100, "the catalogue was not read"
    assert sorted(codes) == sorted(CASES), set(codes) ^ set(CASES)
    world = World()
    wrong = []
    for code, call in CASES.items():
        got = outcome(call, world)
        if got != (code, codes[code]):
            wrong.append(f"{code} ({codes[code]}): {got}")
    assert not wrong, "\n".join(wrong)
    print(f"catalogue: {len(CASES)} ok")


if __name__ == "__main__":
    main()
