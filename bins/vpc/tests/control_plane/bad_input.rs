//! Whatever is sent, the API answers with EC2's error XML and a status of the 4xx class.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::api_server::ApiServer;
use quick_xml::{Reader, events::Event};

pub(crate) const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00";

/// Sends bytes and returns the status and the body.
fn send(server: &ApiServer, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    // The server may answer, and close, before it has read all: what counts is the answer.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    // A reset may follow the answer.
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

pub(crate) fn post(server: &ApiServer, form: &[u8], headers: &str) -> (u16, String) {
    let mut bytes = format!(
        "POST / HTTP/1.1\r\nHost: ec2\r\n{headers}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        form.len()
    )
    .into_bytes();
    bytes.extend_from_slice(form);
    send(server, &bytes)
}

/// Reads the code out of a well-formed error document.
pub(crate) fn code_of(body: &str) -> String {
    let mut reader = Reader::from_str(body);
    let (mut path, mut code) = (Vec::new(), String::new());
    loop {
        match reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error} in {body}"))
        {
            Event::Start(start) => path.push(start.name().0.to_owned()),
            Event::End(_) => drop(path.pop()),
            Event::Text(text) if path.join("/") == "Response/Errors/Error/Code" => {
                code.push_str(&text);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(
        body.contains("<RequestID>") && !code.is_empty(),
        "no error document: {body}"
    );
    code
}

fn refused(server: &ApiServer, form: &[u8]) -> String {
    let (status, body) = post(server, form, SIGNED);
    let shown = String::from_utf8_lossy(form.get(..form.len().min(200)).unwrap()).into_owned();
    assert!((400..500).contains(&status), "{shown}: {status} {body}");
    code_of(&body)
}

/// Forms, and the codes of the answers.
const NONSENSE: &[(&str, &str)] = &[
    ("", "MissingAction"),
    ("Action=", "MissingAction"),
    ("Action=Bogus", "InvalidAction"),
    ("Action=%3Cscript%3E%26%22", "InvalidAction"),
    ("=&Action=DescribeVpcs", "MalformedQueryString"),
    (
        "Action=DescribeVpcs&Action=DescribeVpcs",
        "InvalidParameterValue",
    ),
    ("Action=DescribeVpcs&Bogus=1", "UnknownParameter"),
    ("Action=DescribeVpcs&VpcId.1.x=1", "MissingParameter"),
    ("Action=DescribeVpcs&VpcId.x=1", "UnknownParameter"),
    (
        "Action=DescribeVpcs&VpcId.99999999999999=1",
        "UnknownParameter",
    ),
    ("Action=DescribeVpcs&Filter.1.Value.1=x", "MissingParameter"),
    (
        "Action=DescribeVpcs&Filter.1.Name=vpc-id",
        "InvalidParameterValue",
    ),
    ("Action=DescribeVpcs&DryRun=maybe", "InvalidParameterValue"),
    (
        "Action=DescribeVpcs&MaxResults=1e3",
        "InvalidParameterValue",
    ),
    ("Action=CreateVpc", "MissingParameter"),
    (
        "Action=CreateVpc&CidrBlock=10.0.0.0%2F99",
        "InvalidParameterValue",
    ),
    ("Action=CreateVpc&CidrBlock=%00", "InvalidParameterValue"),
    ("Action=CreateVpc&CidrBlock=%FF%FE", "InvalidParameterValue"),
    (
        "Action=CreateSubnet&VpcId=%3C!%5BCDATA%5B&CidrBlock=10.0.0.0%2F24",
        "InvalidVpcID.Malformed",
    ),
    (
        "Action=RunInstances&ImageId=ami-0dc0000000000000a&MinCount=1&MaxCount=99999999999999999999&SubnetId=subnet-01234567",
        "InvalidParameterValue",
    ),
    (
        "Action=RunInstances&ImageId=ami-0dc0000000000000a&MinCount=-1&MaxCount=1&SubnetId=subnet-01234567",
        "InvalidParameterValue",
    ),
    (
        "Action=AssignPrivateIpAddresses&NetworkInterfaceId=eni-01234567&SecondaryPrivateIpAddressCount=4294967295",
        "InvalidParameterValue",
    ),
    (
        "Action=AssignPrivateIpAddresses&NetworkInterfaceId=eni-01234567&SecondaryPrivateIpAddressCount=0",
        "InvalidParameterValue",
    ),
    (
        "Action=AttachNetworkInterface&NetworkInterfaceId=eni-01234567&InstanceId=i-01234567&DeviceIndex=-1",
        "InvalidParameterValue",
    ),
    (
        "Action=CreateFlowLogs&ResourceId.1=vpc-01234567&ResourceType=VPC&TrafficType=ALL&LogDestinationType=s3&LogDestination=arn:aws:s3:::..%2F..%2Fetc",
        "InvalidParameterValue",
    ),
    (
        "Action=CreateTags&ResourceId.1=%26&Tag.1.Key=a",
        "InvalidID",
    ),
];

#[test]
fn requests_that_make_no_sense_are_refused_with_the_right_code() {
    let server = ApiServer::start(&[]);
    for (form, code) in NONSENSE {
        assert_eq!(refused(&server, form.as_bytes()), *code, "{form}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn unsigned_and_half_signed_requests_are_refused() {
    let server = ApiServer::start(&[]);
    for (headers, status, code) in [
        ("X-Nothing: 1", 401, "AuthFailure"),
        ("Authorization: Basic YTpi", 400, "IncompleteSignature"),
        (
            "Authorization: AWS4-HMAC-SHA256",
            400,
            "IncompleteSignature",
        ),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
            400,
            "IncompleteSignature",
        ),
    ] {
        let (got, body) = post(&server, b"Action=DescribeVpcs", headers);
        assert_eq!((got, code_of(&body).as_str()), (status, code), "{headers}");
    }
    let form = b"Action=DescribeVpcs&Version=2016-11-15";
    assert_eq!(post(&server, form, SIGNED).0, 200);
}

#[test]
fn large_and_deep_requests_are_refused() {
    let server = ApiServer::start(&[]);
    let huge = format!("Action=CreateVpc&CidrBlock={}", "x".repeat(2 << 20));
    let (status, body) = post(&server, huge.as_bytes(), SIGNED);
    // The connection may be cut while the body is still being sent.
    assert!(matches!(status, 0 | 413), "{status} {body}");
    let deep = format!("Action=DescribeVpcs&Filter{}=x", ".1".repeat(100_000));
    assert_eq!(refused(&server, deep.as_bytes()), "MissingParameter");
    let many: String = (0..40_000)
        .map(|n| format!("&VpcId.{n}=vpc-01234567"))
        .collect();
    let form = format!("Action=DescribeVpcs{many}");
    assert_eq!(refused(&server, form.as_bytes()), "InvalidVpcID.NotFound");
    for nonsense in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let (status, _) = send(&server, nonsense);
        assert!(matches!(status, 0 | 400..500), "{status}");
    }
    // It still works.
    assert_eq!(post(&server, b"Action=DescribeVpcs", SIGNED).0, 200);
    assert_eq!(server.stop(), Some(0));
}

/// SplitMix64: the same requests in every run.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from((z ^ (z >> 27)) >> 33).unwrap()
}

const ACTIONS: [&str; 14] = [
    "AssignPrivateIpAddresses",
    "AttachNetworkInterface",
    "AuthorizeSecurityGroupIngress",
    "CreateFlowLogs",
    "CreateNetworkInterface",
    "CreateRoute",
    "CreateSubnet",
    "CreateTags",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "ModifyNetworkInterfaceAttribute",
    "RevokeSecurityGroupIngress",
    "RunInstances",
    "UnassignPrivateIpAddresses",
];
const NAMES: [&str; 26] = [
    "AllowReassignment",
    "AttachmentId",
    "CidrBlock",
    "ClientToken",
    "Description.Value",
    "DestinationCidrBlock",
    "DeviceIndex",
    "DryRun",
    "Filter.1.Name",
    "Filter.1.Value.1",
    "GroupId",
    "ImageId",
    "InstanceId",
    "InstanceId.1",
    "IpPermissions.1.FromPort",
    "IpPermissions.1.IpProtocol",
    "IpPermissions.1.IpRanges.1.CidrIp",
    "Ipv4PrefixCount",
    "MaxCount",
    "MaxResults",
    "MinCount",
    "NetworkInterface.1.DeviceIndex",
    "NetworkInterfaceId",
    "PrivateIpAddress.1",
    "SubnetId",
    "VpcId",
];
const VALUES: [&str; 20] = [
    "",
    "%",
    "%00",
    "%26%3C%3E%22%27",
    "-1",
    "0",
    "1",
    "10.0.0.0%2F16",
    "10.0.0.4",
    "255.255.255.255",
    "4294967296",
    "99999999999999999999999",
    "ami-0dc0000000000000a",
    "eni-0123456789abcdef0",
    "i-0123456789abcdef0",
    "sg-0123456789abcdef0",
    "subnet-0123456789abcdef0",
    "tcp",
    "true",
    "%F0%9F%92%A9",
];

#[test]
fn random_requests_never_get_a_server_error() {
    let server = ApiServer::start(&[]);
    let mut state = 2026;
    for _ in 0..1_500 {
        let mut form = format!("Action={}", ACTIONS[next(&mut state) % ACTIONS.len()]);
        for _ in 0..next(&mut state) % 9 {
            let name = NAMES[next(&mut state) % NAMES.len()];
            let value = VALUES[next(&mut state) % VALUES.len()];
            form.push_str(&format!("&{name}={value}"));
        }
        let (status, body) = post(&server, form.as_bytes(), SIGNED);
        match status {
            200 => assert!(form.contains("Describe"), "{form} was accepted: {body}"),
            400..500 => drop(code_of(&body)),
            _ => panic!("{form}: {status} {body}"),
        }
    }
    assert_eq!(server.stop(), Some(0));
}
