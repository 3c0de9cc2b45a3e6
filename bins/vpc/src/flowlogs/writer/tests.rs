use underlay_flowlog::{
    Action, Direction, EniFacts, EniNetwork, FlowKey, FlowRecord, Outcome, Partitioning, TcpFlags,
    TrafficType,
};

use super::*;
use crate::flowlogs::{Scope, read_object};

const NOW: Timestamp = Timestamp::from_secs(1_529_511_640);

/// The closed window of an ENI of the test VPC, with one accepted and one rejected flow.
pub(in crate::flowlogs) fn window(eni: u64, subnet: u64, start_secs: u64) -> EniWindow {
    let record = |action, src_port| FlowRecord {
        key: FlowKey {
            direction: Direction::Egress,
            src: "10.0.1.77".parse().unwrap(),
            dst: "10.0.2.9".parse().unwrap(),
            src_port,
            dst_port: 5432,
            protocol: 6,
            action,
        },
        packets: 1,
        bytes: 60,
        first: Timestamp::from_secs(start_secs),
        last: Timestamp::from_secs(start_secs),
        tcp_flags: TcpFlags::of_packet(2),
    };
    EniWindow {
        facts: EniFacts {
            id: EniId::from_serial(eni),
            account: "123456789012".parse().unwrap(),
            primary_v4: Some("10.0.1.4".parse().unwrap()),
            primary_v6: None,
            instance: None,
            interface_type: "interface".into(),
            network: EniNetwork {
                vpc: underlay_types::VpcId::from_serial(1),
                vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
                subnet: underlay_types::SubnetId::from_serial(subnet),
                subnet_v4: None,
                region: "us-east-1".into(),
                az_id: "use1-az1".into(),
            },
        },
        start: Timestamp::from_secs(start_secs),
        end: Timestamp::from_secs(start_secs + 60),
        outcome: Outcome::Flows {
            records: vec![record(Action::Accept, 1), record(Action::Reject, 2)],
            skipped: 0,
        },
    }
}

pub(in crate::flowlogs) fn subscription(serial: u64, scope: Scope) -> Subscription {
    Subscription {
        flow_log: FlowLogId::from_serial(serial),
        scope,
        traffic: TrafficType::All,
        format: "${interface-id} ${pkt-srcaddr} ${action} ${start}"
            .parse()
            .unwrap(),
        destination: "arn:aws:s3:::logs/demo".parse().unwrap(),
        partitioning: Partitioning::default(),
    }
}

fn texts(path: &Path) -> Vec<String> {
    let lines = read_object(path).unwrap();
    lines.into_iter().map(|line| line.text).collect()
}

/// Every file below a folder, relative to it.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_window_becomes_one_file_per_flow_log_in_the_documented_layout() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let rejects = Subscription {
        traffic: TrafficType::Reject,
        ..subscription(2, Scope::Subnet(underlay_types::SubnetId::from_serial(8)))
    };
    let vpc = subscription(1, Scope::Vpc(underlay_types::VpcId::from_serial(1)));
    let delivery = writer.deliver(
        NOW,
        &[window(1, 7, 1_529_511_580), window(2, 8, 1_529_511_580)],
        &[vpc, rejects],
    );
    assert!(delivery.failed.is_empty());
    let prefix = "logs/demo/AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/\
                  123456789012_vpcflowlogs_us-east-1_fl-0000000000000000";
    let found = files(dir.path());
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with(&format!("{prefix}1_20180620T1620Z_")),
        "{found:?}"
    );
    assert!(
        found[1].starts_with(&format!("{prefix}2_20180620T1620Z_")),
        "{found:?}"
    );
    assert_eq!(
        texts(&delivery.written[0]),
        [
            "eni-00000000000000001 10.0.1.77 ACCEPT 1529511580",
            "eni-00000000000000001 10.0.1.77 REJECT 1529511580",
            "eni-00000000000000002 10.0.1.77 ACCEPT 1529511580",
            "eni-00000000000000002 10.0.1.77 REJECT 1529511580",
        ]
    );
    assert_eq!(
        texts(&delivery.written[1]),
        ["eni-00000000000000002 10.0.1.77 REJECT 1529511580"]
    );
}

#[test]
fn a_flow_log_without_lines_writes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let elsewhere = subscription(1, Scope::Eni(EniId::from_serial(99)));
    let delivery = writer.deliver(NOW, &[window(1, 7, 1_529_511_580)], &[elsewhere]);
    assert!(delivery.written.is_empty() && delivery.failed.is_empty());
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn a_file_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let eni = subscription(1, Scope::Eni(EniId::from_serial(1)));
    for _ in 0..3 {
        let delivery = writer.deliver(
            NOW,
            &[window(1, 7, 1_529_511_580)],
            std::slice::from_ref(&eni),
        );
        assert_eq!((delivery.written.len(), delivery.failed.len()), (1, 0));
    }
    assert_eq!(files(dir.path()).len(), 3, "and nothing is left over");
}

#[test]
fn what_could_not_be_written_is_reported_and_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("logs");
    fs::write(&in_the_way, "a file where the bucket's folder should be").unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let eni = subscription(1, Scope::Eni(EniId::from_serial(1)));
    let first = writer.deliver(
        NOW,
        &[window(1, 7, 1_529_511_580)],
        std::slice::from_ref(&eni),
    );
    assert!(first.written.is_empty());
    assert!(matches!(
        first.failed.as_slice(),
        [DeliveryError::Write { path, .. }] if path.starts_with(&in_the_way)
    ));
    fs::remove_file(&in_the_way).unwrap();
    let second = writer.deliver(NOW, &[window(1, 7, 1_529_511_640)], &[eni]);
    assert!(second.failed.is_empty());
    let starts: Vec<_> = second
        .written
        .iter()
        .map(|path| read_object(path).unwrap()[0].at_secs)
        .collect();
    assert_eq!(starts, [1_529_511_580, 1_529_511_640]);
}
