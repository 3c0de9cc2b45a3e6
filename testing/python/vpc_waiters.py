"""Every waiter and paginator that boto3 has for an action of this VPC works: one that the tables here
do not name fails."""

import os

import botocore.exceptions

import api_model
import local_vpc
from local_vpc import create_eni, refused, run_instance

# Enough for a second page: EC2 takes no pages of fewer than five.
MANY = 7


class World:
    """Seven of everything that has pages, and one of everything that is waited for."""

    def __init__(self, ec2):
        self.ec2 = ec2
        blocks = [f"10.0.{number}.0/24" for number in range(MANY)]
        self.vpc, self.subnets = local_vpc.network(ec2, subnets=blocks)
        self.others = [
            ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"]
            for number in range(1, MANY + 1)
        ]
        self.enis = [create_eni(ec2, self.subnets[0])["NetworkInterfaceId"] for _ in range(MANY)]
        ec2.create_tags(Resources=self.enis, Tags=[{"Key": "team", "Value": "net"}])
        launch = ec2.run_instances(
            ImageId=local_vpc.DHCP_IMAGE,
            InstanceType="m5.large",
            MinCount=MANY,
            MaxCount=MANY,
            SubnetId=self.subnets[1],
        )
        self.instances = [each["InstanceId"] for each in launch["Instances"]]
        self.gateways()
        self.groups()
        self.trunk()
        for number in range(MANY):
            ec2.create_route_table(VpcId=self.vpc)
            ec2.create_network_acl(VpcId=self.vpc)
            ec2.allocate_address(Domain="vpc")
            ec2.create_network_interface_permission(
                NetworkInterfaceId=self.enis[number],
                AwsAccountId="123456789012",
                Permission="EIP-ASSOCIATE",
            )
            ec2.create_flow_logs(
                ResourceIds=[self.enis[number]],
                ResourceType="NetworkInterface",
                TrafficType="ALL",
                LogDestinationType="s3",
                LogDestination="arn:aws:s3:::logs",
            )

    def gateways(self):
        self.internet, self.nat = [], []
        for other in self.others:
            made = self.ec2.create_internet_gateway()["InternetGateway"]
            self.internet.append(made["InternetGatewayId"])
            self.ec2.create_egress_only_internet_gateway(VpcId=other)
            made = self.ec2.create_nat_gateway(
                SubnetId=self.subnets[2], ConnectivityType="private"
            )["NatGateway"]
            self.nat.append(made["NatGatewayId"])

    def groups(self):
        """Groups that name a prefix list, and a group of a peer that is gone."""

        def group(vpc, name):
            return self.ec2.create_security_group(
                VpcId=vpc, GroupName=name, Description=name
            )["GroupId"]

        self.prefix_lists = [
            self.ec2.create_managed_prefix_list(
                PrefixListName=f"list-{number}",
                AddressFamily="IPv4",
                MaxEntries=MANY,
                Entries=[{"Cidr": f"10.{each}.0.0/16"} for each in range(MANY)],
            )["PrefixList"]["PrefixListId"]
            for number in range(MANY)
        ]
        self.peerings = []
        for other in self.others:
            made = self.ec2.create_vpc_peering_connection(VpcId=self.vpc, PeerVpcId=other)
            self.peerings.append(made["VpcPeeringConnection"]["VpcPeeringConnectionId"])
            self.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=self.peerings[-1])
        theirs = group(self.others[0], "theirs")
        self.mine = [group(self.vpc, f"mine-{number}") for number in range(MANY)]
        for each in self.mine:
            self.ec2.authorize_security_group_ingress(
                GroupId=each,
                IpPermissions=[
                    {
                        "IpProtocol": "-1",
                        "UserIdGroupPairs": [{"GroupId": theirs}],
                        "PrefixListIds": [{"PrefixListId": self.prefix_lists[0]}],
                    }
                ],
            )
        self.ec2.delete_security_group(GroupId=theirs)

    def trunk(self):
        trunk = create_eni(self.ec2, self.subnets[3], InterfaceType="trunk")
        for vlan in range(1, MANY + 1):
            branch = create_eni(self.ec2, self.subnets[3])["NetworkInterfaceId"]
            self.ec2.associate_trunk_interface(
                BranchInterfaceId=branch,
                TrunkInterfaceId=trunk["NetworkInterfaceId"],
                VlanId=vlan,
            )


def filtered(name, *values):
    return {"Filters": [{"Name": name, "Values": list(values)}]}


# Operation, and what more its call says.
PAGINATORS = {
    "describe_addresses_attribute": lambda w: {},
    "describe_egress_only_internet_gateways": lambda w: {},
    "describe_flow_logs": lambda w: {},
    "describe_images": lambda w: {},
    "describe_instance_status": lambda w: {},
    "describe_instance_type_offerings": lambda w: filtered("instance-type", "m5.*"),
    "describe_instance_types": lambda w: filtered("instance-type", "m5.*"),
    "describe_instances": lambda w: {},
    "describe_internet_gateways": lambda w: {},
    "describe_managed_prefix_lists": lambda w: {},
    "describe_nat_gateways": lambda w: {},
    "describe_network_acls": lambda w: {},
    "describe_network_interface_permissions": lambda w: {},
    "describe_network_interfaces": lambda w: {},
    "describe_prefix_lists": lambda w: {},
    "describe_route_tables": lambda w: {},
    "describe_security_group_rules": lambda w: {},
    "describe_security_groups": lambda w: {},
    "describe_stale_security_groups": lambda w: {"VpcId": w.vpc},
    "describe_subnets": lambda w: {},
    "describe_tags": lambda w: {},
    "describe_trunk_interface_associations": lambda w: {},
    "describe_vpc_peering_connections": lambda w: {},
    "describe_vpcs": lambda w: {},
    "get_managed_prefix_list_associations": lambda w: {"PrefixListId": w.prefix_lists[0]},
    "get_managed_prefix_list_entries": lambda w: {"PrefixListId": w.prefix_lists[0]},
    "get_security_groups_for_vpc": lambda w: {"VpcId": w.vpc},
}
# There is one page of these: there are fewer than six.
ONE_PAGE = {"describe_images", "describe_prefix_lists"}
# EC2 refuses what has no pages any more.
RETIRED = {"describe_vpc_classic_link_dns_support"}

