//! A node whose /run is full: what needs the journal is refused and told, and nothing is half done.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use underlay_testkit::{Cluster, Node, NodeSpec, PodSpec, wait_for};

const RUN: &str = "/run/underlay";
const WAIT: Duration = Duration::from_secs(30);

/// Fills the agent's folder to the last byte.
fn fill(node: &Node) {
    // It ends with "No space left on device", as it should.
    let script = format!("dd if=/dev/zero of={RUN}/fill bs=512 2>&1; df --output=avail {RUN}");
    let output = node.output("sh", &["-c", &script]).unwrap();
    let left = output.lines().last().map(str::trim);
    assert_eq!(left, Some("0"), "{output}");
}

/// The containers with a lease.
fn leases(cluster: &Cluster) -> BTreeSet<String> {
    let status = cluster.agent_status(0).unwrap();
    let leases = status["leases"].as_array().unwrap().iter();
    let container = |lease: &Value| lease["key"]["container"].as_str().unwrap().to_owned();
    leases.map(container).collect()
}

/// How many ends of pods the node has.
fn devices(cluster: &Cluster) -> usize {
    let node = &cluster.nodes[0].node;
    let links = node.output("ip", &["-br", "link"]).unwrap();
    links.lines().filter(|line| line.starts_with("und")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_tells_and_nothing_is_half_done() {
    let specs = [NodeSpec::new("n1", "t3.small", 0)];
    let mut cluster = Cluster::start("e2e-full", &specs).await.unwrap();
    cluster.nodes[0].node.kill_agent().unwrap();
    let small = ["-t", "tmpfs", "-o", "size=128k", "tmpfs", RUN];
    cluster.nodes[0].node.output("mount", &small).unwrap();
    cluster.restart_agent(0).unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = vec![cri.run_pod(&PodSpec::named("first")).await.unwrap()];

    fill(&cluster.nodes[0].node);
    // What is left of the journal's last page takes a few records.
    let refused = loop {
        match cri.run_pod(&PodSpec::named("later")).await {
            Ok(pod) => pods.push(pod),
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(pods.len() < 8, "the disk is not full");
    assert!(refused.contains("journal"), "{refused}");
    assert!(refused.contains("No space left on device"), "{refused}");
    let waited = wait_for("the refused pod's device to go", WAIT, || {
        Ok((devices(&cluster) == pods.len()).then_some(()))
    });
    waited.unwrap();
    // A DEL's records are shorter than an ADD's: there may be room for those of one.
    let told = loop {
        match cri.remove_pod(&pods[0].id).await {
            Ok(()) => drop(pods.remove(0)),
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(told.contains("journal"), "{told}");
    let known: BTreeSet<String> = pods.iter().map(|pod| pod.id.clone()).collect();
    assert!(leases(&cluster).is_superset(&known), "nothing is forgotten");

    // Nobody is locked out: an agent that starts now knows its pods, too.
    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
    assert!(leases(&cluster).is_superset(&known));
    // That of the pod whose DEL was refused may be gone, if its end could not be recorded.
    let others = pods.len() - 1;
    assert!((others..=pods.len()).contains(&devices(&cluster)));

    let fill = format!("{RUN}/fill");
    cluster.nodes[0].node.output("rm", &[&fill]).unwrap();
    let waited = wait_for("the refused pod's address to be free", WAIT, || {
        Ok((leases(&cluster) == known).then_some(()))
    });
    waited.unwrap();
    pods.push(cri.run_pod(&PodSpec::named("last")).await.unwrap());
    for pod in pods {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    assert_eq!(leases(&cluster), BTreeSet::new());
    cluster.stop().unwrap();
}
