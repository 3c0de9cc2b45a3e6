"""Blocks, IPv6 and reservations of a VPC through the SDK: made, read back by every filter, and
taken away again."""

import ipaddress

import local_vpc
from local_vpc import refused


def only(found, key):
    (one,) = found[key]
    return one


def by(name, *values):
    return [{"Name": name, "Values": [str(value) for value in values]}]


def vpc_blocks(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.2.0.18/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    assert vpc["CidrBlock"] == "10.2.0.0/16"
    (v6,) = vpc["Ipv6CidrBlockAssociationSet"]
    assert v6["Ipv6CidrBlock"].endswith("/56") and v6["Ipv6Pool"] == "Amazon"
    assert v6["NetworkBorderGroup"] == "us-east-1" and v6["IpSource"] == "amazon"
    vpc = vpc["VpcId"]
    added = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="100.64.0.0/16")
    added = added["CidrBlockAssociation"]
    assert added["CidrBlock"] == "100.64.0.0/16"
    for filters in [
        by("cidr", "10.2.0.0/16"),
        by("cidr-block-association.cidr-block", "100.64.0.0/16"),
        by("cidr-block-association.association-id", added["AssociationId"]),
        by("cidr-block-association.state", "associated"),
        by("ipv6-cidr-block-association.ipv6-cidr-block", v6["Ipv6CidrBlock"]),
        by("ipv6-cidr-block-association.association-id", v6["AssociationId"]),
        by("ipv6-cidr-block-association.ipv6-pool", "Amazon"),
        by("ipv6-cidr-block-association.state", "associated"),
    ]:
        assert only(ec2.describe_vpcs(Filters=filters), "Vpcs")["VpcId"] == vpc, filters
    assert ec2.describe_vpcs(Filters=by("cidr", "100.64.0.0/16"))["Vpcs"] == []
    table = only(ec2.describe_route_tables(Filters=by("vpc-id", vpc)), "RouteTables")
    local = [each["DestinationCidrBlock"] for each in table["Routes"]
             if each["GatewayId"] == "local" and "DestinationCidrBlock" in each]
    assert local == ["10.2.0.0/16", "100.64.0.0/16"]

    def associate(**more):
        return ec2.associate_vpc_cidr_block(VpcId=vpc, **more)

    with refused(
        "InvalidVpc.Range",
        "The CIDR '172.16.0.0/16' is restricted. Use a CIDR from the same private address range as "
        "the current VPC CIDR, or use a publicly-routable CIDR. For additional restrictions, see "
        "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html",
    ):
        associate(CidrBlock="172.16.0.0/16")
    # What another emulator accepts: a block within one that the VPC has.
    with refused("InvalidVpc.Range"):
        associate(CidrBlock="10.2.128.0/17")
    with refused("MissingParameter"):
        associate()
    with refused("InvalidParameterCombination"):
        associate(CidrBlock="10.3.0.0/16", AmazonProvidedIpv6CidrBlock=True)
    with refused("UnsupportedOperation"):
        associate(Ipv6Pool="ipv6pool-ec2-012345", Ipv6CidrBlock="2001:db8::/56")
    with refused("InvalidParameterValue"):
        associate(AmazonProvidedIpv6CidrBlock=True, Ipv6CidrBlockNetworkBorderGroup="moon")
    for number in range(3):
        associate(CidrBlock=f"10.{3 + number}.0.0/16")
    with refused(
        "CidrLimitExceeded",
        f"This network '{vpc}' has met its maximum number of allowed CIDRs: 5",
    ):
        associate(CidrBlock="10.9.0.0/16")
    with refused("InvalidVpcCidrBlockAssociationID.NotFound"):
        ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-0123456789abcdef0")
    primary = only(ec2.describe_vpcs(VpcIds=[vpc]), "Vpcs")["CidrBlockAssociationSet"][0]
    with refused("OperationNotPermitted"):
        ec2.disassociate_vpc_cidr_block(AssociationId=primary["AssociationId"])
    gone = ec2.disassociate_vpc_cidr_block(AssociationId=added["AssociationId"])
    assert gone["CidrBlockAssociation"]["CidrBlockState"]["State"] == "disassociating"
    return vpc, ipaddress.ip_network(v6["Ipv6CidrBlock"])


def vpc_attributes(ec2, vpc):
    def value(name, key):
        return ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)[key]["Value"]

    for name, key in [
        ("enableDnsHostnames", "EnableDnsHostnames"),
        ("enableNetworkAddressUsageMetrics", "EnableNetworkAddressUsageMetrics"),
    ]:
        assert value(name, key) is False
        ec2.modify_vpc_attribute(VpcId=vpc, **{key: {"Value": True}})
        assert value(name, key) is True
    with refused("InvalidParameterCombination"):
        ec2.modify_vpc_attribute(
            VpcId=vpc, EnableDnsSupport={"Value": True}, EnableDnsHostnames={"Value": True}
        )
    with refused("InvalidParameterCombination"):
        ec2.modify_vpc_attribute(VpcId=vpc)


