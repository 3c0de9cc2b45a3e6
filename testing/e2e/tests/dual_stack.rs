//! Pods with IPv6 addresses: beside IPv4, and alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::Ipv6Net;
use underlay_testkit::{
    Cluster, IngressRule, NodeSpec, Pod, PodSpec, Source, all_addresses_inside,
    probe::{Connection, TcpServer, Verdict, tcp_probe},
    read_flow_logs, wait_for,
};

/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

fn nodes(families: &str) -> [NodeSpec; 2] {
    let config = format!(
        "[addresses]\nfamilies = {families}\ncooldown = \"0s\"\n\
         [security_groups]\npoll_interval = \"1s\""
    );
    [("n1", 0), ("n2", 1)]
        .map(|(name, subnet)| NodeSpec::new(name, "m5.xlarge", subnet).with_agent_config(&config))
}

fn serve(pods: &[&Pod], port: u16) -> Vec<TcpServer> {
    let server = |pod: &&Pod| TcpServer::start(pod.netns().unwrap(), pod.ipv6().unwrap(), port);
    pods.iter().map(|pod| server(pod).unwrap()).collect()
}

/// Connects, and checks that the receiver sees the sender's own address.
async fn assert_reaches(from: &Pod, own: IpAddr, to: IpAddr) {
    let verdict = tcp_probe(from.netns().unwrap(), (to, 80).into(), PATIENCE).await;
    let seen = match &verdict {
        Verdict::Allowed(seen) => Some(seen.ip().to_canonical()),
        Verdict::Refused | Verdict::Broken(_) => None,
    };
    assert_eq!(seen, Some(own), "{} to {to}: {verdict}", from.name);
}

async fn assert_all_reach_each_other(pods: &[&Pod]) {
    for from in pods {
        for to in pods.iter().filter(|to| to.id != from.id) {
            for (own, other) in from.addresses.iter().zip(&to.addresses) {
                assert_reaches(from, *own, *other).await;
            }
        }
    }
}

async fn ipv6_prefixes(cluster: &Cluster, node: usize) -> Vec<Ipv6Net> {
    let instance = &cluster.nodes[node].instance;
    let enis = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    enis.into_iter().flat_map(|eni| eni.ipv6_prefixes).collect()
}

fn leases(cluster: &Cluster, node: usize) -> serde_json::Value {
    cluster.agent_status(node).unwrap()["leases"].clone()
}

/// Pods on the first node, in its default set and in a set of their own, and one on the second.
struct Scene {
    cluster: Cluster,
    near: Pod,
    far: Pod,
    guarded: [Pod; 2],
    _servers: Vec<TcpServer>,
}

