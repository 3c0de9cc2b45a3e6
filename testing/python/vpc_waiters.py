"""Waiters and paginators of the SDK work, and every Describe keeps its pages small."""

import os

import local_vpc


def pages(ec2, operation, key, **more):
    """All ids of a paginated call, which must not come on one page."""
    found = list(ec2.get_paginator(operation).paginate(**more, PaginationConfig={"PageSize": 5}))
    assert len(found) > 1, f"{operation} came on one page"
    assert all(len(page[key]) <= 5 for page in found), operation
    return [each for page in found for each in page[key]]


def main():
    ec2 = local_vpc.client()
    vpc, subnets = local_vpc.network(ec2, subnets=[f"10.0.{n}.0/24" for n in range(12)])
    enis = sorted(
        local_vpc.create_eni(ec2, subnets[0])["NetworkInterfaceId"] for _ in range(13)
    )
    seen = pages(ec2, "describe_network_interfaces", "NetworkInterfaces")
    assert [each["NetworkInterfaceId"] for each in seen] == enis
    seen = pages(ec2, "describe_subnets", "Subnets")
    assert sorted(each["SubnetId"] for each in seen) == sorted(subnets)
    for number in range(7):
        ec2.create_security_group(VpcId=vpc, GroupName=f"g{number}", Description="x")
        ec2.create_route_table(VpcId=vpc)
    assert len(pages(ec2, "describe_security_groups", "SecurityGroups")) == 8
    assert len(pages(ec2, "describe_security_group_rules", "SecurityGroupRules")) == 9
    assert len(pages(ec2, "describe_route_tables", "RouteTables")) == 8
    ec2.create_tags(Resources=enis, Tags=[{"Key": "team", "Value": "net"}])
    assert len(pages(ec2, "describe_tags", "Tags")) == 13
    kinds = pages(
        ec2,
        "describe_instance_types",
        "InstanceTypes",
        Filters=[{"Name": "instance-type", "Values": ["m5.*"]}],
    )
    limits = {
        each["InstanceType"]: (
            each["NetworkInfo"]["MaximumNetworkInterfaces"],
            each["NetworkInfo"]["Ipv4AddressesPerInterface"],
        )
        for each in kinds
    }
    assert limits["m5.large"] == (3, 10) and limits["m5.24xlarge"] == (15, 50)
    assert len(ec2.describe_instance_types()["InstanceTypes"]) == 100

    launch = ec2.run_instances(
        ImageId=local_vpc.DHCP_IMAGE,
        InstanceType="m5.large",
        MinCount=7,
        MaxCount=7,
        SubnetId=subnets[1],
    )
    ids = [each["InstanceId"] for each in launch["Instances"]]
    assert len(set(ids)) == 7
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids)
    found = pages(ec2, "describe_instances", "Reservations")
    shown = [each["InstanceId"] for group in found for each in group["Instances"]]
    assert sorted(shown) == sorted(ids)
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=enis)
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)

    realistic(local_vpc.client(endpoint=os.environ["REALISTIC_ENDPOINT"]))
    print("waiters: ok")


def realistic(ec2):
    """Under the preset with delays, states are passed one after the other."""
    _, (subnet,) = local_vpc.network(ec2)
    instance = local_vpc.run_instance(ec2, subnet)
    assert instance["State"]["Name"] == "pending"
    eni = local_vpc.create_eni(ec2, subnet)["NetworkInterfaceId"]
    held = ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance["InstanceId"], DeviceIndex=1
    )["AttachmentId"]
    soon = {"Delay": 1, "MaxAttempts": 20}
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[instance["InstanceId"]], WaiterConfig=soon
    )
    ec2.detach_network_interface(AttachmentId=held)
    ec2.get_waiter("network_interface_available").wait(
        NetworkInterfaceIds=[eni], WaiterConfig=soon
    )
    ec2.delete_network_interface(NetworkInterfaceId=eni)


if __name__ == "__main__":
    main()
