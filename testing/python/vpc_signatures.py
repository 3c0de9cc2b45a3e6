"""A server that verifies signatures takes those of its key, and no others."""

import datetime
import os

import local_vpc
from local_vpc import refused


def main():
    endpoint = os.environ["VERIFYING_ENDPOINT"]

    def client(**keys):
        return local_vpc.client(endpoint=endpoint, **keys)

    good = client(key="AKIDROOT", secret="hunter2")
    vpc = good.create_vpc(
        CidrBlock="10.0.0.0/16",
        TagSpecifications=[
            {"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "a b+c/d~é"}]}
        ],
    )["Vpc"]
    assert vpc["Tags"] == [{"Key": "Name", "Value": "a b+c/d~é"}]
    with refused("SignatureDoesNotMatch", status=403):
        client(key="AKIDROOT", secret="hunter3").describe_vpcs()
    with refused("AuthFailure", status=401):
        client(key="AKIDOTHER", secret="hunter2").describe_vpcs()
    with refused("AuthFailure", status=401):
        client(key="AKIDROOT", secret="hunter2", token="stolen").describe_vpcs()
    # An old signature is no longer good.
    stale = client(key="AKIDROOT", secret="hunter2")
    import botocore.auth

    real = botocore.auth.get_current_datetime
    try:
        past = datetime.timedelta(minutes=10)
        botocore.auth.get_current_datetime = lambda *args, **more: real(*args, **more) - past
        with refused("SignatureDoesNotMatch", status=403):
            stale.describe_vpcs()
    finally:
        botocore.auth.get_current_datetime = real

    sts = local_vpc.client("sts", endpoint=endpoint, key="AKIDROOT", secret="hunter2")
    identity = sts.get_caller_identity()
    assert identity["Account"] == "123456789012", identity
    assert identity["Arn"] == "arn:aws:iam::123456789012:root", identity
    print("signatures: ok")


if __name__ == "__main__":
    main()
