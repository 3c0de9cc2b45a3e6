//! The journal of an agent of the version before is taken over with its pods; a newer one is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use serde_json::Value;
use underlay_journal::{VERSION, decode, encode, encode_header};
use underlay_testkit::{
    Cluster, NodeSpec, Pod, PodSpec,
    probe::{Connection, TcpServer},
    wait_for,
};

const WAIT: Duration = Duration::from_secs(5);

fn journal(cluster: &Cluster) -> PathBuf {
    cluster.nodes[0].node.inside("/run/underlay/journal")
}

fn frame(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap();
    let sum = crc32fast::hash(json.as_bytes());
    [&length.to_be_bytes(), &sum.to_be_bytes(), json.as_bytes()].concat()
}

fn header(version: u32) -> Vec<u8> {
    frame(&format!(
        r#"{{"format":"underlay-journal","version":{version}}}"#
    ))
}

/// The same journal as an agent of version 1 would have written it, cut short in its last record.
fn as_version_1(bytes: &[u8]) -> Vec<u8> {
    let mut old = header(1);
    for change in decode(bytes).unwrap().state.changes() {
        old.extend(encode(&change));
    }
    assert!(!String::from_utf8_lossy(&old).contains("lease_state"));
    let torn = frame(r#"{"created":"of-which-half-is-written"}"#);
    [&old[..], &torn[..torn.len() / 2]].concat()
}

/// The address and state of each container's lease.
fn leases(cluster: &Cluster) -> BTreeMap<String, (Value, Value)> {
    let status = cluster.agent_status(0).unwrap();
    let leases = status["leases"].as_array().unwrap().iter();
    let entry = |lease: &Value| {
        let container = lease["key"]["container"].as_str().unwrap().to_owned();
        (
            container,
            (lease["addresses"].clone(), lease["state"].clone()),
        )
    };
    leases.map(entry).collect()
}

async fn assert_reach(pods: &[Pod], server: &TcpServer) {
    for pod in pods {
        server.reached_by(pod, WAIT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_takes_over_the_pods_of_the_version_before_and_none_of_a_newer_one() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-versions", &nodes).await.unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for name in ["a", "b", "c", "d"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    let mut open = Connection::open(pods[3].netns().unwrap(), server.address, WAIT)
        .await
        .unwrap();
    let before = leases(&cluster);
    assert_eq!(before.len(), 4);

    cluster.nodes[0].node.kill_agent().unwrap();
    let path = journal(&cluster);
    let written = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&written).contains("lease_state"));
    fs::write(&path, as_version_1(&written)).unwrap();
    cluster.restart_agent(0).unwrap();
    assert_eq!(leases(&cluster), before);
    assert!(fs::read(&path).unwrap().starts_with(&encode_header()));
    assert!(open.works(WAIT).await);
    let gone = pods.remove(0);
    cri.remove_pod(&gone.id).await.unwrap();
    pods.push(cri.run_pod(&PodSpec::named("late")).await.unwrap());
    assert_reach(&pods, &server).await;

    // A newer agent was here: this one does not guess, and harms nothing.
    cluster.nodes[0].node.kill_agent().unwrap();
    let written = fs::read(&path).unwrap();
    let newer = [
        header(VERSION + 1),
        written[encode_header().len()..].to_vec(),
    ]
    .concat();
    fs::write(&path, &newer).unwrap();
    let binaries = cluster.vpc.binaries();
    cluster.nodes[0].start_agent(binaries).unwrap();
    let log = cluster.nodes[0].node.folder().join("agent.log");
    let refused = format!("its version {} is newer than this agent knows", VERSION + 1);
    wait_for("the agent to refuse", Duration::from_secs(30), || {
        Ok(fs::read_to_string(&log)?.contains(&refused).then_some(()))
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), newer, "it is kept");
    assert!(open.works(WAIT).await);
    assert_reach(&pods, &server).await;
    drop(cluster.nodes[0].node.kill_agent());
    fs::write(&path, &written).unwrap();
    cluster.restart_agent(0).unwrap();
    assert_eq!(leases(&cluster).len(), 4);
    assert_reach(&pods, &server).await;
    cluster.stop().unwrap();
}
