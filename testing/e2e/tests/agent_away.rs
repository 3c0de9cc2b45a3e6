//! Pods do not notice that their agent is away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use underlay_testkit::{Cluster, NodeSpec, Pod, PodSpec, probe::DatagramStream, wait_for};

fn stream(from: &Pod, to: &Pod, port: u16) -> DatagramStream {
    let address = SocketAddr::from((to.address, port));
    DatagramStream::start(from.netns().unwrap(), to.netns().unwrap(), address).unwrap()
}

/// Waits until each stream has delivered some more.
fn flow(streams: &[DatagramStream]) {
    for stream in streams {
        let before = stream.arrived();
        wait_for("datagrams to arrive", Duration::from_secs(30), || {
            Ok((stream.arrived() >= before + 50).then_some(()))
        })
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_lose_no_packet_while_their_agent_is_killed_stopped_and_started() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config("[drift]\ninterval = \"1s\"\n"),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-away", &nodes).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for name in ["a", "b", "c", "d"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let streams = [
        // To another node and from there, and between the first and the last pod of this one,
        // which are of two ENIs.
        stream(&pods[1], &peer, 5001),
        stream(&peer, &pods[2], 5002),
        stream(&pods[0], &pods[3], 5003),
    ];
    flow(&streams);
    for round in ["SIGKILL", "SIGTERM"] {
        let node = &mut cluster.nodes[0].node;
        if round == "SIGKILL" {
            node.kill_agent().unwrap();
        } else {
            node.stop_agent().unwrap();
        }
        flow(&streams);
        cluster.restart_agent(0).unwrap();
        flow(&streams);
    }
    let log = cluster.nodes[0].node.folder().join("agent.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("stopping; pods stay as they are"), "{log}");
    for stream in streams {
        let delivery = stream.end();
        assert!(delivery.sent > 200, "{delivery:?}");
        assert_eq!(delivery.lost, 0, "{delivery:?}");
    }
    cluster.stop().unwrap();
}
