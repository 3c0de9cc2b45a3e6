"""Security groups and managed prefix lists, as boto3 sees them."""

import local_vpc
from local_vpc import refused


def prefix_lists(ec2):
    made = ec2.create_managed_prefix_list(
        PrefixListName="office",
        AddressFamily="IPv4",
        MaxEntries=3,
        Entries=[{"Cidr": "10.1.2.3/16", "Description": "one"}, {"Cidr": "10.2.0.0/16"}],
        TagSpecifications=[
            {"ResourceType": "prefix-list", "Tags": [{"Key": "Name", "Value": "office"}]}
        ],
        ClientToken="once",
    )["PrefixList"]
    mine = made["PrefixListId"]
    assert made == {
        "PrefixListId": mine,
        "AddressFamily": "IPv4",
        "State": "create-complete",
        "PrefixListArn": f"arn:aws:ec2:us-east-1:123456789012:prefix-list/{mine}",
        "PrefixListName": "office",
        "MaxEntries": 3,
        "Version": 1,
        "Tags": [{"Key": "Name", "Value": "office"}],
        "OwnerId": "123456789012",
    }, made
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=mine)["Entries"]
    assert entries == [
        {"Cidr": "10.1.0.0/16", "Description": "one"},
        {"Cidr": "10.2.0.0/16"},
    ], entries
    changed = ec2.modify_managed_prefix_list(
        PrefixListId=mine, CurrentVersion=1, RemoveEntries=[{"Cidr": "10.2.0.0/16"}]
    )["PrefixList"]
    assert (changed["Version"], changed["State"]) == (2, "modify-complete")
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=mine, TargetVersion=1, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["Entries"]) for page in pages] == [1, 1]
    with refused("PrefixListVersionMismatch", "The prefix list has the incorrect version number."):
        ec2.restore_managed_prefix_list_version(
            PrefixListId=mine, PreviousVersion=1, CurrentVersion=1
        )
    ec2.restore_managed_prefix_list_version(PrefixListId=mine, PreviousVersion=1, CurrentVersion=2)
    with refused(
        "InvalidParameterCombination",
        "You cannot modify the entries and the maximum entries for the prefix list in the same "
        "request.",
    ):
        ec2.modify_managed_prefix_list(
            PrefixListId=mine, MaxEntries=4, AddEntries=[{"Cidr": "10.4.0.0/16"}]
        )
    with refused("InvalidParameterValue", "Must specify a max size between 1 and 1000"):
        ec2.create_managed_prefix_list(
            PrefixListName="x", AddressFamily="IPv4", MaxEntries=0, ClientToken="other"
        )
    return mine


def lists_of_amazon(ec2):
    named = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    (s3,) = ec2.describe_managed_prefix_lists(Filters=named)["PrefixLists"]
    assert s3["OwnerId"] == "AWS" and "MaxEntries" not in s3 and "Version" not in s3, s3
    (old,) = ec2.describe_prefix_lists(Filters=named)["PrefixLists"]
    assert old["PrefixListId"] == s3["PrefixListId"] and "54.231.0.0/16" in old["Cidrs"]
    with refused("UnsupportedOperation"):
        ec2.delete_managed_prefix_list(PrefixListId=s3["PrefixListId"])
    with refused("InvalidParameterValue"):
        ec2.describe_managed_prefix_lists(Filters=[{"Name": "state", "Values": ["x"]}])
    return s3["PrefixListId"]


def rules(ec2, vpc, mine):
    group = ec2.create_security_group(VpcId=vpc, GroupName="web", Description="web")["GroupId"]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        "PrefixListIds": [{"PrefixListId": mine, "Description": "office"}],
    }
    (rule,) = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])[
        "SecurityGroupRules"
    ]
    assert (rule["PrefixListId"], rule["Description"]) == (mine, "office")
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (listed,) = shown["IpPermissions"]
    assert listed["PrefixListIds"] == permission["PrefixListIds"] and not listed["IpRanges"]
    associations = ec2.get_managed_prefix_list_associations(PrefixListId=mine)
    assert associations["PrefixListAssociations"] == [
        {"ResourceId": group, "ResourceOwner": "123456789012"}
    ]
    going = ec2.delete_managed_prefix_list(PrefixListId=mine)["PrefixList"]
    assert going["State"] == "delete-in-progress"
    (left,) = ec2.describe_managed_prefix_lists(PrefixListIds=[mine])["PrefixLists"]
    assert left["State"] == "delete-failed" and group in left["StateMessage"], left
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])
    ec2.delete_managed_prefix_list(PrefixListId=mine)
    with refused("InvalidPrefixListID.NotFound"):
        ec2.describe_managed_prefix_lists(PrefixListIds=[mine])
    return group


