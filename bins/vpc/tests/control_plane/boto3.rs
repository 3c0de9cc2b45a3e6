//! Clients that we did not write talk to the control plane: boto3 and the AWS CLI.

use std::{path::Path, process::Command};

use crate::api_server::ApiServer;

/// Runs a script of `testing/python` against servers of its own.
fn run(script: &str) {
    run_with(script, &[]);
}

/// As [`run`]; the plain server has `options`.
fn run_with(script: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let socket = ["--admin-socket", socket.to_str().unwrap()];
    let plain = ApiServer::start(&[&socket, options].concat());
    let realistic = ApiServer::start(&["--preset", "realistic"]);
    let driven = ApiServer::start(&["--preset", "realistic", "--clock-speed", "0"]);
    let key = ["--require-auth", "--access-key", "AKIDROOT:hunter2"];
    let verifying = ApiServer::start(&key);
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/python");
    let has_boto3 = Command::new(&python).args(["-c", "import boto3"]).output();
    assert!(
        has_boto3.is_ok_and(|output| output.status.success()),
        "{python} with boto3 is missing: run `make setup`"
    );
    let output = Command::new(&python)
        .arg(folder.join(script))
        .env("ENDPOINT", &plain.url)
        .env("ADMIN_SOCKET", socket[1])
        .env("DRIVEN_ENDPOINT", &driven.url)
        .env("UNDERLAY_VPC", env!("CARGO_BIN_EXE_underlay-vpc"))
        .env("REALISTIC_ENDPOINT", &realistic.url)
        .env("VERIFYING_ENDPOINT", &verifying.url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for server in [plain, realistic, driven, verifying] {
        assert_eq!(server.stop(), Some(0), "a server ends cleanly on SIGTERM");
    }
}

#[test]
fn an_interface_with_five_addresses_and_a_prefix_reads_back() {
    run("vpc_round_trip.py");
}

#[test]
fn blocks_and_ipv6_read_back() {
    run("vpc_dual_stack.py");
}

#[test]
fn every_refusal_of_the_catalogue_has_its_code() {
    // So small that calls soon want more, and large enough for all that comes before.
    let quotas = [
        "enis=60",
        "groups=30",
        "instances=15",
        "internet_gateways=3",
        "nat_gateways_per_zone=2",
        "network_acls_per_vpc=4",
        "peerings_per_vpc=2",
        "prefix_lists=8",
        "route_tables_per_vpc=4",
        "subnets_per_vpc=8",
        "vpcs=6",
    ];
    let quotas = quotas.iter().flat_map(|quota| ["--quota", *quota]);
    let pool = ["--public-pool", "203.0.113.8/29"];
    run_with("vpc_catalogue.py", &quotas.chain(pool).collect::<Vec<_>>());
}

#[test]
fn refusals_say_what_ec2_says_and_change_nothing() {
    run("vpc_errors.py");
}

#[test]
fn flow_logs_take_every_documented_format_and_destination() {
    run("vpc_flow_logs.py");
}

#[test]
fn gateways_routes_acls_and_peering_are_as_documented() {
    run("vpc_gateways.py");
}

#[test]
fn the_parameters_that_are_not_taken_are_listed() {
    run("vpc_parameters.py");
}

#[test]
fn what_another_emulator_gets_wrong_is_right() {
    run("vpc_oracle.py");
}

#[test]
fn requests_say_what_ec2_lets_them_say() {
    run("vpc_requests.py");
}

#[test]
fn groups_and_prefix_lists_are_as_documented() {
    run("vpc_groups.py");
}

#[test]
fn instances_stop_start_and_keep_their_attributes() {
    run("vpc_instances.py");
}

#[test]
fn every_documented_filter_finds_what_it_should_or_is_listed_as_refused() {
    run("vpc_filters.py");
}

#[test]
fn every_waiter_and_paginator_works() {
    let quotas = [
        "elastic_addresses=20",
        "internet_gateways=20",
        "nat_gateways_per_zone=20",
    ];
    let quotas = quotas.iter().chain(&["vpcs=20"]);
    let quotas: Vec<_> = quotas.flat_map(|quota| ["--quota", *quota]).collect();
    run_with("vpc_waiters.py", &quotas);
}

#[test]
fn signatures_are_verified_on_demand() {
    run("vpc_signatures.py");
}

#[test]
fn the_aws_cli_works() {
    let server = ApiServer::start(&[]);
    let aws = |words: &str| {
        let output = Command::new("aws")
            .args([
                "--endpoint-url",
                &server.url,
                "--region",
                "us-east-1",
                "--output",
                "text",
            ])
            .args(words.split(' '))
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_PAGER", "")
            .output();
        let output = output.unwrap_or_else(|error| panic!("aws: {error}: run `make setup`"));
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said.trim().to_owned(), complained)
    };
    let (_, vpc, _) = aws("ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId");
    assert!(vpc.starts_with("vpc-0"), "{vpc}");
    let query = "--query Vpcs[].[VpcId,CidrBlock]";
    assert_eq!(
        aws(&format!("ec2 describe-vpcs {query}")).1,
        format!("{vpc}\t10.0.0.0/16")
    );
    let (accepted, _, complaint) = aws("ec2 describe-vpcs --vpc-ids vpc-0123456789abcdef0");
    assert!(
        !accepted && complaint.contains("InvalidVpcID.NotFound"),
        "{complaint}"
    );
}

#[test]
fn bad_arguments_get_one_line() {
    for (words, expected) in [
        (vec!["serve", "--control-plane"], "--api"),
        (vec!["serve", "--api", "here", "--control-plane"], "--api"),
        (vec!["serve", "--api", "127.0.0.1:0", "--bogus"], "--bogus"),
        (
            vec![
                "serve",
                "--api",
                "127.0.0.1:0",
                "--control-plane",
                "--require-auth",
            ],
            "--access-key",
        ),
        (
            vec![
                "serve",
                "--api",
                "127.0.0.1:0",
                "--control-plane",
                "--region",
                "mars",
            ],
            "mars",
        ),
        (
            vec!["serve", "--api", "203.0.113.1:1", "--control-plane"],
            "203.0.113.1:1",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_underlay-vpc"))
            .args(&words)
            .output()
            .unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{words:?}");
        assert_eq!(complaint.lines().count(), 1, "{words:?}: {complaint}");
        assert!(complaint.contains(expected), "{words:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}
