"""What CreateFlowLogs takes and DescribeFlowLogs shows: formats, destinations, options."""

import local_vpc
from local_vpc import refused

ROLE = "arn:aws:iam::123456789012:role/flow-logs"
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/vpc/flow"
DEFAULT_FORMAT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} "
    "${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"
)
FURTHER_FIELDS = """
    vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr
    region az-id sublocation-type sublocation-id
    pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path
    ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id
    ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn
    ecs-task-arn ecs-task-id reject-reason resource-id encryption-status
    instance-tag instance-tag-2 interface-tag interface-tag-2 asg-tag asg-tag-2 interface-type
    next-hop-interface-id next-hop-subnet-id next-hop-az-id next-hop-vpc-id
    next-hop-interface-type
""".split()


def create(ec2, vpc, **more):
    wanted = {"ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL", **more}
    made = ec2.create_flow_logs(**{name: value for name, value in wanted.items() if value})
    assert made["Unsuccessful"] == [], made
    (shown,) = ec2.describe_flow_logs(FlowLogIds=made["FlowLogIds"])["FlowLogs"]
    assert (shown["FlowLogStatus"], shown["DeliverLogsStatus"]) == ("ACTIVE", "SUCCESS")
    return shown


def formats(ec2, vpc):
    s3 = {"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs"}
    plain = create(ec2, vpc, **s3)
    assert plain["LogFormat"] == DEFAULT_FORMAT
    assert plain["MaxAggregationInterval"] == 600
    every = DEFAULT_FORMAT + "".join(f" ${{{name}}}" for name in FURTHER_FIELDS)
    assert create(ec2, vpc, LogFormat=every, **s3)["LogFormat"] == every
    for bad in ["${bogus}", "version", "${start}${end}", "${start} ${start}", " "]:
        with refused("InvalidParameter"):
            create(ec2, vpc, LogFormat=bad, **s3)


def buckets(ec2, vpc):
    to = {"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::logs/prefix"}
    options = {"FileFormat": "plain-text", "HiveCompatiblePartitions": False}
    shown = create(ec2, vpc, **to)
    assert shown["DestinationOptions"] == {**options, "PerHourPartition": False}, shown
    parquet = {
        "FileFormat": "parquet",
        "HiveCompatiblePartitions": True,
        "PerHourPartition": True,
    }
    shown = create(ec2, vpc, DestinationOptions=parquet, **to)
    assert shown["DestinationOptions"] == parquet, shown
    assert shown["LogDestination"] == "arn:aws:s3:::logs/prefix"
    with refused("InvalidParameter"):
        create(ec2, vpc, LogDestinationType="s3")
    with refused("InvalidParameter"):
        create(ec2, vpc, LogGroupName="flow", **to)


def log_groups(ec2, vpc):
    named = create(ec2, vpc, LogGroupName="flow", DeliverLogsPermissionArn=ROLE)
    assert named["LogDestinationType"] == "cloud-watch-logs"
    assert (named["LogGroupName"], named["DeliverLogsPermissionArn"]) == ("flow", ROLE)
    by_arn = create(ec2, vpc, LogDestination=GROUP, DeliverLogsPermissionArn=ROLE)
    assert (by_arn["LogGroupName"], by_arn["LogDestination"]) == ("/vpc/flow", GROUP)
    with refused(
        "InvalidParameter",
        "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.",
    ):
        create(ec2, vpc, LogGroupName="flow")
    with refused(
        "InvalidParameter", "Please only provide LogGroupName or only provide LogDestination."
    ):
        create(ec2, vpc, LogGroupName="a", LogDestination=GROUP, DeliverLogsPermissionArn=ROLE)
    with refused("InvalidParameter"):
        create(ec2, vpc, DeliverLogsPermissionArn=ROLE)
    with refused("InvalidParameterValue"):
        create(ec2, vpc, LogGroupName="a b", DeliverLogsPermissionArn=ROLE)
    found = ec2.describe_flow_logs(
        Filters=[
            {"Name": "log-group-name", "Values": ["flow"]},
            {"Name": "log-destination-type", "Values": ["cloud-watch-logs"]},
            {"Name": "deliver-log-status", "Values": ["SUCCESS"]},
        ]
    )["FlowLogs"]
    assert [log["FlowLogId"] for log in found] == [named["FlowLogId"]]


def scopes(ec2, vpc, subnet):
    eni = local_vpc.create_eni(ec2, subnet)["NetworkInterfaceId"]
    for kind, id in [("Subnet", subnet), ("NetworkInterface", eni)]:
        for traffic in ("ACCEPT", "REJECT"):
            shown = create(
                ec2,
                id,
                ResourceType=kind,
                TrafficType=traffic,
                LogDestinationType="s3",
                LogDestination="arn:aws:s3:::logs",
            )
            assert (shown["ResourceId"], shown["TrafficType"]) == (id, traffic)
    with refused("InvalidSubnetID.Malformed"):
        create(
            ec2, vpc, ResourceType="Subnet", LogDestinationType="s3", LogDestination="arn:aws:s3:::logs"
        )
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    of_eni = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [eni]}])
    assert of_eni["FlowLogs"] == [], "a flow log ends with its resource"


def main():
    ec2 = local_vpc.client()
    vpc, (subnet,) = local_vpc.network(ec2)
    formats(ec2, vpc)
    buckets(ec2, vpc)
    log_groups(ec2, vpc)
    scopes(ec2, vpc, subnet)
    print("flow logs: ok")


if __name__ == "__main__":
    main()
