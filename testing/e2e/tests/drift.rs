//! What somebody breaks on a node is put right by its agent, and told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use underlay_netplan::names;
use underlay_testkit::{
    Cluster, NodeSpec, Pod, PodSpec,
    probe::{Connection, TcpServer},
    wait_for,
};
use underlay_types::LeaseKey;

const WAIT: Duration = Duration::from_secs(5);
/// Far longer than a look takes to come, on a busy machine.
const NOTICED: Duration = Duration::from_secs(60);

/// The node's counts of repairs, by kind, as Prometheus sees them.
fn repairs(cluster: &Cluster) -> BTreeMap<String, f64> {
    let node = &cluster.nodes[0].node;
    let url = "http://127.0.0.1:61678/metrics";
    let text = node
        .output("curl", &["-sS", "--max-time", "20", url])
        .unwrap();
    let prefix = "underlay_drift_repairs_total{kind=\"";
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    lines
        .map(|line| {
            let (kind, count) = line.split_once("\"} ").unwrap();
            (kind.to_owned(), count.parse().unwrap())
        })
        .collect()
}

/// Breaks something with a command on the node and waits until it was put right as one of `kind`.
fn breaks(cluster: &Cluster, kind: &str, program: &str, arguments: &[&str]) {
    let before = repairs(cluster)[kind];
    cluster.nodes[0].node.output(program, arguments).unwrap();
    wait_for(kind, NOTICED, || {
        Ok((repairs(cluster)[kind] > before).then_some(()))
    })
    .unwrap();
}

fn key(cluster: &Cluster, pod: &Pod) -> LeaseKey {
    let status = cluster.agent_status(0).unwrap();
    let leases = status["leases"].as_array().unwrap();
    let of_pod = |lease: &&serde_json::Value| lease["key"]["container"] == pod.id.as_str();
    let lease = leases.iter().find(of_pod).unwrap();
    serde_json::from_value(lease["key"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_breaks_is_put_right_counted_and_told() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config("[drift]\ninterval = \"1s\"\n"),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-drift", &nodes).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for name in ["a", "b", "c", "d"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    let mut open = Connection::open(pods[3].netns().unwrap(), server.address, WAIT)
        .await
        .unwrap();
    let device = names::host_device(&key(&cluster, &pods[0]));

    breaks(&cluster, "ruleset", "nft", &["flush", "ruleset"]);
    for pod in &pods {
        server.reached_by(pod, WAIT).await.unwrap();
    }
    breaks(
        &cluster,
        "rule",
        "ip",
        &["rule", "delete", "priority", "7000"],
    );
    breaks(
        &cluster,
        "route",
        "ip",
        &["route", "flush", "table", "70000"],
    );
    breaks(&cluster, "device", "ip", &["link", "set", &device, "down"]);
    // The pod's sandbox lives: it gets a device again, with its address.
    breaks(&cluster, "pod", "ip", &["link", "delete", &device]);
    for pod in &pods {
        server.reached_by(pod, WAIT).await.unwrap();
    }
    assert!(
        open.works(WAIT).await,
        "an open connection outlives all of that"
    );

    let notices = cluster.agent_status(0).unwrap()["notices"].to_string();
    assert!(
        notices.contains("somebody changed what is ours"),
        "{notices}"
    );
    let log = cluster.nodes[0].node.folder().join("agent.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("drift put right kind=\"pod\""), "{log}");
    for pod in &pods {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    cluster.stop().unwrap();
}

/// Debian's containerd never calls GC: a pod whose namespace is gone, of which nobody said so,
/// gives its address back all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_pod_died_unseen_ends() {
    let node = NodeSpec::new("n1", "t3.small", 0).with_agent_config("[drift]\ninterval = \"1s\"\n");
    let cluster = Cluster::start("e2e-unseen", &[node]).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let (kept, dead) = (
        cri.run_pod(&PodSpec::named("kept")).await.unwrap(),
        cri.run_pod(&PodSpec::named("dead")).await.unwrap(),
    );
    // A runtime that lost its state leaves neither namespace nor device.
    let path = dead.netns().unwrap().path().to_owned();
    let path = path
        .to_str()
        .unwrap()
        .split_once("/root")
        .unwrap()
        .1
        .to_owned();
    let device = names::host_device(&key(&cluster, &dead));
    let node = &cluster.nodes[0].node;
    node.output("umount", &["--lazy", &path]).unwrap();
    node.output("rm", &[&path]).unwrap();
    node.output("ip", &["link", "delete", &device]).unwrap();
    wait_for("the lease to end", NOTICED, || {
        let status = cluster.agent_status(0)?;
        let leases = status["leases"].as_array().unwrap();
        let left: Vec<_> = leases
            .iter()
            .map(|lease| &lease["key"]["container"])
            .collect();
        Ok((left == [kept.id.as_str()]).then_some(()))
    })
    .unwrap();
    cri.remove_pod(&kept.id).await.unwrap();
    cluster.stop().unwrap();
}
