"""What cloud-init's data source for EC2 reads from the metadata service: run within an instance."""

import json
import sys
import tempfile

from cloudinit import helpers
from cloudinit.sources.DataSourceEc2 import (
    CloudNames,
    DataSourceEc2,
    convert_ec2_metadata_network_config,
)

# Which platform this is stands in the firmware, and the machine under the test is not ours.
DataSourceEc2._cloud_name = CloudNames.AWS


def main():
    (device,) = sys.argv[1:]
    config = {"metadata_urls": ["http://169.254.169.254"], "timeout": 10, "max_wait": 60}
    with tempfile.TemporaryDirectory() as folder:
        paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
        source = DataSourceEc2({"datasource": {"Ec2": config}}, None, paths)
        assert source._get_data(), "cloud-init found no metadata"
    network = source.metadata["network"]
    (mac,) = network["interfaces"]["macs"]
    read = {
        "availability-zone": source.availability_zone,
        "identity": source.identity,
        "instance-id": source.get_instance_id(),
        "launch-index": source.launch_index,
        "metadata": source.metadata,
        "network": convert_ec2_metadata_network_config(network, {mac: device}, device),
        "public-keys": source.get_public_ssh_keys(),
        "region": source.region,
        "user-data": source.userdata_raw.decode(),
    }
    json.dump(read, sys.stdout)


main()
