"""Which documented parameters each action does not take: docs/fidelity.md lists them, all of them and
no others, and an action that lacks some is not marked `full`.

Every parameter of botocore's model is sent by itself, on top of a call that would be accepted, with
DryRun: what is unknown is refused before anything else is looked at."""

import re
import sys

import botocore.exceptions
from botocore.config import Config

import api_model
import local_vpc

NUMBER = "0123456789abcdef0"
# How ids of the kinds begin, by the end of the parameter's name.
IDS = {
    "AclId": "acl",
    "AllocationId": "eipalloc",
    "AttachmentId": "eni-attach",
    "ConnectionId": "pcx",
    "EgressOnlyInternetGatewayId": "eigw",
    "FlowLogId": "fl",
    "GroupId": "sg",
    "ImageId": "ami",
    "InstanceId": "i",
    "InterfaceId": "eni",
    "InternetGatewayId": "igw",
    "NatGatewayId": "nat",
    "PermissionId": "eni-perm",
    "PrefixListId": "pl",
    "ReservationId": "scr",
    "RouteTableId": "rtb",
    "RuleId": "sgr",
    "SubnetId": "subnet",
    "VpcId": "vpc",
}
TEXTS = {
    "Cidr": "10.0.0.0/16",
    "CidrBlock": "10.0.0.0/16",
    "Protocol": "tcp",
    "ResourceType": "vpc",
}


def id_of(kind):
    return f"{kind}-{NUMBER}"


