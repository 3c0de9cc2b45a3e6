//! hostPort through the standard portmap plugin, whichever ENI the pod's address is on; and the
//! metadata service, which stays the node's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use underlay_testkit::{
    Cluster, Netns, NodeSpec, Pod, PodSpec, PortMapping, TokenAttempt, imds_token,
    probe::{TcpServer, Verdict, tcp_probe},
};

/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// One pod for each: more than an ENI of the type holds.
const HOST_PORTS: RangeInclusive<u16> = 8001..=8005;

/// Two nodes; the first has a pod with a server behind each host port, on both of its ENIs.
struct Scene {
    cluster: Cluster,
    pods: Vec<Pod>,
    servers: Vec<TcpServer>,
}

impl Scene {
    async fn set(name: &str) -> Self {
        let nodes = [("n1", 0), ("n2", 1)];
        // The hop limit alone is to keep pods from metadata here.
        let nodes = nodes.map(|(name, subnet)| {
            let spec = NodeSpec::new(name, "t3.small", subnet);
            spec.with_agent_config("[pods]\nmetadata = \"allow\"\n")
        });
        let cluster = Cluster::start(name, &nodes).await.unwrap();
        let mut scene = Self {
            cluster,
            pods: Vec::new(),
            servers: Vec::new(),
        };
        for port in HOST_PORTS {
            let mapping = PortMapping {
                host: port,
                container: 80,
            };
            let spec = PodSpec {
                port_mappings: vec![mapping],
                ..PodSpec::named(format!("p{port}"))
            };
            scene.run(0, &spec).await;
        }
        scene.assert_pods_are_on_both_enis().await;
        scene
    }

    async fn run(&mut self, node: usize, spec: &PodSpec) -> Pod {
        let mut cri = self.cluster.nodes[node].node.cri().await.unwrap();
        let pod = cri.run_pod(spec).await.unwrap();
        self.servers
            .push(TcpServer::start(pod.netns().unwrap(), pod.address, 80).unwrap());
        self.pods.push(pod.clone());
        pod
    }

    async fn assert_pods_are_on_both_enis(&self) {
        let instance = &self.cluster.nodes[0].instance;
        let interfaces = self
            .cluster
            .vpc
            .ec2()
            .interfaces_of(instance)
            .await
            .unwrap();
        for index in [0, 1] {
            let eni = interfaces
                .iter()
                .find(|one| one.device_index == Some(index))
                .unwrap();
            let held = self
                .pods
                .iter()
                .any(|pod| eni.secondaries.contains(&pod.address));
            assert!(held, "no pod on ENI {index}: {interfaces:?}");
        }
    }

    fn node(&self, node: usize) -> (&Netns, Ipv4Addr) {
        let node = &self.cluster.nodes[node];
        (node.node.netns(), node.address)
    }

    /// Calls every host port of the first node; the pods must see `seen_as`, where it is given.
    async fn assert_all_answer(&self, who: &str, from: &Netns, seen_as: Option<Ipv4Addr>) {
        for port in HOST_PORTS {
            let target = (self.node(0).1, port).into();
            let verdict = tcp_probe(from, target, PATIENCE).await;
            let Verdict::Allowed(seen) = verdict else {
                unreachable!("from {who} to {target}: {verdict}");
            };
            let wanted = seen_as.map_or_else(|| seen.ip(), IpAddr::from);
            assert_eq!(seen.ip(), wanted, "from {who} to {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_ports_answer_from_everywhere_whichever_eni_the_pod_is_on() {
    let mut scene = Scene::set("e2e-hostport").await;
    let far = scene.run(1, &PodSpec::named("far")).await;
    let near = scene.run(0, &PodSpec::named("near")).await;
    let (other, other_address) = scene.node(1);
    scene
        .assert_all_answer("another node", other, Some(other_address))
        .await;
    scene
        .assert_all_answer("its pod", far.netns().unwrap(), Some(far.address))
        .await;
    scene
        .assert_all_answer("the node itself", scene.node(0).0, None)
        .await;
    scene
        .assert_all_answer("a pod beside", near.netns().unwrap(), None)
        .await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_gets_a_metadata_token_and_its_pods_get_none_on_any_eni() {
    let scene = Scene::set("e2e-metadata").await;
    let attempt = imds_token(scene.node(0).0, PATIENCE).unwrap();
    assert!(matches!(attempt, TokenAttempt::Token(_)), "{attempt:?}");
    for pod in &scene.pods {
        let attempt = imds_token(pod.netns().unwrap(), Duration::from_millis(500)).unwrap();
        assert_eq!(attempt, TokenAttempt::Silence, "{}", pod.name);
    }
    scene.cluster.stop().unwrap();
}
