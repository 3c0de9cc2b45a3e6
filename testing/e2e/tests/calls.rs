//! What a node asks of EC2, counted: what a Region lets an account call is shared by all its nodes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;
use underlay_testkit::{Cluster, NodeSpec, PodSpec, wait_for};

const SETTLED: Duration = Duration::from_secs(60);

/// Calls of the running agent since it was started, by action.
fn calls(cluster: &Cluster) -> BTreeMap<String, u64> {
    let status = cluster.agent_status(0).unwrap();
    let actions = status["ec2"].as_object().unwrap().iter();
    actions
        .map(|(action, counters)| {
            let results = counters["results"].as_object().unwrap().values();
            (action.clone(), results.filter_map(Value::as_u64).sum())
        })
        .collect()
}

/// Has another agent grow the node to `enis` ENIs. Returns how often it read metadata.
fn grow(cluster: &mut Cluster, enis: usize) -> usize {
    let before = cluster.vpc.metadata_reads().unwrap();
    cluster.nodes[0].node.kill_agent().unwrap();
    // Of 29 addresses on each.
    let addresses = 29 * enis - 5;
    cluster.nodes[0].agent.config =
        format!("[addresses]\nminimum_target = {addresses}\nwarm_target = 1");
    cluster.restart_agent(0).unwrap();
    settle(cluster, enis);
    cluster.vpc.metadata_reads().unwrap() - before
}

/// Waits until the agent holds `enis` ENIs and does nothing any more.
fn settle(cluster: &Cluster, enis: usize) {
    wait_for("the node to settle", SETTLED, || {
        let status = cluster.agent_status(0)?;
        let count = |list: &str| status[list].as_array().map_or(0, Vec::len);
        let done = count("enis") == enis && count("calls") == 0 && count("waits_for") == 0;
        let attached = |eni: &Value| eni["stage"] == "active";
        let in_use = status["enis"]
            .as_array()
            .is_some_and(|all| all.iter().all(attached));
        Ok((done && in_use).then_some(()))
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_asks_ec2_nothing() {
    let config = "[addresses]\nminimum_target = 12\nwarm_target = 1";
    let node = NodeSpec::new("n1", "m5.large", 0).with_agent_config(config);
    let mut cluster = Cluster::start("e2e-restart-calls", &[node]).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    cri.run_pod(&PodSpec::named("before")).await.unwrap();
    settle(&cluster, 2);
    assert!(calls(&cluster).contains_key("AttachNetworkInterface"));

    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
    settle(&cluster, 2);
    cri.run_pod(&PodSpec::named("after")).await.unwrap();
    assert_eq!(calls(&cluster), BTreeMap::new());

    // Without what the first agent left, all is asked.
    cluster.nodes[0].node.kill_agent().unwrap();
    let memory = cluster.nodes[0].node.inside("/run/underlay/ec2.json");
    fs::remove_file(memory).unwrap();
    cluster.restart_agent(0).unwrap();
    let asked = calls(&cluster);
    assert!(asked.contains_key("DescribeInstanceTypes"), "{asked:?}");
    assert!(asked.contains_key("DescribeNetworkInterfaces"), "{asked:?}");
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eni_costs_at_most_four_calls() {
    let config = "[addresses]\nmax_enis = 1\nwarm_target = 1";
    let node = NodeSpec::new("n1", "m5.xlarge", 0).with_agent_config(config);
    let mut cluster = Cluster::start("e2e-eni-calls", &[node]).await.unwrap();
    settle(&cluster, 1);
    // An agent that asks nothing at its start shows what the growth costs.
    cluster.nodes[0].node.kill_agent().unwrap();
    "[addresses]\nminimum_target = 40\nwarm_target = 1"
        .clone_into(&mut cluster.nodes[0].agent.config);
    cluster.restart_agent(0).unwrap();
    settle(&cluster, 3);
    let calls = calls(&cluster);
    println!("two ENIs and the primary one's addresses: {calls:?}");
    let total: u64 = calls.values().sum();
    assert!(total <= 2 * 4, "{calls:?}");
    assert_eq!(calls.get("AttachNetworkInterface"), Some(&2), "{calls:?}");
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_read_neither_for_pods_nor_for_enis() {
    let config = "[addresses]\nmax_enis = 1";
    let node = NodeSpec::new("n1", "m5.4xlarge", 0).with_agent_config(config);
    let mut cluster = Cluster::start("e2e-metadata", &[node]).await.unwrap();
    settle(&cluster, 1);
    let (three, six) = (grow(&mut cluster, 4), grow(&mut cluster, 7));
    println!("reads of an agent that adds three ENIs: {three}, that adds three more: {six}");
    assert!(three > 0, "nothing was counted");
    assert_eq!(three, six);
    let before = cluster.vpc.metadata_reads().unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    for pod in ["one", "two", "three"] {
        cri.run_pod(&PodSpec::named(pod)).await.unwrap();
    }
    assert_eq!(cluster.vpc.metadata_reads().unwrap(), before);
    cluster.stop().unwrap();
}
