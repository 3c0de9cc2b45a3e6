use std::fs;

use underlay_flowlog::{
    Action, Direction, EniFacts, EniNetwork, FlowKey, FlowRecord, Outcome, Partitioning, TcpFlags,
    TrafficType,
};

use super::*;
use crate::flowlogs::{LoggedLine, Scope, read_object, read_stream};

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
            nitro: false,
            interface_type: "interface".into(),
            network: EniNetwork {
                vpc: underlay_types::VpcId::from_serial(1),
                vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
                subnet: underlay_types::SubnetId::from_serial(subnet),
                subnet_v4: None,
                region: "us-east-1".into(),
                az_id: "use1-az1".into(),
                ways: Vec::new(),
                services: Vec::new(),
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
        target: Target::Bucket {
            destination: "arn:aws:s3:::logs/demo".parse().unwrap(),
            file_format: FileFormat::Text,
            partitioning: Partitioning::default(),
        },
        aggregation: Aggregation::Minute,
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
        Aggregation::Minute,
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
    let delivery = writer.deliver(
        NOW,
        Aggregation::Minute,
        &[window(1, 7, 1_529_511_580)],
        &[elsewhere],
    );
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
            Aggregation::Minute,
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
        Aggregation::Minute,
        &[window(1, 7, 1_529_511_580)],
        std::slice::from_ref(&eni),
    );
    assert!(first.written.is_empty());
    assert!(matches!(
        first.failed.as_slice(),
        [DeliveryError::Write { path, .. }] if path.starts_with(&in_the_way)
    ));
    fs::remove_file(&in_the_way).unwrap();
    let second = writer.deliver(
        NOW,
        Aggregation::Minute,
        &[window(1, 7, 1_529_511_640)],
        &[eni],
    );
    assert!(second.failed.is_empty());
    let starts: Vec<_> = second
        .written
        .iter()
        .map(|path| read_object(path).unwrap()[0].at_secs)
        .collect();
    assert_eq!(starts, [1_529_511_580, 1_529_511_640]);
}

fn bucket(file_format: FileFormat, hive_compatible: bool) -> Target {
    Target::Bucket {
        destination: "arn:aws:s3:::logs".parse().unwrap(),
        file_format,
        partitioning: Partitioning {
            hive_compatible,
            per_hour: true,
        },
    }
}

#[test]
fn parquet_reads_back_as_the_lines_of_text_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let every: Vec<_> = Field::ALL
        .iter()
        .map(|field| format!("${{{field}}}"))
        .collect();
    let log = |serial, file_format| Subscription {
        format: every.join(" ").parse().unwrap(),
        target: bucket(file_format, true),
        ..subscription(serial, Scope::Eni(EniId::from_serial(1)))
    };
    let silent = EniWindow {
        outcome: Outcome::NoData,
        ..window(1, 7, 1_529_511_640)
    };
    let delivery = writer.deliver(
        NOW,
        Aggregation::Minute,
        &[window(1, 7, 1_529_511_580), silent],
        &[log(1, FileFormat::Text), log(2, FileFormat::Parquet)],
    );
    assert!(delivery.failed.is_empty(), "{:?}", delivery.failed);
    let [text, parquet] = delivery.written.as_slice() else {
        panic!("two objects: {:?}", delivery.written)
    };
    let place = "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/\
                 aws-region=us-east-1/year=2018/month=06/day=20/hour=16/";
    assert!(parquet.to_str().unwrap().contains(place), "{parquet:?}");
    assert!(parquet.to_str().unwrap().ends_with(".log.parquet"));
    assert_eq!(read_object(text).unwrap().len(), 3);
    assert_eq!(read_object(parquet).unwrap(), read_object(text).unwrap());
}

#[test]
fn a_log_group_is_a_folder_with_a_stream_per_eni_that_grows() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let log = Subscription {
        traffic: TrafficType::Reject,
        target: Target::LogGroup("/vpc/flow".parse().unwrap()),
        ..subscription(1, Scope::Vpc(underlay_types::VpcId::from_serial(1)))
    };
    let mut deliver = |start| {
        let windows = [window(1, 7, start), window(2, 7, start)];
        let length = Aggregation::Minute;
        let delivery = writer.deliver(NOW, length, &windows, std::slice::from_ref(&log));
        assert!(delivery.failed.is_empty());
        assert_eq!(
            delivery.outcomes.values().collect::<Vec<_>>(),
            [&LogOutcome::Done]
        );
        delivery.written
    };
    let written = deliver(100);
    assert_eq!(
        files(dir.path()),
        [
            "CloudWatchLogs/%/vpc/flow/eni-00000000000000001-reject.jsonl",
            "CloudWatchLogs/%/vpc/flow/eni-00000000000000002-reject.jsonl",
        ]
    );
    let line = |start: u64| LoggedLine {
        at_secs: start,
        eni: Some("eni-00000000000000001".into()),
        header: "interface-id pkt-srcaddr action start".into(),
        text: format!("eni-00000000000000001 10.0.1.77 REJECT {start}"),
    };
    let (lines, end) = read_stream(&written[0], 0).unwrap();
    assert_eq!(lines, [line(100)]);
    deliver(160);
    // An event that is still being written is left for later.
    let half = fs::read(&written[0]).unwrap();
    fs::write(&written[0], &half[..half.len() - 1]).unwrap();
    assert_eq!(read_stream(&written[0], end).unwrap(), (vec![], end));
    fs::write(&written[0], &half).unwrap();
    assert_eq!(read_stream(&written[0], end).unwrap().0, [line(160)]);
}

#[test]
fn more_lines_than_one_object_takes_become_more_objects() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer {
        object_bytes: 150,
        ..Writer::new(dir.path().to_owned())
    };
    let windows: Vec<_> = (1..=3).map(|eni| window(eni, 7, 1_529_511_580)).collect();
    let log = subscription(1, Scope::Vpc(underlay_types::VpcId::from_serial(1)));
    let delivery = writer.deliver(NOW, Aggregation::Minute, &windows, &[log]);
    let counts: Vec<_> = delivery
        .written
        .iter()
        .map(|path| texts(path).len())
        .collect();
    assert_eq!(counts, [2, 2, 2]);
}

#[test]
fn long_windows_are_for_enis_that_are_not_on_nitro() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path().to_owned());
    let log = Subscription {
        aggregation: Aggregation::TenMinutes,
        ..subscription(1, Scope::Vpc(underlay_types::VpcId::from_serial(1)))
    };
    let mut nitro = window(2, 7, 1_529_511_580);
    nitro.facts.nitro = true;
    let windows = [window(1, 7, 1_529_511_580), nitro];
    let mut enis = |length| {
        let logs = std::slice::from_ref(&log);
        let delivery = writer.deliver(NOW, length, &windows, logs);
        let lines = delivery.written.iter().flat_map(|path| texts(path));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(
        enis(Aggregation::Minute)
            .iter()
            .eq(["eni-00000000000000002"])
    );
    assert!(
        enis(Aggregation::TenMinutes)
            .iter()
            .eq(["eni-00000000000000001"])
    );
}
