use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::fd::OwnedFd,
};

use underlay_cloud::ec2::{ActionCounters, CallCounters};
use underlay_ipam::{Config, InstanceLimits, Ipam};
use underlay_netplan::Drift;
use underlay_types::{LeaseKey, NetworkName};

use super::*;
use crate::service::{Attachment, ListedLease, Measures, PodRequest, ServiceError};

/// An engine that has numbers and nothing else.
struct Numbers;

fn not_asked<T>() -> Result<T, ServiceError> {
    let message = "not asked by metrics".to_owned();
    Err(ServiceError::NotReady { message })
}

impl NodeService for Numbers {
    fn add(&self, _: PodRequest, _: Duration) -> Result<Attachment, ServiceError> {
        not_asked()
    }

    fn del(&self, _: &LeaseKey, _: Option<OwnedFd>) -> Result<(), ServiceError> {
        not_asked()
    }

    fn check(&self, _: &LeaseKey, _: OwnedFd) -> Result<Attachment, ServiceError> {
        not_asked()
    }

    fn garbage(
        &self,
        _: &NetworkName,
        _: &BTreeSet<LeaseKey>,
    ) -> Result<Vec<ListedLease>, ServiceError> {
        not_asked()
    }

    fn collect(&self, _: &ListedLease) -> Result<(), ServiceError> {
        not_asked()
    }

    fn status(&self) -> Result<(), ServiceError> {
        Ok(())
    }

    fn node_status(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn measures(&self) -> Result<Measures, ServiceError> {
        let limits = InstanceLimits {
            enis_per_card: vec![3],
            enis: None,
            ipv4_per_eni: 10,
            prefixes: true,
        };
        let counters = ActionCounters {
            results: BTreeMap::from([("RequestLimitExceeded".to_owned(), 2), ("ok".to_owned(), 7)]),
            budget_wait: Duration::from_millis(1500),
        };
        Ok(Measures {
            addresses: Ipam::new(Config::for_limits(limits)).report(),
            ec2: CallCounters::from([("AttachNetworkInterface".to_owned(), counters)]),
            retired_devices: 4,
            branch_pods: 3,
            branch_packets: vec![("sent", 5)],
            notices: BTreeMap::from([("ec2_failed", 2)]),
            repairs: BTreeMap::from([(Drift::Route, 3), (Drift::Rule, 0)]),
        })
    }

    fn drain(&self, _: Duration) -> Result<(), ServiceError> {
        not_asked()
    }

    fn resume(&self) -> Result<(), ServiceError> {
        not_asked()
    }
}

fn text() -> String {
    let metrics = Metrics::new(Arc::new(Numbers));
    metrics.called("ADD", 0, Duration::from_millis(2));
    metrics.called("ADD", 11, Duration::from_secs(25));
    metrics.text().unwrap()
}

#[test]
fn calls_are_counted_by_command_and_code() {
    let text = text();
    for line in [
        "underlay_cni_call_seconds_bucket{le=\"0.001\",command=\"ADD\",code=\"0\"} 0",
        "underlay_cni_call_seconds_bucket{le=\"0.0025\",command=\"ADD\",code=\"0\"} 1",
        "underlay_cni_call_seconds_count{command=\"ADD\",code=\"11\"} 1",
        "underlay_cni_call_seconds_sum{command=\"ADD\",code=\"11\"} 25.0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
}

#[test]
fn the_engines_numbers_are_read_when_asked_for() {
    let text = text();
    for line in [
        "underlay_ready 1",
        "underlay_retired_devices 4",
        "underlay_drift_repairs_total{kind=\"route\"} 3",
        "underlay_drift_repairs_total{kind=\"rule\"} 0",
        "underlay_ec2_throttled 0",
        "underlay_notices_total{kind=\"ec2_failed\"} 2",
        "underlay_ec2_calls_total{action=\"AttachNetworkInterface\",result=\"RequestLimitExceeded\"} 2",
        "underlay_ec2_budget_wait_seconds_total{action=\"AttachNetworkInterface\"} 1.5",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// The manual names each metric, and no other.
#[test]
fn the_manual_lists_every_metric() {
    let manual = include_str!("../../../../docs/agent.md");
    let listed: BTreeSet<&str> = manual
        .split('`')
        .filter(|word| word.starts_with("underlay_"))
        .collect();
    let text = text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> = types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect();
    assert_eq!(listed, served.iter().map(String::as_str).collect());
}

#[test]
fn only_metrics_are_served_and_a_taken_port_is_told() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let metrics = Arc::new(Metrics::new(Arc::new(Numbers)));
    let any = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::start(any, Arc::clone(&metrics), runtime.handle()).unwrap();
    let ask = |what: &str| {
        let mut stream = TcpStream::connect(endpoint.address()).unwrap();
        write!(stream, "{what} HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("GET /metrics");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\n# HELP underlay_"), "{answer}");
    assert!(ask("GET /").starts_with("HTTP/1.1 404"));
    assert!(ask("POST /metrics").starts_with("HTTP/1.1 405"));
    let taken = Endpoint::start(endpoint.address(), metrics, runtime.handle());
    let error = taken.unwrap_err().to_string();
    assert!(error.contains(&endpoint.address().to_string()), "{error}");
}
