//! A flow log's Parquet object, read by a reader that we did not write.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use underlay_flowlog::{
    Action, Direction, EniFacts, EniNetwork, EniWindow, FileFormat, FlowKey, FlowRecord, Outcome,
    Partitioning, TcpFlags, TrafficType,
};
use underlay_types::{EniId, FlowLogId, SubnetId, Timestamp, VpcId};
use underlay_vpc::flowlogs::{Aggregation, Scope, Subscription, Target, Writer};

const START: Timestamp = Timestamp::from_secs(1_529_511_580);

fn window(outcome: Outcome) -> EniWindow {
    EniWindow {
        facts: EniFacts {
            id: EniId::from_serial(1),
            account: "123456789012".parse().unwrap(),
            primary_v4: Some("10.0.1.4".parse().unwrap()),
            primary_v6: None,
            instance: None,
            nitro: false,
            interface_type: "interface".into(),
            network: EniNetwork {
                vpc: VpcId::from_serial(1),
                vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
                subnet: SubnetId::from_serial(1),
                subnet_v4: None,
                region: "us-east-1".into(),
                az_id: "use1-az1".into(),
                ways: Vec::new(),
                services: Vec::new(),
            },
        },
        start: START,
        end: START,
        outcome,
    }
}

fn flow() -> Outcome {
    let record = FlowRecord {
        key: FlowKey {
            direction: Direction::Egress,
            src: "10.0.1.77".parse().unwrap(),
            dst: "10.0.2.9".parse().unwrap(),
            src_port: 49_761,
            dst_port: 443,
            protocol: 6,
            action: Action::Accept,
        },
        packets: 1 << 40,
        bytes: 1 << 50,
        first: START,
        last: START,
        tcp_flags: TcpFlags::of_packet(0x12),
    };
    Outcome::Flows {
        records: vec![record],
        skipped: 0,
    }
}

fn read(path: &Path) -> Value {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testing/python")
        .join("flow_log_parquet.py");
    let output = Command::new(&python).arg(script).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{python}: {error}: run `make setup`"));
    assert!(
        output.status.success(),
        "{python} with pyarrow (run `make setup`): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn pyarrow_reads_the_documented_types_and_every_value() {
    let dir = tempfile::tempdir().unwrap();
    let fields = "version interface-id srcport packets start action log-status tcp-flags \
                  pkt-srcaddr traffic-path ecs-cluster-arn";
    let format: Vec<_> = fields
        .split_whitespace()
        .map(|field| format!("${{{field}}}"))
        .collect();
    let log = Subscription {
        flow_log: FlowLogId::from_serial(1),
        scope: Scope::Vpc(VpcId::from_serial(1)),
        traffic: TrafficType::All,
        format: format.join(" ").parse().unwrap(),
        target: Target::Bucket {
            destination: "arn:aws:s3:::logs".parse().unwrap(),
            file_format: FileFormat::Parquet,
            partitioning: Partitioning::default(),
        },
        aggregation: Aggregation::Minute,
    };
    let windows = [window(flow()), window(Outcome::NoData)];
    let delivery =
        Writer::new(dir.path().to_owned()).deliver(START, Aggregation::Minute, &windows, &[log]);
    assert!(delivery.failed.is_empty(), "{:?}", delivery.failed);
    let row = |numbers: [Value; 4], action: &str, status: &str, address: &str| {
        let [port, packets, flags, path] = numbers;
        json!({
            "version": 7, "interface_id": "eni-00000000000000001", "srcport": port,
            "packets": packets, "start": START.as_secs(), "action": action,
            "log_status": status, "tcp_flags": flags, "pkt_srcaddr": address,
            "traffic_path": path, "ecs_cluster_arn": "-",
        })
    };
    let numbers = [json!(49_761), json!(1_u64 << 40), json!(18), json!(1)];
    let nothing = [Value::Null, Value::Null, Value::Null, Value::Null];
    assert_eq!(
        read(&delivery.written[0]),
        json!({
            "columns": {
                "version": "int32", "interface_id": "string", "srcport": "int32",
                "packets": "int64", "start": "int64", "action": "string",
                "log_status": "string", "tcp_flags": "int32", "pkt_srcaddr": "string",
                "traffic_path": "int32", "ecs_cluster_arn": "string",
            },
            "compression": "GZIP",
            "rows": [
                row(numbers, "ACCEPT", "OK", "10.0.1.77"),
                row(nothing, "-", "NODATA", "-"),
            ],
        })
    );
}
