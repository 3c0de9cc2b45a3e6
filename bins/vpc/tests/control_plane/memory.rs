//! The largest requests that are read leave the server's memory bounded.

use crate::{
    api_server::ApiServer,
    bad_input::{SIGNED, code_of, post},
};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1 << 20;
/// What requests may add to the server's memory, in KiB: a body's parameters take some hundred
/// bytes each, and an answer names what it is about.
const MAY_TAKE: u64 = 256 << 10;

/// `start`, and as many parameters as fit into the largest body.
fn filled(start: &str, parameter: impl Fn(usize) -> String) -> String {
    let mut form = start.to_owned();
    for number in 1.. {
        let next = parameter(number);
        if form.len() + next.len() > MAX_BODY {
            break;
        }
        form += &next;
    }
    form
}

fn largest_forms(subnet: &str, eni: &str) -> Vec<String> {
    let many = u32::MAX;
    let run = format!(
        "Action=RunInstances&ImageId=ami-0dc0000000000000a&InstanceType=m5.large&MinCount=1\
         &MaxCount={many}&SubnetId={subnet}"
    );
    vec![
        filled("Action=DescribeVpcs", |n| format!("&A{n}=")),
        filled("Action=DescribeVpcs&A=", |_| "%41".to_owned()),
        filled("Action=DescribeNetworkInterfaces", |n| {
            format!("&NetworkInterfaceId.{n}=eni-{n:017x}")
        }),
        filled("Action=DescribeInstances", |n| {
            format!("&Filter.{n}.Name=tag:a&Filter.{n}.Value.1=b")
        }),
        filled("Action=DescribeInstances&Filter.1.Name=instance-id", |n| {
            format!("&Filter.1.Value.{n}=*")
        }),
        filled(
            "Action=DescribeTags&Filter.1.Name=value&Filter.1.Value.1=",
            |_| "*a".to_owned(),
        ),
        filled("Action=DescribeVpcs&Filter", |_| ".1".to_owned()) + "=a",
        filled(
            "Action=AuthorizeSecurityGroupIngress&GroupId=sg-00000001",
            |n| {
                format!(
                    "&IpPermissions.{n}.IpProtocol=-1&IpPermissions.{n}.IpRanges.1.CidrIp=0.0.0.0/0"
                )
            },
        ),
        filled(&format!("Action=CreateTags&ResourceId.1={eni}"), |n| {
            format!("&Tag.{n}.Key={n}")
        }),
        filled("Action=CreateTags&Tag.1.Key=a", |n| {
            format!("&ResourceId.{n}={eni}")
        }),
        filled(
            &format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}"),
            |n| format!("&PrivateIpAddress.{n}=10.0.{}.{}", n / 256 % 4, n % 256),
        ),
        format!(
            "Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}&SecondaryPrivateIpAddressCount={many}"
        ),
        format!("Action=AssignIpv6Addresses&NetworkInterfaceId={eni}&Ipv6AddressCount={many}"),
        format!("Action=AssignIpv6Addresses&NetworkInterfaceId={eni}&Ipv6PrefixCount={many}"),
        format!("Action=CreateNetworkInterface&SubnetId={subnet}&Ipv4PrefixCount={many}"),
        format!("Action=CreateNetworkInterface&SubnetId={subnet}&Ipv6AddressCount={many}"),
        format!("Action=CreateNetworkInterface&SubnetId={subnet}&Ipv6PrefixCount={many}"),
        format!(
            "Action=CreateManagedPrefixList&PrefixListName=a&AddressFamily=IPv4&MaxEntries={many}"
        ),
        format!("{run}&UserData={}", "QUFB".repeat(200_000)),
        run,
    ]
}

fn made(server: &ApiServer, form: &str, name: &str) -> String {
    let (status, body) = post(server, form.as_bytes(), SIGNED);
    assert_eq!(status, 200, "{form}: {body}");
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[test]
fn the_largest_requests_leave_memory_bounded() {
    let server = ApiServer::start(&["--quota", "enis=200", "--quota", "instances=100"]);
    let vpc = "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true";
    let vpc = made(&server, vpc, "vpcId");
    let block = made(&server, "Action=DescribeVpcs", "ipv6CidrBlock").replace("::/56", "::/64");
    let subnet =
        format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.0.0/22&Ipv6CidrBlock={block}");
    let subnet = made(&server, &subnet, "subnetId");
    let eni = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
    let eni = made(&server, &eni, "networkInterfaceId");
    let before = server.forget_peak();
    for form in largest_forms(&subnet, &eni) {
        assert!(form.len() <= MAX_BODY + 2);
        let (status, body) = post(&server, form.as_bytes(), SIGNED);
        let shown = &form[..form.len().min(120)];
        let grown = server.peak_memory() - before;
        assert!(grown < MAY_TAKE, "{shown}: {status} after {grown} KiB");
        match status {
            200 => {}
            400..500 => drop(code_of(&body)),
            _ => panic!("{shown}: {status} {body}"),
        }
    }
    let (status, body) = post(&server, b"Action=DescribeVpcs", SIGNED);
    assert_eq!((status, body.contains(&vpc)), (200, true));
}
