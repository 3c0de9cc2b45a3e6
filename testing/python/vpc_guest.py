"""Programs of others within an instance of full mode: cloud-init reads the metadata, and botocore finds
credentials there that the API accepts."""

import json
import os
import pathlib
import subprocess
import sys

import local_vpc

FOLDER = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CLOUD_INIT = CACHE / "underlay/cloud-init"
USER_DATA = "#cloud-config\nfqdn: node.example\n"


def inside(instance, script, *arguments):
    """What a script prints that runs in an instance's network, without credentials of its own."""
    names = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    command = ["nsenter", f"--net=/run/netns/{instance}", sys.executable, str(FOLDER / script)]
    ended = subprocess.run(
        [*command, *arguments],
        env=names
        | {
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "PYTHONPATH": str(CLOUD_INIT),
            # The machine's own resolver is not reached from here.
            "RES_OPTIONS": "timeout:1 attempts:1",
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, f"{script}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def cloud_init(instance):
    assert (CLOUD_INIT / "cloudinit").is_dir(), f"{CLOUD_INIT} is missing: run `make setup`"
    read = json.loads(inside(instance["InstanceId"], "guest_cloud_init.py", "ens5"))
    (interface,) = instance["NetworkInterfaces"]
    mac = interface["MacAddress"]
    assert read["instance-id"] == instance["InstanceId"], read
    assert read["identity"]["instanceType"] == "m5.large", read
    assert (read["region"], read["availability-zone"]) == ("us-east-1", "us-east-1a"), read
    assert read["launch-index"] == "0", read
    assert read["user-data"] == USER_DATA, read
    (key,) = read["public-keys"]
    assert key.startswith("ssh-ed25519 ") and key.endswith(" mine"), read
    metadata = read["metadata"]
    assert metadata["local-ipv4"] == instance["PrivateIpAddress"], metadata
    assert metadata["local-hostname"] == instance["PrivateDnsName"], metadata
    assert metadata["tags"]["instance"] == {"Name": "node"}, metadata
    seen = metadata["network"]["interfaces"]["macs"][mac]
    assert seen["interface-id"] == interface["NetworkInterfaceId"], seen
    assert seen["subnet-ipv4-cidr-block"] == "10.0.1.0/24", seen
    network = read["network"]["ethernets"]["ens5"]
    assert (network["dhcp4"], network["match"]) == (True, {"macaddress": mac.lower()}), network
    # The address that was assigned besides is configured, the primary one by DHCP.
    more = [each["PrivateIpAddress"] for each in interface["PrivateIpAddresses"][1:]]
    assert network["addresses"] == [f"{address}/24" for address in more], network


def credentials(instance, vpc, endpoint):
    printed = inside(instance["InstanceId"], "guest_credentials.py", endpoint, "us-east-1")
    identity, vpcs = printed.splitlines()
    assert ":assumed-role/" in identity and identity.endswith(instance["InstanceId"]), identity
    assert vpcs == vpc, printed


def main():
    ec2 = local_vpc.client(key="AKIDROOT", secret="hunter2")
    vpc, (subnet,) = local_vpc.network(ec2)
    instance = local_vpc.run_instance(
        ec2,
        None,
        KeyName="mine",
        UserData=USER_DATA,
        MetadataOptions={"InstanceMetadataTags": "enabled"},
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet, "SecondaryPrivateIpAddressCount": 1}
        ],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "node"}]}
        ],
    )
    endpoint = subprocess.run(
        [os.environ["UNDERLAY_VPC"], "endpoint", "--run", os.environ["RUN_ID"]]
        + ["--subnet", subnet],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    cloud_init(instance)
    credentials(instance, vpc, endpoint)
    print("guest: ok")


if __name__ == "__main__":
    main()
