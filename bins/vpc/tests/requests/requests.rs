//! Random forms.

use std::fmt::Write;

use proptest::{collection::vec, prelude::*, sample::select};
use underlay_vpc::api::action_names;

use crate::world::World;

/// Names of parameters, and parts of names.
const NAMES: [&str; 66] = [
    "AddEntry.1.Cidr",
    "AllocationId",
    "AllowReassignment",
    "AttachmentId",
    "Attribute",
    "AvailabilityZone",
    "CidrBlock",
    "CidrIp",
    "ClientToken",
    "DeliverLogsPermissionArn",
    "Description",
    "Description.Value",
    "DestinationCidrBlock",
    "DestinationIpv6CidrBlock",
    "DeviceIndex",
    "DryRun",
    "Egress",
    "EnaSrdSpecification.EnaSrdEnabled",
    "EntryType",
    "Force",
    "FromPort",
    "GatewayId",
    "GroupDescription",
    "GroupId",
    "GroupName",
    "IcmpTypeCode.Code",
    "ImageId",
    "InstanceId",
    "InstanceType",
    "InterfaceType",
    "InternetGatewayId",
    "IpProtocol",
    "Ipv4Prefix",
    "Ipv4PrefixCount",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "Ipv6CidrBlock",
    "Ipv6PrefixCount",
    "LogDestination",
    "LogDestinationType",
    "LogFormat",
    "MaxAggregationInterval",
    "MaxCount",
    "MaxEntries",
    "MaxResults",
    "MinCount",
    "NatGatewayId",
    "NetworkAclId",
    "NetworkCardIndex",
    "NetworkInterfaceId",
    "NextToken",
    "PrefixListId",
    "PrefixListName",
    "PrivateIpAddress",
    "PublicIp",
    "ResourceId",
    "ResourceType",
    "RouteTableId",
    "RuleNumber",
    "SecondaryPrivateIpAddressCount",
    "SourceDestCheck.Value",
    "SubnetId",
    "ToPort",
    "TrafficType",
    "UserData",
    "VpcId",
];

/// Prefixes that make structures and lists of the names above.
const PATHS: [&str; 14] = [
    "",
    "",
    "",
    "",
    "Filter.1.",
    "Filter.4294967295.",
    "IpPermissions.1.",
    "IpPermissions.1.IpRanges.1.",
    "IpPermissions.2.Groups.1.",
    "NetworkInterface.1.",
    "NetworkInterface.1.PrivateIpAddresses.1.",
    "TagSpecification.1.",
    "TagSpecification.1.Tag.1.",
    "..",
];

const VALUES: [&str; 58] = [
    "",
    " ",
    "%",
    "%00",
    "%0A",
    "%0D",
    "%1B%5B2J",
    "%26%3C%3E%22%27",
    "%3C!%5BCDATA%5B",
    "%5D%5D%3E",
    "%C0%80",
    "%ED%A0%80",
    "%EF%BF%BE",
    "%F0%9F%92%A9",
    "%FF%FE",
    "*",
    "-1",
    "-32768",
    "..%2F..%2Fetc",
    "0",
    "0.0.0.0%2F0",
    "00",
    "1",
    "1.5",
    "10.0.0.0%2F16",
    "10.0.1.0%2F28",
    "10.0.1.4",
    "10.0.1.255",
    "10.0.1.300",
    "16",
    "1e3",
    "2",
    "255",
    "255.255.255.255%2F32",
    "256",
    "28",
    "32768",
    "4294967295",
    "4294967296",
    "65535",
    "65536",
    "99999999999999999999999",
    "::%2F0",
    "ALL",
    "NaN",
    "TRUE",
    "VPC",
    "ami-0dc0000000000000a",
    "arn:aws:s3:::a%2Fb",
    "eni-0123456789abcdef0",
    "fe80::1",
    "m5.large",
    "network-interface",
    "s3",
    "tcp",
    "true",
    "vpc-id",
    "%24%7Bbogus%7D",
];

