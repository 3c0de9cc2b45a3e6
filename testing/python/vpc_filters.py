"""Every documented filter of every Describe finds what it should and nothing else, or is refused:
docs/fidelity.md lists the refused ones, all of them and no others."""

import re
import sys

import botocore.exceptions

import api_model
import local_vpc
from local_vpc import create_eni

ACCOUNT = "123456789012"
AMAZON = "137112412989"
REGION = "us-east-1"
ZONE = {"availability-zone": f"{REGION}a", "availability-zone-id": "use1-az1"}
TAGS = {"tag:team": "net", "tag-key": "team"}
# No object here ever has a value for such a filter: that finds nothing, and is no mistake.
NEVER = object()


def tagged(kind):
    return [{"ResourceType": kind, "Tags": [{"Key": "team", "Value": "net"}]}]


def time(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


class World:
    """One of everything, with all that filters ask for."""

    def __init__(self, ec2):
        self.ec2 = ec2
        made = ec2.create_vpc(
            CidrBlock="10.0.0.0/16",
            AmazonProvidedIpv6CidrBlock=True,
            TagSpecifications=tagged("vpc"),
        )["Vpc"]
        self.vpc = made["VpcId"]
        block = made["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
        self.subnet = ec2.create_subnet(
            VpcId=self.vpc,
            CidrBlock="10.0.1.0/24",
            Ipv6CidrBlock=block,
            AvailabilityZone=f"{REGION}a",
            TagSpecifications=tagged("subnet"),
        )["Subnet"]["SubnetId"]
        ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        self.peer = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        self.peering = ec2.create_vpc_peering_connection(
            VpcId=self.vpc,
            PeerVpcId=self.peer,
            TagSpecifications=tagged("vpc-peering-connection"),
        )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=self.peering)
        self.groups()
        self.instances()
        self.gateways()
        self.tables()
        self.rest()

    def groups(self):
        ec2 = self.ec2
        self.prefix_list = ec2.create_managed_prefix_list(
            PrefixListName="office",
            AddressFamily="IPv4",
            MaxEntries=2,
            TagSpecifications=tagged("prefix-list"),
        )["PrefixList"]["PrefixListId"]
        self.group = ec2.create_security_group(
            VpcId=self.vpc,
            GroupName="web",
            Description="of the web",
            TagSpecifications=tagged("security-group"),
        )["GroupId"]
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 81,
            "IpRanges": [{"CidrIp": "10.2.0.0/16"}],
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            "PrefixListIds": [{"PrefixListId": self.prefix_list}],
            "UserIdGroupPairs": [{"GroupId": self.group}],
        }
        made = ec2.authorize_security_group_ingress(
            GroupId=self.group,
            IpPermissions=[rule],
            TagSpecifications=tagged("security-group-rule"),
        )
        self.rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        ec2.authorize_security_group_egress(GroupId=self.group, IpPermissions=[rule])

    def instances(self):
        ec2 = self.ec2
        gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))
        self.internet = gateway["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.internet, VpcId=self.vpc)
        launched = local_vpc.run_instance(
            ec2,
            self.subnet,
            SecurityGroupIds=[self.group],
            KeyName="mine",
            IamInstanceProfile={"Name": "node"},
            Ipv6AddressCount=1,
            EnablePrimaryIpv6=True,
            ClientToken="once",
            TagSpecifications=tagged("instance") + tagged("network-interface"),
        )
        self.instance = launched["InstanceId"]
        self.eni = launched["NetworkInterfaces"][0]["NetworkInterfaceId"]
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self.eni, Description={"Value": "first"}
        )
        ec2.assign_private_ip_addresses(NetworkInterfaceId=self.eni, Ipv4PrefixCount=1)
        ec2.assign_ipv6_addresses(NetworkInterfaceId=self.eni, Ipv6PrefixCount=1)
        made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))
        self.allocation = made["AllocationId"]
        ec2.associate_address(AllocationId=self.allocation, NetworkInterfaceId=self.eni)
        # Another one, that no filter of the first may find.
        other = local_vpc.network(ec2, cidr="10.7.0.0/16", subnets=["10.7.1.0/24"])[1][0]
        local_vpc.run_instance(ec2, other, kind="t3.medium")

    def gateways(self):
        ec2 = self.ec2
        self.egress_only = ec2.create_egress_only_internet_gateway(
            VpcId=self.vpc, TagSpecifications=tagged("egress-only-internet-gateway")
        )["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]
        self.nat = ec2.create_nat_gateway(
            SubnetId=self.subnet,
            ConnectivityType="private",
            TagSpecifications=tagged("natgateway"),
        )["NatGateway"]["NatGatewayId"]

    def tables(self):
        ec2 = self.ec2
        self.table = ec2.create_route_table(
            VpcId=self.vpc, TagSpecifications=tagged("route-table")
        )["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=self.table, SubnetId=self.subnet)
        for destination, target in [
            ({"DestinationCidrBlock": "0.0.0.0/0"}, {"GatewayId": self.internet}),
            ({"DestinationCidrBlock": "192.168.0.0/16"}, {"NatGatewayId": self.nat}),
            (
                {"DestinationCidrBlock": "10.1.0.0/16"},
                {"VpcPeeringConnectionId": self.peering},
            ),
            ({"DestinationCidrBlock": "172.16.0.0/12"}, {"InstanceId": self.instance}),
            ({"DestinationPrefixListId": self.prefix_list}, {"GatewayId": self.internet}),
            (
                {"DestinationIpv6CidrBlock": "::/0"},
                {"EgressOnlyInternetGatewayId": self.egress_only},
            ),
        ]:
            ec2.create_route(RouteTableId=self.table, **destination, **target)
        self.acl = ec2.create_network_acl(VpcId=self.vpc, TagSpecifications=tagged("network-acl"))[
            "NetworkAcl"
        ]["NetworkAclId"]
        for number, entry in [
            (10, {"Protocol": "6", "CidrBlock": "10.2.0.0/16", "PortRange": {"From": 80, "To": 81}}),
            (11, {"Protocol": "1", "CidrBlock": "10.2.0.0/16", "IcmpTypeCode": {"Type": 8, "Code": 0}}),
            (12, {"Protocol": "-1", "Ipv6CidrBlock": "2001:db8::/32"}),
        ]:
            ec2.create_network_acl_entry(
                NetworkAclId=self.acl, RuleNumber=number, RuleAction="allow", Egress=False, **entry
            )
        (default,) = ec2.describe_network_acls(
            Filters=[{"Name": "association.subnet-id", "Values": [self.subnet]}]
        )["NetworkAcls"]
        ec2.replace_network_acl_association(
            AssociationId=default["Associations"][0]["NetworkAclAssociationId"],
            NetworkAclId=self.acl,
        )

    def rest(self):
        ec2 = self.ec2
        self.reservation = ec2.create_subnet_cidr_reservation(
            SubnetId=self.subnet,
            Cidr="10.0.1.128/28",
            ReservationType="prefix",
            TagSpecifications=tagged("subnet-cidr-reservation"),
        )["SubnetCidrReservation"]["SubnetCidrReservationId"]
        (self.flow_log,) = ec2.create_flow_logs(
            ResourceIds=[self.vpc],
            ResourceType="VPC",
            TrafficType="REJECT",
            LogGroupName="flows",
            DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/logs",
            TagSpecifications=tagged("vpc-flow-log"),
        )["FlowLogIds"]
        trunk = create_eni(ec2, self.subnet, InterfaceType="trunk")["NetworkInterfaceId"]
        branch = create_eni(ec2, self.subnet)["NetworkInterfaceId"]
        ec2.associate_trunk_interface(
            BranchInterfaceId=branch, TrunkInterfaceId=trunk, VlanId=7
        )
        self.permission = ec2.create_network_interface_permission(
            NetworkInterfaceId=self.eni, AwsAccountId=ACCOUNT, Permission="INSTANCE-ATTACH"
        )["InterfacePermission"]["NetworkInterfacePermissionId"]

    def shown(self, operation, key, **more):
        return getattr(self.ec2, operation)(**more)[key][0]


def addresses(w):
    shown = w.shown("describe_addresses", "Addresses", AllocationIds=[w.allocation])
    return TAGS | {
        "allocation-id": w.allocation,
        "association-id": shown["AssociationId"],
        "instance-id": w.instance,
        "network-border-group": REGION,
        "network-interface-id": w.eni,
        "network-interface-owner-id": ACCOUNT,
        "private-ip-address": shown["PrivateIpAddress"],
        "public-ip": shown["PublicIp"],
    }


def zones(w):
    return {
        "group-name": REGION,
        "message": NEVER,
        "opt-in-status": "opt-in-not-required",
        "parent-zone-id": NEVER,
        "parent-zone-name": NEVER,
        "region-name": REGION,
        "state": "available",
        "zone-id": "use1-az1",
        "zone-name": f"{REGION}a",
        "zone-type": "availability-zone",
    }


def flow_logs(w):
    return TAGS | {
        "deliver-log-status": "SUCCESS",
        "flow-log-id": w.flow_log,
        "log-destination-type": "cloud-watch-logs",
        "log-group-name": "flows",
        "resource-id": w.vpc,
        "traffic-type": "REJECT",
    }


def images(w):
    shown = w.shown("describe_images", "Images", ImageIds=[local_vpc.DHCP_IMAGE])
    return {
        "architecture": shown["Architecture"],
        "creation-date": shown["CreationDate"],
        "description": shown["Description"],
        "ena-support": "true",
        "hypervisor": "xen",
        "image-id": shown["ImageId"],
        "image-type": "machine",
        "is-public": "true",
        "kernel-id": NEVER,
        "manifest-location": shown["ImageLocation"],
        "name": shown["Name"],
        "owner-alias": "amazon",
        "owner-id": AMAZON,
        "platform": NEVER,
        "product-code": NEVER,
        "product-code.type": NEVER,
        "ramdisk-id": NEVER,
        "root-device-name": shown["RootDeviceName"],
        "root-device-type": "ebs",
        "source-image-id": NEVER,
        "source-image-region": NEVER,
        "source-instance-id": NEVER,
        "state": "available",
        "state-reason-code": NEVER,
        "state-reason-message": NEVER,
        "tag:team": NEVER,
        "tag-key": NEVER,
        "virtualization-type": "hvm",
    }


OPERATOR = {"operator.managed": "false", "operator.principal": NEVER}


def statuses(w):
    return ZONE | OPERATOR | {
        "event.code": NEVER,
        "event.description": NEVER,
        "event.instance-event-id": NEVER,
        "event.not-after": NEVER,
        "event.not-before": NEVER,
        "event.not-before-deadline": NEVER,
        "instance-state-code": "16",
        "instance-state-name": "running",
        "instance-status.reachability": "passed",
        "instance-status.status": "ok",
        "system-status.reachability": "passed",
        "system-status.status": "ok",
    }


def instance_types(w):
    return {
        "bare-metal": "false",
        "hypervisor": "nitro",
        "instance-type": "m5.large",
        "memory-info.size-in-mib": "8192",
        "network-info.ipv4-addresses-per-interface": "10",
        "network-info.ipv6-addresses-per-interface": "10",
        "network-info.ipv6-supported": "true",
        "network-info.maximum-network-cards": "1",
        "network-info.maximum-network-interfaces": "3",
        "processor-info.supported-architecture": "x86_64",
        "vcpu-info.default-vcpus": "2",
    }


def interface(w):
    """What filters of an interface find, by their names in DescribeInstances."""
    shown = w.shown(
        "describe_network_interfaces", "NetworkInterfaces", NetworkInterfaceIds=[w.eni]
    )
    held, public = shown["Attachment"], shown["Association"]
    association = {
        "allocation-id": public["AllocationId"],
        "association-id": public["AssociationId"],
        "carrier-ip": NEVER,
        "customer-owned-ip": NEVER,
        "ip-owner-id": ACCOUNT,
        "public-dns-name": public["PublicDnsName"],
        "public-ip": public["PublicIp"],
    }
    return ZONE | OPERATOR | {
        **{f"addresses.association.{name}": value for name, value in association.items()},
        "addresses.association.owner-id": ACCOUNT,
        "addresses.primary": "true",
        "addresses.private-dns-name": shown["PrivateDnsName"],
        "addresses.private-ip-address": shown["PrivateIpAddress"],
        **{f"association.{name}": value for name, value in association.items()},
        "attachment.attach-time": time(held["AttachTime"]),
        "attachment.attachment-id": held["AttachmentId"],
        "attachment.delete-on-termination": "true",
        "attachment.device-index": "0",
        "attachment.instance-id": w.instance,
        "attachment.instance-owner-id": ACCOUNT,
        "attachment.network-card-index": "0",
        "attachment.status": "attached",
        "deny-all-igw-traffic": NEVER,
        "description": "first",
        "group-id": w.group,
        "group-name": "web",
        "interface-type": "interface",
        "ipv4-prefixes.ipv4-prefix": shown["Ipv4Prefixes"][0]["Ipv4Prefix"],
        "ipv6-address": shown["Ipv6Address"],
        "ipv6-addresses.ipv6-address": shown["Ipv6Address"],
        "ipv6-addresses.is-primary-ipv6": "true",
        "ipv6-native": "false",
        "ipv6-prefixes.ipv6-prefix": shown["Ipv6Prefixes"][0]["Ipv6Prefix"],
        "mac-address": shown["MacAddress"],
        "network-interface-id": w.eni,
        "outpost-arn": NEVER,
        "owner-id": ACCOUNT,
        "private-dns-name": shown["PrivateDnsName"],
        "private-ip-address": shown["PrivateIpAddress"],
        "public-dns-name": public["PublicDnsName"],
        "requester-id": NEVER,
        "requester-managed": "false",
        "source-dest-check": "true",
        "status": "in-use",
        "subnet-id": w.subnet,
        "tag-key": "team",
        "tag-value": "net",
        "tag:team": "net",
        "vpc-id": w.vpc,
    }


def interfaces(w):
    documented = api_model.documented_filters("DescribeNetworkInterfaces")
    (managed,) = w.ec2.describe_network_interfaces(
        Filters=[{"Name": "interface-type", "Values": ["nat_gateway"]}]
    )["NetworkInterfaces"]
    known = interface(w) | {"requester-id": managed["RequesterId"]}
    return {name: value for name, value in known.items() if plain(name) in documented}


def instances(w):
    launch = w.shown("describe_instances", "Reservations", InstanceIds=[w.instance])
    (shown,) = launch["Instances"]
    documented = api_model.documented_filters("DescribeInstances")
    within = {f"network-interface.{name}": value for name, value in interface(w).items()}
    never = [
        "affinity",
        "capacity-reservation-id",
        "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
        "capacity-reservation-specification.capacity-reservation-target."
        "capacity-reservation-resource-group-arn",
        "host-id",
        "instance-lifecycle",
        "kernel-id",
        "outpost-arn",
        "placement-group-name",
        "placement-partition-number",
        "platform",
        "product-code",
        "product-code.type",
        "ramdisk-id",
        "requester-id",
        "spot-instance-request-id",
        "tpm-support",
    ]
    return ZONE | OPERATOR | TAGS | dict.fromkeys(never, NEVER) | {
        **{name: value for name, value in within.items() if name in documented},
        "architecture": "x86_64",
        "client-token": "once",
        "dns-name": shown["PublicDnsName"],
        "ebs-optimized": "false",
        "ena-support": "true",
        "enclave-options.enabled": "false",
        "hibernation-options.configured": "false",
        "hypervisor": "xen",
        "iam-instance-profile.arn": shown["IamInstanceProfile"]["Arn"],
        "iam-instance-profile.id": shown["IamInstanceProfile"]["Id"],
        "image-id": local_vpc.DHCP_IMAGE,
        "instance-id": w.instance,
        "instance-state-code": "16",
        "instance-state-name": "running",
        "instance-type": "m5.large",
        "instance.group-id": w.group,
        "instance.group-name": "web",
        "ip-address": shown["PublicIpAddress"],
        "ipv6-address": shown["Ipv6Address"],
        "key-name": "mine",
        "launch-index": "0",
        "launch-time": time(shown["LaunchTime"]),
        "metadata-options.http-endpoint": "enabled",
        "metadata-options.http-protocol-ipv4": "enabled",
        "metadata-options.http-protocol-ipv6": "disabled",
        "metadata-options.http-put-response-hop-limit": "1",
        "metadata-options.http-tokens": "required",
        "metadata-options.instance-metadata-tags": "disabled",
        "metadata-options.state": "applied",
        "monitoring-state": "disabled",
        "owner-id": ACCOUNT,
        "platform-details": shown["PlatformDetails"],
        "private-dns-name": shown["PrivateDnsName"],
        "private-ip-address": shown["PrivateIpAddress"],
        "reservation-id": launch["ReservationId"],
        "root-device-name": shown["RootDeviceName"],
        "root-device-type": "ebs",
        "source-dest-check": "true",
        "subnet-id": w.subnet,
        "tenancy": "default",
        "usage-operation": shown["UsageOperation"],
        "usage-operation-update-time": time(shown["UsageOperationUpdateTime"]),
        "virtualization-type": "hvm",
        "vpc-id": w.vpc,
    }


def network_acls(w):
    shown = w.shown("describe_network_acls", "NetworkAcls", NetworkAclIds=[w.acl])
    (held,) = shown["Associations"]
    return TAGS | {
        "association.association-id": held["NetworkAclAssociationId"],
        "association.network-acl-id": w.acl,
        "association.subnet-id": w.subnet,
        "default": "false",
        "entry.cidr": "10.2.0.0/16",
        "entry.egress": "false",
        "entry.icmp.code": "0",
        "entry.icmp.type": "8",
        "entry.ipv6-cidr": "2001:db8::/32",
        "entry.port-range.from": "80",
        "entry.port-range.to": "81",
        "entry.protocol": "tcp",
        "entry.rule-action": "allow",
        "entry.rule-number": "10",
        "network-acl-id": w.acl,
        "owner-id": ACCOUNT,
        "vpc-id": w.vpc,
    }


def route_tables(w):
    (held,) = w.shown("describe_route_tables", "RouteTables", RouteTableIds=[w.table])[
        "Associations"
    ]
    return TAGS | {
        "association.gateway-id": NEVER,
        "association.main": "false",
        "association.route-table-association-id": held["RouteTableAssociationId"],
        "association.route-table-id": w.table,
        "association.subnet-id": w.subnet,
        "owner-id": ACCOUNT,
        "route-table-id": w.table,
        "route.destination-cidr-block": "192.168.0.0/16",
        "route.destination-ipv6-cidr-block": "::/0",
        "route.destination-prefix-list-id": w.prefix_list,
        "route.egress-only-internet-gateway-id": w.egress_only,
        "route.gateway-id": w.internet,
        "route.instance-id": w.instance,
        "route.nat-gateway-id": w.nat,
        "route.origin": "CreateRoute",
        "route.state": "active",
        "route.transit-gateway-id": NEVER,
        "route.vpc-peering-connection-id": w.peering,
        "vpc-id": w.vpc,
    }


def security_groups(w):
    rule = {
        "cidr": "10.2.0.0/16",
        "from-port": "80",
        "group-id": w.group,
        "group-name": "web",
        "ipv6-cidr": "2001:db8::/32",
        "prefix-list-id": w.prefix_list,
        "protocol": "tcp",
        "to-port": "81",
        "user-id": ACCOUNT,
    }
    return TAGS | {
        "description": "of the web",
        **{f"egress.ip-permission.{name}": value for name, value in rule.items()},
        **{f"ip-permission.{name}": value for name, value in rule.items()},
        "group-id": w.group,
        "group-name": "web",
        "owner-id": ACCOUNT,
        "vpc-id": w.vpc,
    }


def subnets(w):
    shown = w.shown("describe_subnets", "Subnets", SubnetIds=[w.subnet])
    (v6,) = shown["Ipv6CidrBlockAssociationSet"]
    return ZONE | TAGS | {
        "available-ip-address-count": str(shown["AvailableIpAddressCount"]),
        "cidr-block": "10.0.1.0/24",
        "customer-owned-ipv4-pool": NEVER,
        "default-for-az": "false",
        "enable-dns64": "false",
        "enable-lni-at-device-index": NEVER,
        "ipv6-cidr-block-association.association-id": v6["AssociationId"],
        "ipv6-cidr-block-association.ipv6-cidr-block": v6["Ipv6CidrBlock"],
        "ipv6-cidr-block-association.state": "associated",
        "ipv6-native": "false",
        "map-customer-owned-ip-on-launch": "false",
        "map-public-ip-on-launch": "false",
        "outpost-arn": NEVER,
        "owner-id": ACCOUNT,
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": "false",
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": "false",
        "private-dns-name-options-on-launch.hostname-type": "ip-name",
        "state": "available",
        "subnet-arn": shown["SubnetArn"],
        "subnet-id": w.subnet,
        "vpc-id": w.vpc,
    }


def peerings(w):
    shown = w.shown(
        "describe_vpc_peering_connections",
        "VpcPeeringConnections",
        VpcPeeringConnectionIds=[w.peering],
    )
    return TAGS | {
        "accepter-vpc-info.cidr-block": "10.1.0.0/16",
        "accepter-vpc-info.owner-id": ACCOUNT,
        "accepter-vpc-info.vpc-id": w.peer,
        "expiration-time": time(shown["ExpirationTime"]) if "ExpirationTime" in shown else "2*",
        "requester-vpc-info.cidr-block": "10.0.0.0/16",
        "requester-vpc-info.owner-id": ACCOUNT,
        "requester-vpc-info.vpc-id": w.vpc,
        "status-code": "active",
        "status-message": shown["Status"]["Message"],
        "vpc-peering-connection-id": w.peering,
    }


def vpcs(w):
    shown = w.shown("describe_vpcs", "Vpcs", VpcIds=[w.vpc])
    v4, v6 = shown["CidrBlockAssociationSet"][0], shown["Ipv6CidrBlockAssociationSet"][0]
    return TAGS | {
        "cidr": "10.0.0.0/16",
        "cidr-block-association.association-id": v4["AssociationId"],
        "cidr-block-association.cidr-block": "10.0.0.0/16",
        "cidr-block-association.state": "associated",
        "dhcp-options-id": shown["DhcpOptionsId"],
        "ipv6-cidr-block-association.association-id": v6["AssociationId"],
        "ipv6-cidr-block-association.ipv6-cidr-block": v6["Ipv6CidrBlock"],
        "ipv6-cidr-block-association.ipv6-pool": "Amazon",
        "ipv6-cidr-block-association.state": "associated",
        "is-default": "false",
        "owner-id": ACCOUNT,
        "state": "available",
        "vpc-id": w.vpc,
    }


# Of each action: the key of what it lists, what its call says besides, the filters, and the text that
# tells what they have to find from the rest.
TABLE = {
    "DescribeAddresses": ("Addresses", {}, addresses, "allocation"),
    "DescribeAvailabilityZones": ("AvailabilityZones", {}, zones, None),
    "DescribeEgressOnlyInternetGateways": (
        "EgressOnlyInternetGateways", {}, lambda w: TAGS, "egress_only",
    ),
    "DescribeFlowLogs": ("FlowLogs", {}, flow_logs, "flow_log"),
    "DescribeImages": ("Images", {}, images, None),
    "DescribeInstanceStatus": ("InstanceStatuses", {}, statuses, "instance"),
    "DescribeInstanceTypeOfferings": (
        "InstanceTypeOfferings",
        {},
        lambda w: {"instance-type": "m5.large", "location": REGION},
        None,
    ),
    "DescribeInstanceTypes": ("InstanceTypes", {}, instance_types, None),
    "DescribeInstances": ("Reservations", {}, instances, "instance"),
    "DescribeInternetGateways": (
        "InternetGateways",
        {},
        lambda w: TAGS
        | {
            "attachment.state": "available",
            "attachment.vpc-id": w.vpc,
            "internet-gateway-id": w.internet,
            "owner-id": ACCOUNT,
        },
        "internet",
    ),
    "DescribeManagedPrefixLists": (
        "PrefixLists",
        {},
        lambda w: {
            "owner-id": ACCOUNT,
            "prefix-list-id": w.prefix_list,
            "prefix-list-name": "office",
        },
        "prefix_list",
    ),
    "DescribeNatGateways": (
        "NatGateways",
        {},
        lambda w: TAGS
        | {
            "nat-gateway-id": w.nat,
            "state": "available",
            "subnet-id": w.subnet,
            "vpc-id": w.vpc,
        },
        "nat",
    ),
    "DescribeNetworkAcls": ("NetworkAcls", {}, network_acls, "acl"),
    "DescribeNetworkInterfacePermissions": (
        "NetworkInterfacePermissions",
        {},
        lambda w: {
            "network-interface-permission.aws-account-id": ACCOUNT,
            "network-interface-permission.aws-service": NEVER,
            "network-interface-permission.network-interface-id": w.eni,
            "network-interface-permission.network-interface-permission-id": w.permission,
            "network-interface-permission.permission": "INSTANCE-ATTACH",
        },
        "permission",
    ),
    "DescribeNetworkInterfaces": ("NetworkInterfaces", {}, interfaces, None),
    "DescribePrefixLists": (
        "PrefixLists",
        {},
        lambda w: {
            "prefix-list-id": w.shown("describe_prefix_lists", "PrefixLists")["PrefixListId"],
            "prefix-list-name": f"com.amazonaws.{REGION}.s3",
        },
        None,
    ),
    "DescribeRegions": (
        "Regions",
        {},
        lambda w: {
            "endpoint": f"ec2.{REGION}.amazonaws.com",
            "opt-in-status": "opt-in-not-required",
            "region-name": REGION,
        },
        None,
    ),
    "DescribeRouteTables": ("RouteTables", {}, route_tables, "table"),
    "DescribeSecurityGroupRules": (
        "SecurityGroupRules",
        {},
        lambda w: {
            "group-id": w.group,
            "security-group-rule-id": w.rule,
            "tag:team": "net",
        },
        "rule",
    ),
    "DescribeSecurityGroups": ("SecurityGroups", {}, security_groups, "group"),
    "DescribeSubnets": ("Subnets", {}, subnets, "subnet"),
    "DescribeTags": (
        "Tags",
        {},
        lambda w: {
            "key": "team",
            "resource-id": w.vpc,
            "resource-type": "vpc",
            "tag:team": "net",
            "value": "net",
        },
        "vpc",
    ),
    "DescribeTrunkInterfaceAssociations": (
        "InterfaceAssociations",
        {},
        lambda w: {"gre-key": NEVER, "interface-protocol": "VLAN"},
        None,
    ),
    "DescribeVpcPeeringConnections": ("VpcPeeringConnections", {}, peerings, "peering"),
    "DescribeVpcs": ("Vpcs", {}, vpcs, "vpc"),
    "GetSecurityGroupsForVpc": (
        "SecurityGroupForVpcs",
        lambda w: {"VpcId": w.vpc},
        lambda w: {
            "description": "of the web",
            "group-id": w.group,
            "group-name": "web",
            "owner-id": ACCOUNT,
            "primary-vpc-id": w.vpc,
        },
        "group",
    ),
    "GetSubnetCidrReservations": (
        "SubnetIpv4CidrReservations",
        lambda w: {"SubnetId": w.subnet},
        lambda w: {
            "reservationType": "prefix",
            "subnet-id": w.subnet,
            "tag:team": "net",
            "tag-key": "team",
        },
        "reservation",
    ),
}
# EC2 refuses every call of this one.
RETIRED = {"DescribeVpcClassicLink"}


def plain(name):
    return "tag:" if name.startswith("tag:") else name


def found(w, action, name, value):
    """What an action lists under a filter; None if it refuses the filter."""
    key, more, _, _ = TABLE[action]
    more = more(w) if callable(more) else more
    operation = getattr(w.ec2, api_model.python_name(action))
    asked = "Filter" if "Filter" in api_model.members(action) else "Filters"
    try:
        return operation(**more, **{asked: [{"Name": name, "Values": [value]}]})[key]
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidParameterValue", (action, name, error)
        return None


def complaints(w, action):
    """What is wrong with the filters of an action."""
    _, _, values, holder = TABLE[action]
    for name, value in values(w).items():
        if value is NEVER:
            if found(w, action, name, "*") != []:
                yield f"{action} {name} finds something"
            continue
        hit, miss = (found(w, action, name, each) for each in (value, "no-such-value"))
        if not hit or (holder and getattr(w, holder) not in repr(hit)):
            yield f"{action} {name}={value} finds {hit}"
        if miss != []:
            yield f"{action} {name} finds {miss} by another value"


def refused(w):
    """By action, the documented filters that are refused."""
    for action in sorted(TABLE):
        known = {plain(name) for name in TABLE[action][2](w)}
        documented = api_model.documented_filters(action)
        assert known <= set(documented), f"{action}: not documented: {known - set(documented)}"
        rest = [name for name in documented if name not in known]
        taken = [name for name in rest if found(w, action, name, "*") is not None]
        assert not taken, f"{action} takes what the table lacks: {taken}"
        if rest:
            yield action, rest


def listed():
    """What docs/fidelity.md says."""
    page = api_model.FIDELITY.read_text()
    section = page.split("## Filters that are refused")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    return {action: re.findall(r"`([^`]+)`", names) for action, names in rows}


def main():
    with_filters = {each for each in api_model.served() if api_model.documented_filters(each)}
    assert with_filters - RETIRED == set(TABLE), with_filters ^ set(TABLE)
    world = World(local_vpc.client())
    wrong = [each for action in TABLE for each in complaints(world, action)]
    rows = dict(refused(world)) if not wrong else {}
    if "--print" in sys.argv:
        for action, names in rows.items():
            print(f"| `{action}` | {', '.join(f'`{name}`' for name in names)} |")
        print("\n".join(wrong))
        return
    assert not wrong, "\n".join(wrong)
    full = [action for action, state in api_model.marks().items() if state == "full"]
    assert not set(full) & set(rows), set(full) & set(rows)
    assert rows == listed(), f"docs/fidelity.md lists {listed()}, refused are {rows}"
    print(f"filters: {sum(len(TABLE[action][2](world)) for action in TABLE)} ok")


if __name__ == "__main__":
    main()
