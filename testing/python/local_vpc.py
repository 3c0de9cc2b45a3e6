"""A client of the VPC whose API is at $ENDPOINT, and the way to expect a refusal."""

import contextlib
import os

import boto3
import botocore.config
import botocore.exceptions

DHCP_IMAGE = "ami-0dc0000000000000a"


def client(
    service="ec2", endpoint=None, key="AKIDEXAMPLE", secret="secret", token=None, config=None
):
    """A client that does not try again by itself: each refusal is seen."""
    once = botocore.config.Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client(
        service,
        endpoint_url=endpoint or os.environ["ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=once.merge(config) if config else once,
    )


@contextlib.contextmanager
def refused(code, message=None, status=400):
    """Expects the block to be refused with exactly this code (and message, and HTTP status)."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        answer = error.response["Error"]
        got = (answer["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), f"expected {code} ({status}), got {error}"
        assert message is None or answer["Message"] == message, f"{answer['Message']!r}"
        assert error.response["ResponseMetadata"]["RequestId"]
    else:
        raise AssertionError(f"expected {code}, but the call was accepted")


def network(ec2, cidr="10.0.0.0/16", subnets=("10.0.1.0/24",), zone="us-east-1a"):
    """A VPC with subnets: their ids."""
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    made = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for block in subnets
    ]
    return vpc, made


def run_instance(ec2, subnet, kind="m5.large", **more):
    """One instance: what RunInstances says of it."""
    if "NetworkInterfaces" not in more:
        more["SubnetId"] = subnet
    launch = ec2.run_instances(
        ImageId=DHCP_IMAGE, InstanceType=kind, MinCount=1, MaxCount=1, **more
    )
    return launch["Instances"][0]


def create_eni(ec2, subnet, **more):
    """An interface: what CreateNetworkInterface says of it."""
    return ec2.create_network_interface(SubnetId=subnet, **more)["NetworkInterface"]


def addresses(eni):
    """All addresses of an interface, the primary one first."""
    ordered = sorted(eni["PrivateIpAddresses"], key=lambda each: not each["Primary"])
    return [each["PrivateIpAddress"] for each in ordered]