def rule_changes(ec2, group):
    def permission(port, cidr, **more):
        ranges = [{"CidrIp": cidr, **more}]
        return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}

    first, second = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            permission(80, "10.0.0.0/8", Description="old"), permission(443, "10.0.0.0/8"),
        ],
    )["SecurityGroupRules"]
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": second["SecurityGroupRuleId"],
                "SecurityGroupRule": {
                    "IpProtocol": "icmpv6", "FromPort": 128, "ToPort": -1, "CidrIpv6": "fd00::1/8",
                },
            }
        ],
    )
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, IpPermissions=[permission(80, "10.9.9.9/8", Description="new")]
    )
    ids = [first["SecurityGroupRuleId"], second["SecurityGroupRuleId"]]
    found = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
    seen = {each["SecurityGroupRuleId"]: each for each in found}
    assert seen[ids[0]]["Description"] == "new", seen
    assert seen[ids[1]]["CidrIpv6"] == "fd00::/8" and seen[ids[1]]["FromPort"] == 128, seen
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group,
        SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": ids[0], "Description": "newer"}],
    )
    with refused("InvalidParameterCombination"):
        ec2.modify_security_group_rules(
            GroupId=group,
            SecurityGroupRules=[
                {
                    "SecurityGroupRuleId": ids[0],
                    "SecurityGroupRule": {
                        "IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0", "CidrIpv6": "::/0",
                    },
                }
            ],
        )
    for wrong in [
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": 3},
        {"IpProtocol": "icmp", "FromPort": 300, "ToPort": -1},
        {"IpProtocol": "icmp"},
        {"IpProtocol": "tcp", "FromPort": 80},
        {"IpProtocol": "256"},
    ]:
        with refused("InvalidParameterValue"):
            ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[{**wrong, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
            )

    def found_by(name, value):
        filters = [{"Name": name, "Values": [value]}]
        groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return group in [each["GroupId"] for each in groups]

    for name, value in [
        ("ip-permission.from-port", "128"),
        ("ip-permission.to-port", "80"),
        ("ip-permission.ipv6-cidr", "fd00::/8"),
        ("ip-permission.cidr", "10.0.0.0/8"),
        ("egress.ip-permission.cidr", "0.0.0.0/0"),
        ("egress.ip-permission.protocol", "-1"),
    ]:
        assert found_by(name, value), name
    assert not found_by("egress.ip-permission.to-port", "80")


def for_vpc(ec2, vpc, group):
    usable = ec2.get_security_groups_for_vpc(VpcId=vpc)["SecurityGroupForVpcs"]
    assert {each["GroupName"] for each in usable} == {"default", "web"}
    (mine,) = ec2.get_security_groups_for_vpc(
        VpcId=vpc, Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupForVpcs"]
    assert mine["PrimaryVpcId"] == vpc and mine["OwnerId"] == "123456789012", mine


def trunks(ec2, subnet):
    instance = local_vpc.run_instance(ec2, subnet)["InstanceId"]
    trunk = local_vpc.create_eni(ec2, subnet, InterfaceType="trunk")["NetworkInterfaceId"]
    branch = local_vpc.create_eni(ec2, subnet)["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=trunk, InstanceId=instance, DeviceIndex=1)
    made = ec2.associate_trunk_interface(
        BranchInterfaceId=branch, TrunkInterfaceId=trunk, VlanId=7, ClientToken="once"
    )
    association = made["InterfaceAssociation"]["AssociationId"]
    expected = {
        "AssociationId": association,
        "BranchInterfaceId": branch,
        "TrunkInterfaceId": trunk,
        "InterfaceProtocol": "VLAN",
        "VlanId": 7,
        "Tags": [],
    }
    assert made["InterfaceAssociation"] == expected, made
    again = ec2.associate_trunk_interface(
        BranchInterfaceId=branch, TrunkInterfaceId=trunk, VlanId=7, ClientToken="once"
    )
    assert again["InterfaceAssociation"] == expected
    listed = ec2.describe_trunk_interface_associations(AssociationIds=[association])
    assert listed["InterfaceAssociations"] == [expected]
    (seen,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[branch])["NetworkInterfaces"]
    assert (seen["Status"], seen["InterfaceType"]) == ("associated", "branch"), seen
    assert "Attachment" not in seen
    with refused("UnsupportedOperation"):
        ec2.associate_trunk_interface(BranchInterfaceId=branch, TrunkInterfaceId=trunk, GreKey=1)
    with refused("InvalidNetworkInterface.InUse"):
        ec2.attach_network_interface(NetworkInterfaceId=branch, InstanceId=instance, DeviceIndex=2)
    ec2.disassociate_trunk_interface(AssociationId=association)
    ec2.delete_network_interface(NetworkInterfaceId=branch)


def tracking(ec2, subnet):
    eni = local_vpc.create_eni(
        ec2, subnet, ConnectionTrackingSpecification={"TcpEstablishedTimeout": 350}
    )
    assert eni["ConnectionTrackingConfiguration"] == {"TcpEstablishedTimeout": 350}
    mine = eni["NetworkInterfaceId"]
    with refused("InvalidParameterValue"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=mine, ConnectionTrackingSpecification={"UdpTimeout": 61}
        )
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=mine,
        ConnectionTrackingSpecification={"UdpTimeout": 60, "UdpStreamTimeout": 120},
    )
    (seen,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[mine])["NetworkInterfaces"]
    assert seen["ConnectionTrackingConfiguration"] == {
        "TcpEstablishedTimeout": 350, "UdpStreamTimeout": 120, "UdpTimeout": 60,
    }, seen
    instance = local_vpc.run_instance(
        ec2,
        subnet,
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": subnet,
                "ConnectionTrackingSpecification": {"UdpTimeout": 45},
            }
        ],
    )
    (primary,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
    )["NetworkInterfaces"]
    assert primary["ConnectionTrackingConfiguration"] == {"UdpTimeout": 45}


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    mine = prefix_lists(ec2)
    lists_of_amazon(ec2)
    group = rules(ec2, vpc, mine)
    rule_changes(ec2, group)
    for_vpc(ec2, vpc, group)
    trunks(ec2, subnet)
    tracking(ec2, subnet)
    print("groups: ok")


if __name__ == "__main__":
    main()
