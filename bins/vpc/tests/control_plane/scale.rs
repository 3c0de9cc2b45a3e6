//! Quotas: as they are, and raised.

use crate::{
    api_server::ApiServer,
    bad_input::{SIGNED, post},
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
