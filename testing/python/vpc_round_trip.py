"""Builds a VPC, runs an instance, attaches an interface with 5 addresses and a prefix, and reads
it all back; then takes everything down again."""

import local_vpc


def available(ec2, subnet):
    return ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]


def build(ec2):
    vpc, (subnet,) = local_vpc.network(ec2)
    group = ec2.create_security_group(VpcId=vpc, GroupName="web", Description="web servers")
    group = group["GroupId"]
    rules = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": 80,
                "IpRanges": [{"CidrIp": "10.0.0.1/8", "Description": "inside"}],
                "UserIdGroupPairs": [{"GroupId": group}],
            }
        ],
    )["SecurityGroupRules"]
    assert [rule.get("CidrIpv4") for rule in rules] == ["10.0.0.0/8", None]
    assert rules[1]["ReferencedGroupInfo"]["GroupId"] == group
    assert rules[0]["Description"] == "inside" and not rules[0]["IsEgress"]

    instance = local_vpc.run_instance(
        ec2,
        subnet,
        SecurityGroupIds=[group],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "<node & co>"}]}
        ],
    )
    assert instance["State"] == {"Code": 16, "Name": "running"}
    assert instance["PrivateIpAddress"] == "10.0.1.4"
    assert available(ec2, subnet) == 250
    return vpc, subnet, group, instance["InstanceId"]


def attach(ec2, subnet, group, instance):
    eni = local_vpc.create_eni(
        ec2, subnet, Groups=[group], SecondaryPrivateIpAddressCount=4, Description="pods"
    )
    assert eni["Status"] == "pending" and "Attachment" not in eni
    assert len(local_vpc.addresses(eni)) == 5
    eni = eni["NetworkInterfaceId"]
    attached = ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1
    )
    assigned = ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=1)
    assert assigned["AssignedPrivateIpAddresses"] == []
    assert assigned["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": "10.0.1.16/28"}]
    one = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.200"]
    )
    # Only what is new.
    assert one["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "10.0.1.200"}]
    return eni, attached["AttachmentId"]


def read_back(ec2, subnet, group, instance, eni, attachment):
    found = ec2.describe_network_interfaces(
        Filters=[
            {"Name": "attachment.instance-id", "Values": [instance]},
            {"Name": "attachment.device-index", "Values": ["1"]},
            {"Name": "attachment.status", "Values": ["attached"]},
        ]
    )["NetworkInterfaces"]
    assert [each["NetworkInterfaceId"] for each in found] == [eni]
    (seen,) = found
    assert seen["Status"] == "in-use" and seen["SourceDestCheck"]
    assert seen["Groups"] == [{"GroupId": group, "GroupName": "web"}]
    assert local_vpc.addresses(seen) == [
        "10.0.1.5", "10.0.1.6", "10.0.1.7", "10.0.1.8", "10.0.1.9", "10.0.1.200",
    ]
    assert seen["Ipv4Prefixes"] == [{"Ipv4Prefix": "10.0.1.16/28"}]
    held = seen["Attachment"]
    assert (held["AttachmentId"], held["InstanceId"]) == (attachment, instance)
    assert (held["DeviceIndex"], held["NetworkCardIndex"]) == (1, 0)
    assert held["Status"] == "attached" and held["DeleteOnTermination"] is False

    reservation = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["<node*"]}]
    )["Reservations"][0]
    (shown,) = reservation["Instances"]
    assert shown["InstanceId"] == instance
    assert shown["Tags"] == [{"Key": "Name", "Value": "<node & co>"}]
    assert shown["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    primary, pods = shown["NetworkInterfaces"]
    assert primary["Attachment"]["DeviceIndex"] == 0
    assert primary["Attachment"]["DeleteOnTermination"] is True
    assert pods["NetworkInterfaceId"] == eni
    assert pods["MacAddress"] == seen["MacAddress"] != primary["MacAddress"]
    # 256 - 5 reserved - 1 (primary of the instance) - 6 addresses - 16 of the prefix
    assert available(ec2, subnet) == 228


def take_down(ec2, vpc, subnet, group, instance, eni, attachment):
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.200"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=["10.0.1.16/28"])
    assert available(ec2, subnet) == 245
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni,
        Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni, SourceDestCheck={"Value": False}
    )
    attribute = ec2.describe_network_interface_attribute(
        NetworkInterfaceId=eni, Attribute="sourceDestCheck"
    )
    assert attribute["SourceDestCheck"] == {"Value": False}
    ended = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    assert ended[0]["PreviousState"]["Name"] == "running"
    assert ended[0]["CurrentState"]["Name"] == "terminated"
    with local_vpc.refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])
    assert available(ec2, subnet) == 251
    # The group names itself in a rule: that does not keep it.
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_vpcs()["Vpcs"] == []


def main():
    ec2 = local_vpc.client()
    vpc, subnet, group, instance = build(ec2)
    eni, attachment = attach(ec2, subnet, group, instance)
    read_back(ec2, subnet, group, instance, eni, attachment)
    take_down(ec2, vpc, subnet, group, instance, eni, attachment)
    print("round trip: ok")


if __name__ == "__main__":
    main()
