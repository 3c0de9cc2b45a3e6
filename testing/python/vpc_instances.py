"""Stopping, starting and rebooting instances, their attributes, and groups of peered VPCs."""

import local_vpc
from local_vpc import refused, run_instance


def power(ec2, subnet):
    instance = run_instance(ec2, subnet)["InstanceId"]
    only = {"InstanceIds": [instance]}
    (stopping,) = ec2.stop_instances(**only)["StoppingInstances"]
    assert stopping["PreviousState"] == {"Code": 16, "Name": "running"}, stopping
    assert stopping["CurrentState"] == {"Code": 80, "Name": "stopped"}, stopping
    ec2.get_waiter("instance_stopped").wait(**only)
    (shown,) = ec2.describe_instances(**only)["Reservations"][0]["Instances"]
    assert shown["NetworkInterfaces"][0]["Attachment"]["Status"] == "attached"
    assert ec2.describe_instance_status(**only)["InstanceStatuses"] == []
    (status,) = ec2.describe_instance_status(**only, IncludeAllInstances=True)["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "not-applicable"
    with refused("IncorrectInstanceState"):
        ec2.reboot_instances(**only)
    ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "m5.xlarge"})
    ec2.modify_instance_attribute(InstanceId=instance, UserData={"Value": b"hello"})
    (starting,) = ec2.start_instances(**only)["StartingInstances"]
    assert starting["CurrentState"]["Name"] == "running"
    ec2.get_waiter("instance_running").wait(**only)
    ec2.reboot_instances(**only)
    return instance


def attributes(ec2, instance):
    def read(name):
        return ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)

    assert read("instanceType")["InstanceType"] == {"Value": "m5.xlarge"}
    assert read("userData")["UserData"] == {"Value": "aGVsbG8="}
    assert read("disableApiTermination")["DisableApiTermination"] == {"Value": False}
    assert read("disableApiStop")["DisableApiStop"] == {"Value": False}
    assert read("instanceInitiatedShutdownBehavior")["InstanceInitiatedShutdownBehavior"] == {
        "Value": "stop"
    }
    assert len(read("groupSet")["Groups"]) == 1
    with refused("InvalidParameterValue"):
        read("bogus")
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[instance])
    ec2.modify_instance_attribute(
        InstanceId=instance, Attribute="disableApiTermination", Value="false"
    )
    ec2.modify_instance_attribute(
        InstanceId=instance, Attribute="sourceDestCheck", Value="false"
    )
    assert read("sourceDestCheck")["SourceDestCheck"] == {"Value": False}
    ec2.reset_instance_attribute(InstanceId=instance, Attribute="sourceDestCheck")
    assert read("sourceDestCheck")["SourceDestCheck"] == {"Value": True}
    with refused("IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "m5.large"})
    with refused("InvalidParameterCombination"):
        ec2.modify_instance_attribute(
            InstanceId=instance, DisableApiStop={"Value": True}, EbsOptimized={"Value": True}
        )
    ec2.terminate_instances(InstanceIds=[instance])


def interfaces(ec2, subnet):
    """Permissions on an interface, and its attribute reset."""
    instance = run_instance(ec2, subnet)
    eni = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    to_service = {"AwsService": "elb.amazonaws.com", "Permission": "EIP-ASSOCIATE"}
    made = ec2.create_network_interface_permission(NetworkInterfaceId=eni, **to_service)
    made = made["InterfacePermission"]
    shown = ec2.describe_network_interface_permissions()["NetworkInterfacePermissions"]
    assert shown == [made], shown
    assert made == {
        "NetworkInterfacePermissionId": made["NetworkInterfacePermissionId"],
        "NetworkInterfaceId": eni,
        "PermissionState": {"State": "granted"},
        **to_service,
    }, made
    own = ec2.create_network_interface_permission(
        NetworkInterfaceId=eni, AwsAccountId="123456789012", Permission="INSTANCE-ATTACH"
    )["InterfacePermission"]["NetworkInterfacePermissionId"]
    with refused("OperationNotPermitted"):
        ec2.delete_network_interface_permission(NetworkInterfacePermissionId=own)
    ec2.delete_network_interface_permission(NetworkInterfacePermissionId=own, Force=True)
    with refused("InvalidParameterCombination"):
        ec2.create_network_interface_permission(
            NetworkInterfaceId=eni, AwsAccountId="123456789012", **to_service
        )
    with refused("MissingParameter"):
        ec2.create_network_interface_permission(NetworkInterfaceId=eni, Permission="EIP-ASSOCIATE")
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    ec2.reset_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck="true")
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert shown["SourceDestCheck"] is True, shown
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert not ec2.describe_network_interface_permissions()["NetworkInterfacePermissions"]


def offerings(ec2):
    def of(kind, **more):
        found = ec2.describe_instance_type_offerings(
            Filters=[{"Name": "instance-type", "Values": [kind]}], **more
        )["InstanceTypeOfferings"]
        return [(each["InstanceType"], each["LocationType"], each["Location"]) for each in found]

    assert of("m5.large") == [("m5.large", "region", "us-east-1")]
    assert of("m5.large", LocationType="availability-zone-id") == [
        ("m5.large", "availability-zone-id", f"use1-az{number}") for number in (1, 2)
    ]
    assert of("m5.large", LocationType="outpost") == []
    with refused("InvalidParameterValue"):
        of("m5.large", LocationType="moon")


def placement(ec2, subnet):
    run_instance(ec2, subnet, Placement={"AvailabilityZoneId": "use1-az1"})
    with refused("InvalidParameterValue"):
        run_instance(ec2, subnet, Placement={"AvailabilityZoneId": "use1-az2"})


def peers(ec2, vpc):
    other, _ = local_vpc.network(ec2, cidr="10.1.0.0/16", subnets=())

    def group(vpc, name):
        return ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"]

    mine, theirs = group(vpc, "mine"), group(other, "theirs")
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": theirs}]}

    def allow():
        ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=[permission])

    with refused("InvalidGroup.NotFound"):
        allow()
    peering = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)[
        "VpcPeeringConnection"
    ]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    allow()
    references = ec2.describe_security_group_references(GroupId=[theirs])
    assert references["SecurityGroupReferenceSet"] == [
        {"GroupId": theirs, "ReferencingVpcId": vpc, "VpcPeeringConnectionId": peering}
    ], references
    assert ec2.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"] == []
    (shown,) = ec2.describe_security_groups(GroupIds=[mine])["SecurityGroups"]
    (pair,) = shown["IpPermissions"][0]["UserIdGroupPairs"]
    assert (pair["VpcId"], pair["PeeringStatus"]) == (other, "active"), pair
    ec2.delete_security_group(GroupId=theirs)
    (stale,) = ec2.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"]
    assert stale["GroupId"] == mine
    (permission_left,) = stale["StaleIpPermissions"]
    assert permission_left["UserIdGroupPairs"][0]["GroupId"] == theirs, stale


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    instance = power(ec2, subnet)
    attributes(ec2, instance)
    interfaces(ec2, subnet)
    offerings(ec2)
    placement(ec2, subnet)
    peers(ec2, vpc)
    print("instances: ok")


if __name__ == "__main__":
    main()