impl Scene {
    /// Members of the set may call each other at 80.
    async fn set(name: &str) -> Self {
        let nodes = nodes(r#"["v4", "v6"]"#);
        let cluster = Cluster::start_with_ipv6(name, &nodes).await.unwrap();
        let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
        let format = "${pkt-srcaddr} ${pkt-dstaddr} ${dstport} ${flow-direction} ${action}";
        ec2.create_flow_log(vpc, format).await.unwrap();
        let group = ec2.create_group(vpc, "pods", true).await.unwrap();
        let rule = IngressRule {
            tcp_port: Some(80),
            source: Source::Group(&group),
        };
        ec2.allow(&group, rule).await.unwrap();
        let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
        let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
        let near = n1.run_pod(&PodSpec::named("near")).await.unwrap();
        let far = n2.run_pod(&PodSpec::named("far")).await.unwrap();
        let spec = |name: &str| PodSpec::named(name).with_groups([group.as_str()]);
        let guarded = [
            n1.run_pod(&spec("guarded-1")).await.unwrap(),
            n1.run_pod(&spec("guarded-2")).await.unwrap(),
        ];
        let everybody = [&near, &far, &guarded[0], &guarded[1]];
        let mut servers = serve(&everybody, 80);
        servers.extend(serve(&everybody, 81));
        Self {
            cluster,
            near,
            far,
            guarded,
            _servers: servers,
        }
    }

    fn logged(&self, from: &Pod, to: &Pod, action: &str) -> bool {
        let lines = read_flow_logs(self.cluster.vpc.flow_log_dir()).unwrap();
        let (from, to) = (from.ipv6().unwrap(), to.ipv6().unwrap());
        lines.iter().any(|line| {
            line.field("pkt-srcaddr") == from.to_string()
                && line.field("pkt-dstaddr") == to.to_string()
                && line.field("action") == action
        })
    }

    async fn assert_logged(&self, from: &Pod, to: &Pod, action: &str) {
        let what = format!(
            "{action} from {} to {} in the flow logs",
            from.name, to.name
        );
        wait_for(&what, Duration::from_secs(30), || {
            Ok(self.logged(from, to, action).then_some(()))
        })
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_both_families_reach_each_other_and_groups_refuse_both() {
    let scene = Scene::set("e2e-dual-stack").await;
    let Scene {
        cluster,
        near,
        far,
        guarded: [one, two],
        ..
    } = &scene;
    for pod in [near, far, one, two] {
        let [IpAddr::V4(_), IpAddr::V6(_)] = pod.addresses[..] else {
            panic!("{pod:?}");
        };
        let inside = all_addresses_inside(pod.netns().unwrap(), "eth0").unwrap();
        assert_eq!(inside, pod.addresses);
    }
    // EC2 knows the block and not one of its addresses; each ENI has one.
    let prefixes = ipv6_prefixes(cluster, 0).await;
    assert_eq!(prefixes.len(), 2, "{prefixes:?}");
    for pod in [near, one, two] {
        let own = pod.ipv6().unwrap();
        assert!(prefixes.iter().any(|prefix| prefix.contains(&own)));
    }

    assert_all_reach_each_other(&[near, far]).await;
    assert_all_reach_each_other(&[one, two]).await;
    // The node's own probes.
    let node = &cluster.nodes[0];
    for pod in [near, one] {
        let to = SocketAddr::from((pod.ipv6().unwrap(), 81));
        let verdict = tcp_probe(node.node.netns(), to, PATIENCE).await;
        let own = IpAddr::from(node.ipv6.unwrap());
        assert!(verdict.shows(own), "{verdict}");
    }

    // The VPC decides between sets, on one node too, and the node within one.
    for (from, to, port) in [
        (near, one, 80),
        (far, one, 80),
        (one, near, 80),
        (one, two, 81),
    ] {
        for to in &to.addresses {
            let to = SocketAddr::from((*to, port));
            let verdict = tcp_probe(from.netns().unwrap(), to, SILENCE).await;
            assert_eq!(verdict, Verdict::Refused, "{} to {to}", from.name);
        }
    }
    let _server = TcpServer::start(node.node.netns(), node.ipv6.unwrap(), 80).unwrap();
    let to_node = SocketAddr::from((node.ipv6.unwrap(), 80));
    let verdict = tcp_probe(one.netns().unwrap(), to_node, SILENCE).await;
    assert_eq!(verdict, Verdict::Refused, "a pod of a set to its node");

    scene.assert_logged(near, far, "ACCEPT").await;
    scene.assert_logged(near, one, "REJECT").await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_knows_the_addresses_of_both_families_while_traffic_continues() {
    let mut scene = Scene::set("e2e-dual-restart").await;
    let (near, far) = (scene.near.clone(), scene.far.clone());
    let to = SocketAddr::from((far.ipv6().unwrap(), 80));
    let mut open = Connection::open(near.netns().unwrap(), to, PATIENCE)
        .await
        .unwrap();
    let before = leases(&scene.cluster, 0);
    scene.cluster.nodes[0].node.kill_agent().unwrap();
    assert!(open.works(PATIENCE).await, "without an agent");
    scene.cluster.restart_agent(0).unwrap();
    assert!(open.works(PATIENCE).await, "with a new agent");
    assert_eq!(leases(&scene.cluster, 0), before);
    assert_all_reach_each_other(&[&near, &far]).await;

    let mut cri = scene.cluster.nodes[0].node.cri().await.unwrap();
    let late = cri.run_pod(&PodSpec::named("late")).await.unwrap();
    let taken = [&near, &scene.guarded[0], &scene.guarded[1]];
    let taken: Vec<_> = taken.iter().flat_map(|pod| &pod.addresses).collect();
    assert!(
        late.addresses
            .iter()
            .all(|address| !taken.contains(&address))
    );
    let _servers = serve(&[&late], 80);
    assert_all_reach_each_other(&[&near, &far, &late]).await;
    cri.remove_pod(&late.id).await.unwrap();
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_ipv6_alone_take_no_ipv4_address_of_the_subnet() {
    // Without the address inside the node, so that each pod has exactly one.
    let nodes = nodes(r#"["v6"]"#).map(|node| {
        let config = format!("{}\n[snat]\nv4_egress = false", node.agent_config);
        node.with_agent_config(&config)
    });
    let cluster = Cluster::start_with_ipv6("e2e-ipv6", &nodes).await.unwrap();
    let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
    let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for number in 0..4 {
        let pod = PodSpec::named(format!("p{number}"));
        pods.push(n1.run_pod(&pod).await.unwrap());
    }
    pods.push(n2.run_pod(&PodSpec::named("far")).await.unwrap());
    for pod in &pods {
        assert!(matches!(pod.addresses[..], [IpAddr::V6(_)]), "{pod:?}");
        let inside = all_addresses_inside(pod.netns().unwrap(), "eth0").unwrap();
        assert_eq!(inside, pod.addresses);
    }
    let pods: Vec<&Pod> = pods.iter().collect();
    let _servers = serve(&pods, 80);
    assert_all_reach_each_other(&pods).await;
    let enis = cluster
        .vpc
        .ec2()
        .interfaces_of(&cluster.nodes[0].instance)
        .await
        .unwrap();
    assert_eq!(enis.len(), 1);
    assert!(
        enis[0].secondaries.is_empty() && enis[0].prefixes.is_empty(),
        "{enis:?}"
    );
    cluster.stop().unwrap();
}
