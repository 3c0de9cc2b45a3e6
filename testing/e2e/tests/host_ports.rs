//! hostPort through the standard portmap plugin, whichever ENI the pod's address is on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use underlay_testkit::{
    Cluster, ClusterNode, NodeSpec, Pod, PodSpec, PortMapping, TokenAttempt, imds_token,
    probe::{TcpServer, Verdict, tcp_probe},
};

const WAIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_host_port_answers_from_other_nodes_and_their_pods_on_every_eni() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-hostport", &nodes).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let client = other.run_pod(&PodSpec::named("client")).await.unwrap();
    let mut pods = Vec::new();
    let mut servers = Vec::new();
    // A t3.small holds three pods on an ENI.
    for port in 8001..=8005 {
        let spec = PodSpec {
            port_mappings: vec![PortMapping {
                host: port,
                container: 80,
            }],
            ..PodSpec::named(format!("p{port}"))
        };
        let pod = cri.run_pod(&spec).await.unwrap();
        servers.push(TcpServer::start(pod.netns().unwrap(), pod.address, 80).unwrap());
        pods.push(pod);
    }
    let ec2 = cluster.vpc.ec2();
    let interfaces = ec2.interfaces_of(&cluster.nodes[0].instance).await.unwrap();
    let on = |index: u32| {
        let of_eni = interfaces
            .iter()
            .find(|one| one.device_index == Some(index))
            .unwrap();
        pods.iter()
            .filter(|pod| of_eni.secondaries.contains(&pod.address))
            .count()
    };
    assert!(
        on(0) > 0 && on(1) > 0,
        "pods on both ENIs: {} and {}",
        on(0),
        on(1)
    );

    let (n1, n2) = (&cluster.nodes[0], &cluster.nodes[1]);
    for port in 8001..=8005 {
        let target = (n1.address, port).into();
        let from_node = tcp_probe(n2.node.netns(), target, WAIT).await;
        assert!(
            matches!(from_node, Verdict::Allowed(seen) if seen.ip() == n2.address),
            "from n2 to {target}: {from_node}"
        );
        let from_pod = tcp_probe(client.netns().unwrap(), target, WAIT).await;
        assert!(
            matches!(from_pod, Verdict::Allowed(seen) if seen.ip() == client.address),
            "from a pod of n2 to {target}: {from_pod}"
        );
    }
    assert_only_the_node_gets_a_token(n1, &pods);
    drop(servers);
    cluster.stop().unwrap();
}

fn assert_only_the_node_gets_a_token(node: &ClusterNode, pods: &[Pod]) {
    let attempt = imds_token(node.node.netns(), WAIT).unwrap();
    assert!(matches!(attempt, TokenAttempt::Token(_)), "{attempt:?}");
    for pod in pods {
        let attempt = imds_token(pod.netns().unwrap(), Duration::from_millis(500)).unwrap();
        assert_eq!(attempt, TokenAttempt::Silence, "{}", pod.name);
    }
}