# In this order: what is waited for ends in the course of it.
WAITERS = {
    "image_available": lambda w: {"ImageIds": [local_vpc.DHCP_IMAGE]},
    "image_exists": lambda w: {"ImageIds": [local_vpc.DHCP_IMAGE]},
    "instance_exists": lambda w: {"InstanceIds": w.instances},
    "instance_running": lambda w: {"InstanceIds": w.instances},
    "instance_status_ok": lambda w: {"InstanceIds": w.instances},
    "system_status_ok": lambda w: {"InstanceIds": w.instances},
    "instance_stopped": lambda w: {"InstanceIds": ended(w.ec2.stop_instances, w.instances[:1])},
    "instance_terminated": lambda w: {
        "InstanceIds": ended(w.ec2.terminate_instances, w.instances)
    },
    "internet_gateway_exists": lambda w: {"InternetGatewayIds": w.internet},
    "nat_gateway_available": lambda w: {"NatGatewayIds": w.nat},
    "nat_gateway_deleted": lambda w: {"NatGatewayIds": [deleted_nat_gateway(w)]},
    "network_interface_available": lambda w: {"NetworkInterfaceIds": w.enis},
    "security_group_exists": lambda w: {"GroupIds": w.mine},
    "subnet_available": lambda w: {"SubnetIds": w.subnets},
    "vpc_available": lambda w: {"VpcIds": w.others},
    "vpc_exists": lambda w: {"VpcIds": w.others},
    "vpc_peering_connection_exists": lambda w: {"VpcPeeringConnectionIds": w.peerings},
    "vpc_peering_connection_deleted": lambda w: {
        "VpcPeeringConnectionIds": [deleted_peering(w)]
    },
}


def ended(call, instances):
    call(InstanceIds=instances)
    return instances


def deleted_nat_gateway(w):
    w.ec2.delete_nat_gateway(NatGatewayId=w.nat[0])
    return w.nat[0]


def deleted_peering(w):
    w.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=w.peerings[0])
    return w.peerings[0]


def units(operation, objects):
    """What a page counts: instances, which come by launch."""
    if operation == "describe_instances":
        return [each for launch in objects for each in launch["Instances"]]
    return objects


def paginate(w, operation, key):
    more = PAGINATORS[operation](w)
    call = getattr(w.ec2, operation)
    pages = list(
        w.ec2.get_paginator(operation).paginate(**more, PaginationConfig={"PageSize": 5})
    )
    assert all(len(units(operation, page[key])) <= 5 for page in pages), operation
    seen = [each for page in pages for each in units(operation, page[key])]
    everything = units(operation, call(**more)[key])
    ordered = lambda objects: sorted(map(repr, objects))
    assert ordered(seen) == ordered(everything), f"{operation}: {len(seen)} {len(everything)}"
    assert (len(pages) == 1) == (operation in ONE_PAGE), f"{operation}: {len(pages)} pages"


def limits_of_types(ec2):
    pages = ec2.get_paginator("describe_instance_types").paginate()
    limits = {
        each["InstanceType"]: (
            each["NetworkInfo"]["MaximumNetworkInterfaces"],
            each["NetworkInfo"]["Ipv4AddressesPerInterface"],
        )
        for page in pages
        for each in page["InstanceTypes"]
    }
    assert limits["m5.large"] == (3, 10) and limits["m5.24xlarge"] == (15, 50)
    assert len(ec2.describe_instance_types()["InstanceTypes"]) == 100


def realistic(ec2):
    """Under the preset with delays, states are passed one after the other."""
    _, (subnet,) = local_vpc.network(ec2)
    instance = run_instance(ec2, subnet)
    assert instance["State"]["Name"] == "pending"
    eni = create_eni(ec2, subnet)["NetworkInterfaceId"]
    held = ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance["InstanceId"], DeviceIndex=1
    )["AttachmentId"]
    soon = {"Delay": 1, "MaxAttempts": 300}
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[instance["InstanceId"]], WaiterConfig=soon
    )
    ec2.detach_network_interface(AttachmentId=held)
    ec2.get_waiter("network_interface_available").wait(
        NetworkInterfaceIds=[eni], WaiterConfig=soon
    )
    ec2.delete_network_interface(NetworkInterfaceId=eni)


def main():
    paginators = api_model.paginators()
    assert sorted(paginators) == sorted(PAGINATORS | dict.fromkeys(RETIRED))
    assert api_model.waiters() == sorted(WAITERS)
    ec2 = local_vpc.client()
    world = World(ec2)
    for operation in PAGINATORS:
        paginate(world, operation, paginators[operation])
    for operation in RETIRED:
        with refused("UnsupportedOperation"):
            list(ec2.get_paginator(operation).paginate())
    limits_of_types(ec2)
    for name, arguments in WAITERS.items():
        try:
            ec2.get_waiter(name).wait(**arguments(world))
        except botocore.exceptions.WaiterError as error:
            raise AssertionError(f"{name}: {error}") from error
    realistic(local_vpc.client(endpoint=os.environ["REALISTIC_ENDPOINT"]))
    print(f"waiters: {len(WAITERS)} and {len(PAGINATORS)} paginators ok")


if __name__ == "__main__":
    main()