#[derive(Debug, Clone)]
enum Value {
    Id(prop::sample::Index),
    Known(&'static str),
    Rubbish(String),
    Long(usize),
}

#[derive(Debug, Clone)]
struct Parameter {
    path: &'static str,
    name: Name,
    index: Option<u32>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Name {
    Known(&'static str),
    OfFilter,
    InFilter(u8),
    Rubbish(String),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any::<prop::sample::Index>().prop_map(Value::Id),
        6 => select(&VALUES[..]).prop_map(Value::Known),
        1 => ".{0,20}".prop_map(Value::Rubbish),
        1 => (0_usize..70_000).prop_map(Value::Long),
    ]
}

fn parameter() -> impl Strategy<Value = Parameter> {
    let name = prop_oneof![
        12 => select(&NAMES[..]).prop_map(Name::Known),
        1 => Just(Name::OfFilter),
        1 => any::<u8>().prop_map(Name::InFilter),
        1 => ".{0,12}".prop_map(Name::Rubbish),
    ];
    let index = prop_oneof![
        3 => Just(None),
        3 => (1_u32..4).prop_map(Some),
        1 => any::<u32>().prop_map(Some),
    ];
    (select(&PATHS[..]), name, index, value()).prop_map(|(path, name, index, value)| Parameter {
        path,
        name,
        index,
        value,
    })
}

fn form() -> impl Strategy<Value = (&'static str, Vec<Parameter>)> {
    let actions: Vec<&'static str> = action_names().collect();
    (select(actions), vec(parameter(), 0..9))
}

/// Writes a form, percent-encoding only what would end a parameter.
fn write(action: &str, parameters: &[Parameter], ids: &[String]) -> String {
    let mut form = format!("Action={action}");
    let plain = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    for each in parameters {
        let name = match &each.name {
            Name::Known(name) => (*name).to_owned(),
            Name::OfFilter => "Filter.1.Name".to_owned(),
            Name::InFilter(index) => format!("Filter.1.Value.{index}"),
            Name::Rubbish(text) => plain(text),
        };
        let index = each.index.map(|index| format!(".{index}"));
        let value = match &each.value {
            Value::Id(index) => index.get(ids).clone(),
            Value::Known(text) => (*text).to_owned(),
            Value::Rubbish(text) => plain(text),
            Value::Long(length) => "a".repeat(*length),
        };
        write!(
            form,
            "&{}{name}{}={value}",
            each.path,
            index.unwrap_or_default()
        )
        .unwrap();
    }
    form
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_call_is_answered_and_a_refused_one_changes_nothing(
        forms in vec(form(), 1..4),
    ) {
        let world = World::new();
        for (action, parameters) in &forms {
            world.ask(write(action, parameters, &world.ids).as_bytes());
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        let world = World::new();
        world.ask(&bytes);
        world.ask(&[b"Action=DescribeNetworkInterfaces&".as_slice(), &bytes].concat());
    }
}

#[test]
fn what_once_broke_something_is_answered() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requests/corpus");
    let mut kept = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let form = std::fs::read(entry.unwrap().path()).unwrap();
        World::new().ask(form.trim_ascii_end());
        kept += 1;
    }
    assert!(kept >= 5, "{kept} kept forms");
}

#[test]
fn long_lists_and_huge_counts_are_refused_or_done_in_bounds() {
    let world = World::new();
    let id = |kind: &str| {
        let found = world.ids.iter().find(|id| id.starts_with(kind));
        found.unwrap().clone()
    };
    let (eni, subnet, group) = (id("eni-"), id("subnet-"), id("sg-"));
    let list = |name: &str, value: &dyn Fn(u32) -> String, count: u32| {
        (1..=count).fold(String::new(), |mut form, index| {
            write!(form, "&{name}.{index}={}", value(index)).unwrap();
            form
        })
    };
    for form in [
        format!(
            "AssignPrivateIpAddresses&NetworkInterfaceId={eni}&SecondaryPrivateIpAddressCount=4294967295"
        ),
        format!("AssignPrivateIpAddresses&NetworkInterfaceId={eni}&Ipv4PrefixCount=4294967295"),
        format!(
            "AssignPrivateIpAddresses&NetworkInterfaceId={eni}{}",
            list(
                "PrivateIpAddress",
                &|index| format!("10.0.1.{}", index % 256),
                20_000
            )
        ),
        format!(
            "CreateNetworkInterface&SubnetId={subnet}&SecondaryPrivateIpAddressCount=2147483647"
        ),
        format!(
            "RunInstances&ImageId=ami-0dc0000000000000a&InstanceType=m5.large&SubnetId={subnet}&MinCount=4294967295&MaxCount=4294967295"
        ),
        format!(
            "AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=1{}",
            list(
                "IpPermissions.1.IpRanges",
                &|index| format!("10.{}.{}.0/24", index / 256, index % 256),
                10_000
            )
        ),
        format!(
            "DescribeInstances{}",
            list("InstanceId", &|index| format!("i-{index:08x}"), 40_000)
        ),
        format!(
            "DescribeSubnets{}",
            list("Filter.1.Value", &|index| index.to_string(), 40_000)
        ),
        format!("DescribeVpcs&Filter{}=x", ".1".repeat(200_000)),
        format!(
            "CreateTags&ResourceId.1={eni}{}",
            list("Tag", &|index| index.to_string(), 40_000)
        ),
    ] {
        world.ask(format!("Action={form}").as_bytes());
    }
}
