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
    rules(ec2, vpc, mine)
    tracking(ec2, subnet)
    print("groups: ok")


if __name__ == "__main__":
    main()