def subnet_blocks(ec2, vpc, block):
    first, second = list(block.subnets(new_prefix=64))[:2]

    def create(cidr, **more):
        return ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"]

    subnet = create("10.2.1.0/24", Ipv6CidrBlock=str(first))
    (held,) = subnet["Ipv6CidrBlockAssociationSet"]
    assert held["Ipv6CidrBlock"] == str(first)
    assert held["Ipv6CidrBlockState"] == {"State": "associated"}
    assert subnet["PrivateDnsNameOptionsOnLaunch"]["HostnameType"] == "ip-name"
    subnet = subnet["SubnetId"]
    with refused("InvalidSubnet.Conflict", f"The CIDR '{first}' conflicts with another subnet"):
        create("10.2.2.0/24", Ipv6CidrBlock=str(first))
    with refused("InvalidSubnet.Range"):
        create("10.2.2.0/24", Ipv6CidrBlock="2001:db8::/64")
    with refused("UnsupportedOperation"):
        ec2.create_subnet(VpcId=vpc, Ipv6CidrBlock=str(second), Ipv6Native=True)
    other = create("10.2.2.0/24")
    assert other["Ipv6CidrBlockAssociationSet"] == []
    other = other["SubnetId"]
    added = ec2.associate_subnet_cidr_block(SubnetId=other, Ipv6CidrBlock=str(second))
    added = added["Ipv6CidrBlockAssociation"]["AssociationId"]
    for filters, expected in [
        (by("ipv6-cidr-block-association.ipv6-cidr-block", second), other),
        (by("ipv6-cidr-block-association.association-id", added), other),
        (by("ipv6-cidr-block-association.ipv6-cidr-block", first), subnet),
    ]:
        assert only(ec2.describe_subnets(Filters=filters), "Subnets")["SubnetId"] == expected
    both = ec2.describe_subnets(
        Filters=by("ipv6-cidr-block-association.state", "associated")
        + by("ipv6-native", "false")
        + by("enable-dns64", "false")
        + by("private-dns-name-options-on-launch.hostname-type", "ip-name")
    )["Subnets"]
    assert sorted(each["SubnetId"] for each in both) == sorted([subnet, other])
    gone = ec2.disassociate_subnet_cidr_block(AssociationId=added)
    state = gone["Ipv6CidrBlockAssociation"]["Ipv6CidrBlockState"]["State"]
    assert (gone["SubnetId"], state) == (other, "disassociating")
    with refused("InvalidSubnetCidrBlockAssociationID.NotFound"):
        ec2.disassociate_subnet_cidr_block(AssociationId=added)
    return subnet, first


def subnet_attributes(ec2, subnet):
    def seen():
        return only(ec2.describe_subnets(SubnetIds=[subnet]), "Subnets")

    for name in ["AssignIpv6AddressOnCreation", "EnableDns64", "MapPublicIpOnLaunch"]:
        assert seen()[name] is False
        ec2.modify_subnet_attribute(SubnetId=subnet, **{name: {"Value": True}})
        assert seen()[name] is True
        ec2.modify_subnet_attribute(SubnetId=subnet, **{name: {"Value": False}})
    ec2.modify_subnet_attribute(SubnetId=subnet, PrivateDnsHostnameTypeOnLaunch="resource-name")
    ec2.modify_subnet_attribute(
        SubnetId=subnet, EnableResourceNameDnsAAAARecordOnLaunch={"Value": True}
    )
    assert seen()["PrivateDnsNameOptionsOnLaunch"] == {
        "HostnameType": "resource-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": True,
    }
    with refused("InvalidParameterCombination"):
        ec2.modify_subnet_attribute(
            SubnetId=subnet, EnableDns64={"Value": True}, MapPublicIpOnLaunch={"Value": True}
        )
    with refused("UnsupportedOperation"):
        ec2.modify_subnet_attribute(SubnetId=subnet, EnableLniAtDeviceIndex=1)


