//! An agent that is killed comes back knowing every pod, and the pods do not notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use underlay_testkit::{
    Cluster, Node, NodeSpec, PluginInterface, Pod, PodSpec, addresses_inside,
    probe::{Connection, TcpServer},
    wait_for,
};

const WAIT: Duration = Duration::from_secs(2);

/// The leases without what may change while a pod lives.
fn leases(cluster: &Cluster, node: usize) -> Vec<(String, String, String)> {
    let status = cluster.agent_status(node).unwrap();
    let text = |lease: &Value, field: &str| lease[field].to_string();
    let leases = status["leases"].as_array().unwrap().iter();
    let mut leases: Vec<_> = leases
        .map(|lease| {
            (
                text(lease, "key"),
                text(lease, "addresses"),
                text(lease, "eni"),
            )
        })
        .collect();
    leases.sort();
    leases
}

async fn assert_all_reach(pods: &[Pod], server: &TcpServer) {
    for pod in pods {
        let netns = pod.netns().unwrap();
        assert_eq!(addresses_inside(netns, "eth0").unwrap(), [pod.address]);
        server.reached_by(pod, WAIT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_comes_back_knowing_every_pod_while_traffic_continues() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-restart", &nodes).await.unwrap();
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
    let before = leases(&cluster, 0);
    assert_eq!(before.len(), 4);

    cluster.nodes[0].node.kill_agent().unwrap();
    assert!(open.works(WAIT).await);
    assert_all_reach(&pods, &server).await;
    // A pod that goes while nobody is there to take its address back.
    let gone = pods.remove(0);
    cri.remove_pod(&gone.id).await.unwrap();
    let refused = cri.run_pod(&PodSpec::named("early")).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("underlay-agent"), "{refused}");

    cluster.restart_agent(0).unwrap();
    let after = wait_for(
        "the tombstone to be consumed",
        Duration::from_secs(10),
        || {
            let now = leases(&cluster, 0);
            Ok((now.len() == 3).then_some(now))
        },
    )
    .unwrap();
    let kept: Vec<_> = before
        .into_iter()
        .filter(|(_, address, _)| *address != format!("[\"{}\"]", gone.address))
        .collect();
    assert_eq!(after, kept);
    assert!(open.works(WAIT).await);
    let late = cri.run_pod(&PodSpec::named("late")).await.unwrap();
    assert_ne!(late.address, gone.address, "it cools down");
    pods.push(late);
    assert_all_reach(&pods, &server).await;
    cluster.stop().unwrap();
}

fn call(node: &Node, command: &str, netns: &str, extra: &Value) -> Value {
    let interface = PluginInterface {
        container: "moved",
        ifname: "eth0",
        netns: &format!("/run/netns/{netns}"),
    };
    node.cni(command, interface, extra).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_that_is_repeated_in_another_namespace_is_known_by_that_one() {
    let spec = NodeSpec::new("n1", "t3.small", 0).with_agent_config("[drift]\ninterval = \"1s\"\n");
    let mut cluster = Cluster::start("e2e-repeated-add", &[spec]).await.unwrap();
    let node = &cluster.nodes[0].node;
    for netns in ["first", "second"] {
        node.output("ip", &["netns", "add", netns]).unwrap();
    }
    let first = call(node, "ADD", "first", &json!({}));
    let second = call(node, "ADD", "second", &json!({}));
    assert_eq!(first["ips"], second["ips"], "{second}");
    let known = |cluster: &Cluster| {
        let status = cluster.agent_status(0).unwrap();
        status["leases"][0]["netns"].clone()
    };
    assert_eq!(known(&cluster), "/run/netns/second");

    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
    assert_eq!(known(&cluster), "/run/netns/second");
    let node = &cluster.nodes[0].node;
    let result = json!({ "prevResult": second });
    assert_eq!(call(node, "CHECK", "second", &result), Value::Null);
    // What is lost there is put right there.
    let inside = ["netns", "exec", "second", "ip", "link", "delete", "eth0"];
    node.output("ip", &inside).unwrap();
    let repaired = wait_for("the device to be back", Duration::from_secs(20), || {
        Ok((call(node, "CHECK", "second", &result) == Value::Null).then_some(()))
    });
    repaired.unwrap();
    assert_eq!(call(node, "DEL", "second", &json!({})), Value::Null);
    for netns in ["first", "second"] {
        node.output("ip", &["netns", "delete", netns]).unwrap();
    }
    cluster.stop().unwrap();
}
