//! Quotas: as they are, and raised; and as much as the raised ones let in.

use crate::{
    api_server::ApiServer,
    bad_input::{SIGNED, code_of, post},
};

fn made(server: &ApiServer, form: &str, name: &str) -> String {
    let (status, body) = post(server, form.as_bytes(), SIGNED);
    assert_eq!(status, 200, "{form}: {body}");
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

/// A subnet of 1,019 free addresses.
fn subnet(server: &ApiServer) -> String {
    let vpc = made(server, "Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
    let subnet = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.0.0/22");
    made(server, &subnet, "subnetId")
}

#[test]
fn a_quota_is_what_the_options_say() {
    let server = ApiServer::start(&["--quota", "enis=3"]);
    let eni = format!("Action=CreateNetworkInterface&SubnetId={}", subnet(&server));
    for _ in 0..3 {
        made(&server, &eni, "networkInterfaceId");
    }
    let (status, body) = post(&server, eni.as_bytes(), SIGNED);
    assert_eq!(status, 400);
    assert!(body.contains("NetworkInterfaceLimitExceeded"), "{body}");
    let unknown = ApiServer::refused(&["--quota", "pods=3"]);
    assert!(unknown.contains("there is no such quota"), "{unknown}");
}

#[test]
fn pages_hold_what_is_there_while_interfaces_come_and_go() {
    let server = ApiServer::start(&[]);
    let eni = format!("Action=CreateNetworkInterface&SubnetId={}", subnet(&server));
    let mut stay = Vec::new();
    for _ in 0..40 {
        stay.push(made(&server, &eni, "networkInterfaceId"));
    }
    let mut pages = String::new();
    let mut token = String::new();
    loop {
        let page = format!("Action=DescribeNetworkInterfaces&MaxResults=7&NextToken={token}");
        let (status, body) = post(&server, page.as_bytes(), SIGNED);
        assert_eq!(status, 200, "{body}");
        pages.push_str(&body);
        // What comes and goes between two pages moves no other interface.
        let passing = made(&server, &eni, "networkInterfaceId");
        let delete = format!("Action=DeleteNetworkInterface&NetworkInterfaceId={passing}");
        made(&server, &delete, "return");
        match body.split_once("<nextToken>") {
            Some((_, rest)) => rest.split_once('<').unwrap().0.clone_into(&mut token),
            None => break,
        }
    }
    for id in &stay {
        let element = format!("<networkInterfaceId>{id}</networkInterfaceId>");
        assert_eq!(pages.matches(&element).count(), 1, "{id}");
    }
}

/// Interfaces of an instance, and addresses of each.
const ENIS: usize = 3;
const ADDRESSES: usize = 5;
/// What pages may add to the server's memory, in KiB: several times a page of 3 MB, and far less
/// than an answer without pages.
const PAGES_MAY_TAKE: u64 = 64 << 10;

/// Launches `count` instances with `enis` interfaces of `addresses` addresses each. The call is
/// answered with as much XML as a Describe of them.
fn launch_form(subnet: &str, count: usize, (enis, addresses): (usize, usize)) -> String {
    let mut form = format!(
        "Action=RunInstances&ImageId=ami-0dc0000000000000a&InstanceType=m5.large&MinCount={count}\
         &MaxCount={count}&TagSpecification.1.ResourceType=instance\
         &TagSpecification.1.Tag.1.Key=subnet&TagSpecification.1.Tag.1.Value={subnet}"
    );
    for index in 0..enis {
        let prefix = format!("&NetworkInterface.{}", index + 1);
        form += &format!("{prefix}.DeviceIndex={index}{prefix}.SubnetId={subnet}");
        if addresses > 1 {
            form += &format!("{prefix}.SecondaryPrivateIpAddressCount={}", addresses - 1);
        }
    }
    form
}

fn ask(server: &ApiServer, form: &str) -> String {
    let (status, body) = post(server, form.as_bytes(), SIGNED);
    assert_eq!(status, 200, "{form}: {body}");
    body
}

/// The elements `name` of all pages of a Describe, in order.
fn listed(server: &ApiServer, form: &str, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut token = String::new();
    let element = format!("<{name}>");
    loop {
        let body = ask(server, &format!("{form}&NextToken={token}"));
        let values = body.split(&element).skip(1);
        all.extend(values.map(|rest| rest.split_once('<').unwrap().0.to_owned()));
        match body.split_once("<nextToken>") {
            Some((_, rest)) => rest.split_once('<').unwrap().0.clone_into(&mut token),
            None => return all,
        }
    }
}

/// Two subnets of 65,531 free addresses each, of one VPC.
fn large_subnets(server: &ApiServer) -> [String; 2] {
    let vpc = made(server, "Action=CreateVpc&CidrBlock=10.0.0.0/16", "vpcId");
    let more = format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&CidrBlock=10.1.0.0/16");
    ask(server, &more);
    [0, 1].map(|number| {
        let form = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.{number}.0.0/16");
        made(server, &form, "subnetId")
    })
}

#[test]
fn fifteen_thousand_interfaces_are_listed_page_by_page_in_bounded_memory() {
    let server = ApiServer::start(&["--quota", "enis=15000"]);
    let subnets = large_subnets(&server);
    for (subnet, launches) in subnets.iter().zip([40, 10]) {
        for _ in 0..launches {
            ask(&server, &launch_form(subnet, 100, (ENIS, ADDRESSES)));
        }
    }
    let before = server.forget_peak();
    let enis = "Action=DescribeNetworkInterfaces";
    let addresses = listed(&server, &format!("{enis}&MaxResults=1000"), "primary");
    let instances = "Action=DescribeInstances&MaxResults=100";
    let instances = listed(&server, instances, "amiLaunchIndex");
    let tags = listed(&server, "Action=DescribeTags&MaxResults=1000", "resourceId");
    let grown = server.peak_memory() - before;
    assert!(grown < PAGES_MAY_TAKE, "pages took {grown} KiB");
    assert_eq!(addresses.len(), 5_000 * ENIS * ADDRESSES);
    let primary = addresses.iter().filter(|primary| *primary == "true");
    assert_eq!(primary.count(), 5_000 * ENIS);
    assert_eq!((instances.len(), tags.len()), (5_000, 5_000));
    assert!(tags.is_sorted());
    check_filters(&server, &subnets, &tags);
    // The measure sees what is not paged.
    let before = server.forget_peak();
    let everything = ask(&server, enis);
    let grown = server.peak_memory() - before;
    assert!(
        grown > PAGES_MAY_TAKE,
        "{} bytes took {grown} KiB",
        everything.len()
    );
}

/// What indexes answer, among very many.
fn check_filters(server: &ApiServer, subnets: &[String; 2], instances: &[String]) {
    let count = |action: &str, filter: &str, value: &str, element: &str| {
        let form = format!(
            "Action={action}&MaxResults=1000&Filter.1.Name={filter}&Filter.1.Value.1={value}"
        );
        listed(server, &form, element).len()
    };
    let enis = |filter, value| count("DescribeNetworkInterfaces", filter, value, "macAddress");
    assert_eq!(enis("attachment.instance-id", &instances[2_500]), ENIS);
    assert_eq!(enis("subnet-id", &subnets[1]), 1_000 * ENIS);
    assert_eq!(enis("private-ip-address", "10.1.0.4"), 1);
    assert_eq!(enis("private-ip-address", "10.1.0.*"), 51);
    let instances = |filter, value| count("DescribeInstances", filter, value, "imageId");
    assert_eq!(instances("tag:subnet", &subnets[1]), 1_000);
    assert_eq!(instances("private-ip-address", "10.0.0.4"), 1);
}

#[test]
fn at_the_default_quotas_the_next_instance_and_interface_are_refused() {
    let server = ApiServer::start(&[]);
    let [subnet, _] = large_subnets(&server);
    for _ in 0..10 {
        ask(&server, &launch_form(&subnet, 500, (1, 1)));
    }
    let refused = |form: &str| {
        let (status, body) = post(&server, form.as_bytes(), SIGNED);
        assert_eq!(status, 400, "{form}");
        code_of(&body)
    };
    let one_more = launch_form(&subnet, 1, (1, 1));
    assert_eq!(refused(&one_more), "InstanceLimitExceeded");
    let eni = format!("Action=CreateNetworkInterface&SubnetId={subnet}");
    assert_eq!(refused(&eni), "NetworkInterfaceLimitExceeded");
    // Where one instance goes, one finds room: for its interface too.
    let tags = listed(&server, "Action=DescribeTags&MaxResults=1000", "resourceId");
    assert_eq!(tags.len(), 5_000);
    ask(
        &server,
        &format!("Action=TerminateInstances&InstanceId.1={}", tags[0]),
    );
    let full = launch_form(&subnet, 1, (1, 11));
    assert_eq!(refused(&full), "PrivateIpAddressLimitExceeded");
    let wide = launch_form(&subnet, 1, (2, 1));
    assert_eq!(refused(&wide), "NetworkInterfaceLimitExceeded");
    ask(&server, &one_more);
}