def interface_addresses(ec2, subnet, block):
    base = block.network_address

    def seen(eni):
        return only(
            ec2.describe_network_interfaces(NetworkInterfaceIds=[eni]), "NetworkInterfaces"
        )

    def v6(eni):
        return [each["Ipv6Address"] for each in seen(eni)["Ipv6Addresses"]]

    eni = local_vpc.create_eni(ec2, subnet, Ipv6AddressCount=2)
    assert eni["Ipv6Addresses"] == [
        {"Ipv6Address": str(base + 4), "IsPrimaryIpv6": False},
        {"Ipv6Address": str(base + 5), "IsPrimaryIpv6": False},
    ]
    assert "Ipv6Prefixes" not in eni and eni["Ipv6Address"] == str(base + 4)
    eni = eni["NetworkInterfaceId"]
    named = ec2.assign_ipv6_addresses(
        NetworkInterfaceId=eni, Ipv6Addresses=[str(base + 4), str(base + 77)]
    )
    # Only what is new.
    assert named["AssignedIpv6Addresses"] == [str(base + 77)]
    prefixes = ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6PrefixCount=1)
    (prefix,) = prefixes["AssignedIpv6Prefixes"]
    assert prefix == f"{base + (1 << 48)}/80"
    assert seen(eni)["Ipv6Prefixes"] == [{"Ipv6Prefix": prefix}]
    for filters in [
        by("ipv6-addresses.ipv6-address", base + 77),
        by("ipv6-addresses.ipv6-address", base + 5) + by("status", "available"),
    ]:
        found = ec2.describe_network_interfaces(Filters=filters)
        assert only(found, "NetworkInterfaces")["NetworkInterfaceId"] == eni

    def assign(**more):
        return ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, **more)

    only_one = (
        "You can and can only specify one of ipv6-addresses or ipv6-addresses-count  ipv6-prefix "
        "and ipv6-prefix-count."
    )
    with refused("InvalidParameterValue", only_one):
        assign(Ipv6AddressCount=1, Ipv6PrefixCount=1)
    with refused("InvalidParameterCombination"):
        assign(Ipv6AddressCount=1, Ipv6Addresses=[str(base + 9)])
    with refused("MissingParameter"):
        assign()
    with refused("InvalidParameterValue"):
        assign(Ipv6AddressCount=0)
    with refused("InvalidParameterValue"):
        assign(Ipv6Addresses=["2001:db8::1"])
    with refused("InvalidParameterValue"):
        assign(Ipv6Addresses=[str(base + 1)])
    with refused("InvalidParameterValue"):
        assign(Ipv6Addresses=["10.0.0.9"])
    with refused("InvalidIPAddress.InUse"):
        local_vpc.create_eni(ec2, subnet, Ipv6Addresses=[{"Ipv6Address": str(base + 77)}])
    with refused("InvalidIPAddress.InUse"):
        local_vpc.create_eni(ec2, subnet, Ipv6Prefixes=[{"Ipv6Prefix": prefix}])
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId="eni-00000000", Ipv6AddressCount=1)
    with refused("InvalidParameterValue"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=[str(base + 99)])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, EnablePrimaryIpv6=True)
    assert [each["IsPrimaryIpv6"] for each in seen(eni)["Ipv6Addresses"]] == [True, False, False]
    with refused("InvalidParameterValue"):
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=[str(base + 4)])
    gone = ec2.unassign_ipv6_addresses(
        NetworkInterfaceId=eni, Ipv6Addresses=[str(base + 5)], Ipv6Prefixes=[prefix]
    )
    assert gone["UnassignedIpv6Addresses"] == [str(base + 5)]
    assert gone["UnassignedIpv6Prefixes"] == [prefix]
    assert v6(eni) == [str(base + 4), str(base + 77)]
    ec2.delete_network_interface(NetworkInterfaceId=eni)

    # A subnet that gives an address to each, and how to get none.
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    given = local_vpc.create_eni(ec2, subnet)
    assert [each["Ipv6Address"] for each in given["Ipv6Addresses"]] == [str(base + 4)]
    none = local_vpc.create_eni(ec2, subnet, Ipv6AddressCount=0)
    assert none["Ipv6Addresses"] == []
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": False})
    for each in [given, none]:
        ec2.delete_network_interface(NetworkInterfaceId=each["NetworkInterfaceId"])


def launches(ec2, subnet, block):
    base = block.network_address
    first = local_vpc.run_instance(ec2, subnet, Ipv6AddressCount=1, EnablePrimaryIpv6=True)
    (eni,) = first["NetworkInterfaces"]
    address = {"Ipv6Address": str(base + 4), "IsPrimaryIpv6": True}
    assert eni["Ipv6Addresses"] == [address] and first["Ipv6Address"] == str(base + 4)
    second = local_vpc.run_instance(ec2, subnet, Ipv6Addresses=[{"Ipv6Address": str(base + 50)}])
    assert second["Ipv6Address"] == str(base + 50)
    interface = {"DeviceIndex": 0, "SubnetId": subnet, "Ipv6PrefixCount": 1}
    launch = {
        "ImageId": local_vpc.DHCP_IMAGE,
        "InstanceType": "m5.large",
        "MinCount": 1,
        "MaxCount": 1,
    }
    third = ec2.run_instances(**launch, NetworkInterfaces=[interface])["Instances"][0]
    (eni,) = third["NetworkInterfaces"]
    assert eni["Ipv6Prefixes"] == [{"Ipv6Prefix": f"{base + (1 << 48)}/80"}]
    with refused(
        "InvalidParameterCombination",
        "IPv6 addresses and IPv6 address count may not be specified on the same request",
    ):
        local_vpc.run_instance(
            ec2, subnet, Ipv6AddressCount=1, Ipv6Addresses=[{"Ipv6Address": str(base + 51)}]
        )
    with refused("InvalidParameterCombination"):
        ec2.run_instances(**launch, NetworkInterfaces=[interface], Ipv6AddressCount=1)
    with refused("PrivateIpAddressLimitExceeded"):
        local_vpc.run_instance(ec2, subnet, Ipv6AddressCount=11)
    with refused("UnsupportedOperation"):
        launch["InstanceType"] = "t2.micro"
        ec2.run_instances(**launch, NetworkInterfaces=[interface])
    ids = [each["InstanceId"] for each in [first, second, third]]
    ec2.terminate_instances(InstanceIds=ids)


