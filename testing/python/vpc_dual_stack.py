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


def main():
    ec2 = local_vpc.client()
    vpc, block = vpc_blocks(ec2)
    vpc_attributes(ec2, vpc)
    subnet, _ = subnet_blocks(ec2, vpc, block)
    subnet_attributes(ec2, subnet)
    print("dual stack: ok")


if __name__ == "__main__":
    main()
