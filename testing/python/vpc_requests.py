"""What requests may say beyond the plain case: bounds, parameters without effect, filters, owners
of images, tags, counts of nothing, and tokens."""

import local_vpc
from local_vpc import DHCP_IMAGE, create_eni, refused, run_instance

AMAZON = "137112412989"


def bounds(ec2, subnet):
    for more in [
        {"UserData": "x" * 16_385},
        {"KeyName": "k" * 256},
        {"IamInstanceProfile": {"Name": "p" * 129}},
        {"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/" + "p" * 129}},
        {"Placement": {"AvailabilityZone": "us-east-1b"}},
        {"Placement": {"GroupName": "close"}},
        {"HibernationOptions": {"Configured": True}},
        {"EnclaveOptions": {"Enabled": True}},
    ]:
        with refused("InvalidParameterValue"):
            run_instance(ec2, subnet, **more)
    with refused("InvalidParameterValue"):
        run_instance(ec2, subnet, Ipv6AddressCount=1)
    # Each bound itself is allowed.
    run_instance(
        ec2,
        subnet,
        UserData="x" * 16_384,
        KeyName="k" * 255,
        IamInstanceProfile={"Name": "p" * 128},
        Placement={"AvailabilityZone": "us-east-1a"},
    )


def malformed_user_data(ec2, subnet):
    """boto3 encodes user data by itself: put something else in its place."""

    def spoil(params, **_):
        params["body"]["UserData"] = "not base64!"

    event = "before-call.ec2.RunInstances"
    ec2.meta.events.register(event, spoil)
    with refused("InvalidUserData.Malformed"):
        run_instance(ec2, subnet, UserData="x")
    ec2.meta.events.unregister(event, spoil)


def without_effect(ec2, subnet):
    run_instance(
        ec2,
        subnet,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}},
            {"DeviceName": "/dev/xvdb", "NoDevice": ""},
        ],
        CreditSpecification={"CpuCredits": "standard"},
        CpuOptions={"CoreCount": 1, "ThreadsPerCore": 2},
        PrivateDnsNameOptions={"HostnameType": "ip-name", "EnableResourceNameDnsARecord": False},
        MaintenanceOptions={"AutoRecovery": "default"},
        HibernationOptions={"Configured": False},
        EnclaveOptions={"Enabled": False},
        Placement={"GroupName": "", "AvailabilityZone": "us-east-1a"},
        Ipv6AddressCount=0,
    )
    assert ec2.describe_instances(IncludeManagedResources=True)["Reservations"]
    assert ec2.describe_instance_status(IncludeManagedResources=True)["InstanceStatuses"]
    assert ec2.describe_network_interfaces(IncludeManagedResources=True)["NetworkInterfaces"]


def counts_of_nothing(ec2, subnet):
    nothing = {"SecondaryPrivateIpAddressCount": 0, "Ipv4PrefixCount": 0, "Ipv6AddressCount": 0}
    eni = create_eni(ec2, subnet, **nothing)
    assert len(local_vpc.addresses(eni)) == 1
    plain = {"DeviceIndex": 0, "SubnetId": subnet}
    instance = run_instance(ec2, subnet, NetworkInterfaces=[{**plain, **nothing}])
    assert len(instance["NetworkInterfaces"][0]["PrivateIpAddresses"]) == 1
    for name in ("SecondaryPrivateIpAddressCount", "Ipv4PrefixCount"):
        with refused("InvalidParameterValue"):
            ec2.assign_private_ip_addresses(
                NetworkInterfaceId=eni["NetworkInterfaceId"], **{name: 0}
            )
    with refused("InvalidParameterValue"):
        create_eni(ec2, subnet, Ipv6AddressCount=1)


def images(ec2):
    def count(**wanted):
        return len(ec2.describe_images(**wanted)["Images"])

    every = count()
    assert every > 0
    for owners in ([], ["amazon"], [AMAZON], ["self", "amazon"]):
        assert count(Owners=owners) == every, owners
    for owners in (["self"], ["123456789012"], ["aws-marketplace"]):
        assert count(Owners=owners) == 0, owners
    for name, value in [("root-device-type", "ebs"), ("owner-id", AMAZON), ("hypervisor", "xen")]:
        assert count(Filters=[{"Name": name, "Values": [value]}]) == every, name
        assert count(Filters=[{"Name": name, "Values": ["other"]}]) == 0, name


def tags(ec2, vpc, subnet):
    ec2.create_tags(Resources=[vpc, subnet], Tags=[{"Key": "team", "Value": "blue"}])
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "tier", "Value": "blue"}])

    def tagged(key, value):
        found = ec2.describe_tags(Filters=[{"Name": f"tag:{key}", "Values": [value]}])["Tags"]
        return {(each["ResourceId"], each["Key"]) for each in found}

    assert tagged("team", "b*") == {(vpc, "team"), (subnet, "team")}
    assert tagged("team", "red") == set()
    assert tagged("tier", "blue") == {(vpc, "tier")}
    with refused("UnsupportedOperation"):
        ec2.create_tags(Resources=[DHCP_IMAGE], Tags=[{"Key": "team", "Value": "blue"}])
    for describe in (
        ec2.describe_instance_types,
        ec2.describe_availability_zones,
        ec2.describe_regions,
        ec2.describe_instance_status,
    ):
        for name in ("tag:team", "tag-key"):
            with refused("InvalidParameterValue"):
                describe(Filters=[{"Name": name, "Values": ["blue"]}])


def limits_of_filters(ec2):
    one = {"Name": "vpc-id", "Values": ["*"]}
    assert ec2.describe_vpcs(Filters=[one] * 50)["Vpcs"]
    with refused("FilterLimitExceeded"):
        ec2.describe_vpcs(Filters=[one] * 51)
    with refused("FilterLimitExceeded"):
        ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": ["*"] * 201}])


def tokens(ec2, subnet):
    first = create_eni(ec2, subnet, ClientToken="once")
    again = create_eni(ec2, subnet, ClientToken="once", DryRun=False)
    assert first["NetworkInterfaceId"] == again["NetworkInterfaceId"]
    with refused("DryRunOperation", status=412):
        create_eni(ec2, subnet, ClientToken="once", DryRun=True)


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    bounds(ec2, subnet)
    malformed_user_data(ec2, subnet)
    without_effect(ec2, subnet)
    counts_of_nothing(ec2, subnet)
    images(ec2)
    tags(ec2, vpc, subnet)
    limits_of_filters(ec2)
    tokens(ec2, subnet)
    for block in ("127.0.0.0/16", "169.254.0.0/16", "224.0.0.0/16"):
        with refused("InvalidVpc.Range"):
            ec2.create_vpc(CidrBlock=block)
    print("requests: ok")


if __name__ == "__main__":
    main()