def reservations(ec2, vpc, block):
    v6 = list(block.subnets(new_prefix=64))[5]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.2.5.0/24", Ipv6CidrBlock=str(v6))
    subnet = subnet["Subnet"]["SubnetId"]

    def available():
        found = only(ec2.describe_subnets(SubnetIds=[subnet]), "Subnets")
        return found["AvailableIpAddressCount"]

    def reserve(cidr, kind, **more):
        return ec2.create_subnet_cidr_reservation(
            SubnetId=subnet, Cidr=str(cidr), ReservationType=kind, **more
        )["SubnetCidrReservation"]

    tags = [
        {"ResourceType": "subnet-cidr-reservation", "Tags": [{"Key": "for", "Value": "pods"}]}
    ]
    assert available() == 251
    pods = reserve("10.2.5.64/26", "prefix", Description="pods", TagSpecifications=tags)
    assert pods["Cidr"] == "10.2.5.64/26" and pods["ReservationType"] == "prefix"
    assert pods["OwnerId"] == "123456789012" and pods["Description"] == "pods"
    fixed = reserve("10.2.5.0/27", "explicit")
    wide = reserve(next(v6.subnets(new_prefix=80)), "explicit")
    # What another emulator stores and does not honour.
    assert available() == 251 - 64 - 28
    eni = local_vpc.create_eni(ec2, subnet, Ipv4PrefixCount=1, Ipv6AddressCount=1)
    assert eni["PrivateIpAddress"] == "10.2.5.32"
    assert eni["Ipv4Prefixes"] == [{"Ipv4Prefix": "10.2.5.64/28"}]
    assert eni["Ipv6Addresses"][0]["Ipv6Address"] == str(v6.network_address + (1 << 48))
    named = local_vpc.create_eni(ec2, subnet, PrivateIpAddress="10.2.5.10")
    assert named["PrivateIpAddress"] == "10.2.5.10"
    assert available() == 251 - 64 - 28 - 1
    with refused(
        "InvalidParameterValue",
        "Reservation CIDR 10.2.5.80/28 has overlap with existing reserved CIDR block",
    ):
        reserve("10.2.5.80/28", "prefix")
    with refused("InvalidParameterValue"):
        reserve("10.2.6.0/28", "prefix")
    with refused("InvalidParameterValue"):
        reserve("10.2.5.128/28", "mine")

    def ids(**more):
        found = ec2.get_subnet_cidr_reservations(SubnetId=subnet, **more)
        sets = [found["SubnetIpv4CidrReservations"], found["SubnetIpv6CidrReservations"]]
        return [sorted(each["SubnetCidrReservationId"] for each in kept) for kept in sets]

    def key(each):
        return each["SubnetCidrReservationId"]

    assert ids() == [sorted([key(pods), key(fixed)]), [key(wide)]]
    assert ids(Filters=by("reservationType", "explicit")) == [[key(fixed)], [key(wide)]]
    assert ids(Filters=by("tag:for", "pods")) == [[key(pods)], []]
    gone = ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=key(pods))
    assert key(gone["DeletedSubnetCidrReservation"]) == key(pods)
    # The prefix in use stays in use.
    assert available() == 251 - 16 - 28 - 1
    with refused("InvalidSubnetCidrReservationID.NotFound"):
        ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=key(pods))


def main():
    ec2 = local_vpc.client()
    vpc, block = vpc_blocks(ec2)
    vpc_attributes(ec2, vpc)
    subnet, part = subnet_blocks(ec2, vpc, block)
    subnet_attributes(ec2, subnet)
    interface_addresses(ec2, subnet, part)
    launches(ec2, subnet, part)
    reservations(ec2, vpc, block)
    print("dual stack: ok")


if __name__ == "__main__":
    main()
