//! A server that is killed and started again.

use crate::{
    api_server::ApiServer,
    bad_input::{SIGNED, post},
};

fn call(server: &ApiServer, form: &str) -> String {
    let (status, body) = post(server, form.as_bytes(), SIGNED);
    assert_eq!(status, 200, "{form}: {body}");
    // What differs from answer to answer.
    let (before, rest) = body.split_once("<requestId>").unwrap();
    let (_, after) = rest.split_once("</requestId>").unwrap();
    format!("{before}{after}")
}

fn everything(server: &ApiServer) -> Vec<String> {
    [
        "Vpcs",
        "Subnets",
        "SecurityGroups",
        "RouteTables",
        "NetworkInterfaces",
    ]
    .map(|kind| call(server, &format!("Action=Describe{kind}")))
    .to_vec()
}

fn made(body: &str, name: &str) -> String {
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[test]
fn what_was_answered_is_there_after_a_kill_and_a_token_still_counts() {
    let dir = tempfile::tempdir().unwrap();
    let state = ["--state", dir.path().to_str().unwrap()];
    let server = ApiServer::start(&state);
    let vpc = made(
        &call(&server, "Action=CreateVpc&CidrBlock=10.0.0.0/16"),
        "vpcId",
    );
    let subnet = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24");
    let subnet = made(&call(&server, &subnet), "subnetId");
    let eni = format!("Action=CreateNetworkInterface&SubnetId={subnet}&ClientToken=one");
    let id = made(&call(&server, &eni), "networkInterfaceId");
    let before = everything(&server);
    drop(server); // SIGKILL
    let server = ApiServer::start(&state);
    assert_eq!(everything(&server), before);
    assert_eq!(made(&call(&server, &eni), "networkInterfaceId"), id);
    assert_eq!(everything(&server), before);
    // An orderly end keeps it too.
    assert_eq!(server.stop(), Some(0));
    let server = ApiServer::start(&state);
    assert_eq!(everything(&server), before);
}

#[test]
fn a_folder_serves_one_process_with_the_options_that_it_was_begun_with() {
    let dir = tempfile::tempdir().unwrap();
    let state = ["--state", dir.path().to_str().unwrap()];
    let server = ApiServer::start(&state);
    let second = ApiServer::refused(&state);
    assert!(second.contains("another process serves from"), "{second}");
    drop(server);
    let other = ApiServer::refused(&[&state[..], &["--groups-per-eni", "9"]].concat());
    assert!(
        other.contains("begun with other options (quotas)"),
        "{other}"
    );
}