ENTRY = {
    "NetworkAclId": id_of("acl"), "RuleNumber": 1, "Egress": False, "Protocol": "-1",
    "RuleAction": "allow", "CidrBlock": "10.0.0.0/8",
}
PERMISSION = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
# Either way to name a rule.
PERMISSIONS = [
    {
        "GroupId": id_of("sg"),
        "IpPermissions": [{**PERMISSION, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
    },
    {"GroupId": id_of("sg"), **PERMISSION, "CidrIp": "10.0.0.0/8"},
]
ROUTE = {
    "RouteTableId": id_of("rtb"), "DestinationCidrBlock": "10.0.0.0/8",
    "NetworkInterfaceId": id_of("eni"),
}
# Calls that need more, or something else, than the model calls required; several where parameters
# exclude each other.
CALLS = {
    "AllocateAddress": {"Domain": "vpc"},
    "AssignIpv6Addresses": {"NetworkInterfaceId": id_of("eni"), "Ipv6AddressCount": 1},
    "AssignPrivateIpAddresses": {
        "NetworkInterfaceId": id_of("eni"), "SecondaryPrivateIpAddressCount": 1
    },
    "AssociateAddress": {"AllocationId": id_of("eipalloc"), "NetworkInterfaceId": id_of("eni")},
    "AssociateRouteTable": {"RouteTableId": id_of("rtb"), "SubnetId": id_of("subnet")},
    "AssociateSubnetCidrBlock": {"SubnetId": id_of("subnet"), "Ipv6CidrBlock": "fd00::/64"},
    "AssociateTrunkInterface": {
        "BranchInterfaceId": id_of("eni"), "TrunkInterfaceId": id_of("eni"), "VlanId": 1
    },
    "AssociateVpcCidrBlock": {"VpcId": id_of("vpc"), "CidrBlock": "10.0.0.0/16"},
    "AuthorizeSecurityGroupEgress": PERMISSIONS,
    "AuthorizeSecurityGroupIngress": PERMISSIONS,
    "CreateFlowLogs": {
        "ResourceIds": [id_of("vpc")], "ResourceType": "VPC", "TrafficType": "ALL",
        "LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs",
    },
    "CreateManagedPrefixList": {
        "PrefixListName": "x", "MaxEntries": 1, "AddressFamily": "IPv4"
    },
    "CreateNatGateway": {"SubnetId": id_of("subnet"), "ConnectivityType": "private"},
    "CreateNetworkAclEntry": ENTRY,
    "CreateNetworkInterfacePermission": {
        "NetworkInterfaceId": id_of("eni"), "AwsAccountId": "123456789012",
        "Permission": "INSTANCE-ATTACH",
    },
    "CreateRoute": ROUTE,
    "CreateSecurityGroup": {"VpcId": id_of("vpc"), "GroupName": "x", "Description": "x"},
    "CreateSubnet": {"VpcId": id_of("vpc"), "CidrBlock": "10.0.0.0/16"},
    "CreateSubnetCidrReservation": {
        "SubnetId": id_of("subnet"), "Cidr": "10.0.0.0/28", "ReservationType": "prefix"
    },
    "CreateTags": {"Resources": [id_of("vpc")], "Tags": [{"Key": "a", "Value": "b"}]},
    "CreateVpc": {"CidrBlock": "10.0.0.0/16"},
    "CreateVpcPeeringConnection": {"VpcId": id_of("vpc"), "PeerVpcId": id_of("vpc")},
    "DeleteNetworkAclEntry": {
        "NetworkAclId": id_of("acl"), "RuleNumber": 1, "Egress": False
    },
    "DeleteRoute": {"RouteTableId": id_of("rtb"), "DestinationCidrBlock": "10.0.0.0/8"},
    "DeleteSecurityGroup": {"GroupId": id_of("sg")},
    "DeleteTags": {"Resources": [id_of("vpc")], "Tags": [{"Key": "a"}]},
    "DisassociateAddress": {"AssociationId": id_of("eipassoc")},
    "DisassociateRouteTable": {"AssociationId": id_of("rtbassoc")},
    "DisassociateSubnetCidrBlock": {"AssociationId": id_of("subnet-cidr-assoc")},
    "DisassociateTrunkInterface": {"AssociationId": id_of("trunk-assoc")},
    "DisassociateVpcCidrBlock": {"AssociationId": id_of("vpc-cidr-assoc")},
    "DescribeInstanceAttribute": {"InstanceId": id_of("i"), "Attribute": "instanceType"},
    "DescribeNetworkInterfaceAttribute": {
        "NetworkInterfaceId": id_of("eni"), "Attribute": "description"
    },
    "ModifyInstanceAttribute": [
        {"InstanceId": id_of("i"), "DisableApiStop": {"Value": True}},
        {"InstanceId": id_of("i"), "Attribute": "disableApiTermination", "Value": "true"},
    ],
    "ModifyInstanceMetadataOptions": {"InstanceId": id_of("i"), "HttpTokens": "required"},
    "ModifyManagedPrefixList": {"PrefixListId": id_of("pl"), "PrefixListName": "x"},
    "ModifyNetworkInterfaceAttribute": {
        "NetworkInterfaceId": id_of("eni"), "Description": {"Value": "x"}
    },
    "ModifySecurityGroupRules": {
        "GroupId": id_of("sg"),
        "SecurityGroupRules": [
            {
                "SecurityGroupRuleId": id_of("sgr"),
                "SecurityGroupRule": {**PERMISSION, "CidrIpv4": "10.0.0.0/8"},
            }
        ],
    },
    "ModifySubnetAttribute": {
        "SubnetId": id_of("subnet"), "MapPublicIpOnLaunch": {"Value": True}
    },
    "ModifyVpcAttribute": {"VpcId": id_of("vpc"), "EnableDnsSupport": {"Value": True}},
    "ModifyVpcPeeringConnectionOptions": {
        "VpcPeeringConnectionId": id_of("pcx"),
        "AccepterPeeringConnectionOptions": {"AllowDnsResolutionFromRemoteVpc": True},
    },
    "ReleaseAddress": {"AllocationId": id_of("eipalloc")},
    "ReplaceNetworkAclAssociation": {
        "AssociationId": id_of("aclassoc"), "NetworkAclId": id_of("acl")
    },
    "ReplaceNetworkAclEntry": ENTRY,
    "ReplaceRoute": ROUTE,
    "ReplaceRouteTableAssociation": {
        "AssociationId": id_of("rtbassoc"), "RouteTableId": id_of("rtb")
    },
    "ResetNetworkInterfaceAttribute": {
        "NetworkInterfaceId": id_of("eni"), "SourceDestCheck": "true"
    },
    "ResetInstanceAttribute": {"InstanceId": id_of("i"), "Attribute": "sourceDestCheck"},
    "RevokeSecurityGroupEgress": PERMISSIONS,
    "RevokeSecurityGroupIngress": PERMISSIONS,
    "RunInstances": {
        "ImageId": id_of("ami"), "MinCount": 1, "MaxCount": 1, "SubnetId": id_of("subnet")
    },
    "UnassignIpv6Addresses": {"NetworkInterfaceId": id_of("eni"), "Ipv6Addresses": ["fd00::1"]},
    "UnassignPrivateIpAddresses": {
        "NetworkInterfaceId": id_of("eni"), "PrivateIpAddresses": ["10.0.0.9"]
    },
    "UpdateSecurityGroupRuleDescriptionsEgress": PERMISSIONS[0],
    "UpdateSecurityGroupRuleDescriptionsIngress": PERMISSIONS[0],
}
# EC2 itself refuses every call of these.
RETIRED = {"DescribeVpcClassicLink", "DescribeVpcClassicLinkDnsSupport"}
# Not part of what an action does, but of how it is asked.
COMMON = {"DryRun", "MaxResults", "NextToken"}


def text_for(name, shape):
    """A value for a parameter, by its name and kind."""
    if name == "InterfaceType":
        return "interface"
    if getattr(shape, "enum", None):
        return shape.enum[0]
    singular = name.removesuffix("s")
    for end, kind in IDS.items():
        if singular.endswith(end):
            return id_of(kind)
    for end, text in TEXTS.items():
        if singular.endswith(end):
            return text
    return "x"


def value_for(name, shape):
    """The least value of a shape: of a structure, its required members."""
    if shape.type_name == "structure":
        members = shape.members.items()
        return {key: value_for(key, each) for key, each in members if key in shape.required_members}
    if shape.type_name == "list":
        return [value_for(name, shape.member)]
    kinds = {"boolean": True, "integer": 1, "long": 1, "double": 1.0, "blob": b"x"}
    if shape.type_name == "timestamp":
        return "2026-01-01T00:00:00Z"
    return kinds.get(shape.type_name) or text_for(name, shape)


def leaves(name, shape, outer=()):
    """Every parameter within a shape: its path, and a call's argument that holds it alone."""
    if shape.type_name == "list" and shape.member.type_name == "structure":
        for path, value in leaves(name, shape.member, outer):
            yield path, [value]
    elif shape.type_name == "structure" and shape.name not in outer and shape.members:
        for key, member in shape.members.items():
            for path, value in leaves(key, member, (*outer, shape.name)):
                yield f"{name}.{path}", {**value_for(name, shape), key: value}
    else:
        yield name, value_for(name, shape)


def answer(ec2, action, arguments):
    """What a call comes to: a code."""
    try:
        getattr(ec2, api_model.python_name(action))(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "accepted", ""


def bases(action):
    """Calls of an action that would be accepted."""
    shape = api_model.EC2.operation_model(action).input_shape
    known = CALLS.get(action) or (value_for(action, shape) if shape else {})
    return known if isinstance(known, list) else [known]


def not_taken(ec2, action):
    """The parameters that an action refuses as unknown, or as unsupported."""
    calls = bases(action)
    for call in calls:
        code, message = answer(ec2, action, call)
        assert code == "DryRunOperation", f"{action} {call}: {code} {message}"

    def takes(call, name, value):
        held = call.get(name)
        if isinstance(held, dict):
            value = {**held, **value}
        code, _ = answer(ec2, action, {**call, name: value})
        return code not in ("UnknownParameter", "UnsupportedOperation")

    missing = [
        path
        for name, shape in api_model.members(action).items()
        if name not in COMMON
        for path, value in leaves(name, shape)
        if not any(takes(call, name, value) for call in calls)
    ]
    return shortened(missing, api_model.members(action))


def shortened(paths, members):
    """A structure of which nothing is taken is told once, as `Name.*`."""
    short = []
    for path in paths:
        name = path.split(".", 1)[0]
        whole = [each for each, _ in leaves(name, members[name])]
        if len(whole) > 1 and set(whole) <= set(paths):
            path = f"{name}.*"
        if path not in short:
            short.append(path)
    return short


def listed():
    """What docs/fidelity.md says."""
    page = api_model.FIDELITY.read_text()
    section = page.split("## Parameters that are not taken")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    return {action: re.findall(r"`([^`]+)`", names) for action, names in rows}


def main():
    quiet = Config(parameter_validation=False)
    ec2 = local_vpc.client(config=quiet)
    # Some actions take it without documenting it.
    ec2.meta.events.register(
        "before-call.ec2", lambda params, **_: params["body"].update({"DryRun": "true"})
    )
    found = {
        action: missing
        for action in api_model.served()
        if action not in RETIRED and (missing := not_taken(ec2, action))
    }
    if "--print" in sys.argv:
        for action, names in found.items():
            print(f"| `{action}` | {', '.join(f'`{name}`' for name in names)} |")
        return
    said = listed()
    wrong = [
        f"{action}: docs/fidelity.md lists {said.get(action)}, not taken are {found.get(action)}"
        for action in sorted(said.keys() | found.keys())
        if said.get(action) != found.get(action)
    ]
    full = [action for action, state in api_model.marks().items() if state == "full"]
    wrong += [f"{action} is not full" for action in full if action in found]
    assert not wrong, "\n".join(wrong)
    print(f"parameters: {len(api_model.served())} actions ok")


if __name__ == "__main__":
    main()
