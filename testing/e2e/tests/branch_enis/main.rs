//! Pods on branch ENIs: their own groups decide over everything they send, between two of them on one
//! node too, and the node needs no VLAN device for it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ipv6;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use underlay_testkit::{
    Cluster, IngressRule, Netns, NodeSpec, Pod, PodSpec, Source,
    probe::{Connection, TcpServer, Verdict, tcp_probe},
    read_flow_logs, wait_for,
};
use underlay_types::{SecurityGroupId, SubnetId};

const ANNOTATION: &str = "vpc.amazonaws.com/pod-eni";
/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a Service.
const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// What a controller does: the trunk at instance `node`.
async fn attach_trunk(cluster: &Cluster, node: usize) -> String {
    let ec2 = cluster.vpc.ec2();
    let subnet = cluster.networks.subnets[node].as_str();
    let wanted = [("SubnetId", subnet), ("InterfaceType", "trunk")];
    let answer = ec2.call("CreateNetworkInterface", &wanted).await.unwrap();
    let trunk = answer.text_at("networkInterfaceId").unwrap();
    let attach = [
        ("NetworkInterfaceId", trunk.as_str()),
        ("InstanceId", cluster.nodes[node].instance.as_str()),
        ("DeviceIndex", "3"),
    ];
    ec2.call("AttachNetworkInterface", &attach).await.unwrap();
    trunk
}

/// The same: a branch with `group` on the trunk. Answers the pod's annotation.
async fn branch(
    cluster: &Cluster,
    trunk: &str,
    (subnet, block): (&SubnetId, &str),
    group: &SecurityGroupId,
    vlan: u16,
) -> String {
    let ec2 = cluster.vpc.ec2();
    let wanted = [
        ("SubnetId", subnet.as_str()),
        ("SecurityGroupId.1", group.as_str()),
    ];
    let answer = ec2.call("CreateNetworkInterface", &wanted).await.unwrap();
    let [eni, mac, address] = ["networkInterfaceId", "macAddress", "privateIpAddress"]
        .map(|field| answer.text_at(field).unwrap());
    let associate = [
        ("BranchInterfaceId", eni.as_str()),
        ("TrunkInterfaceId", trunk),
        ("VlanId", &vlan.to_string()),
    ];
    ec2.call("AssociateTrunkInterface", &associate)
        .await
        .unwrap();
    serde_json::json!([{
        "eniId": eni,
        "ifAddress": mac,
        "privateIp": address,
        "ipv6Addr": "",
        "vlanId": vlan,
        "subnetCidr": block,
        "subnetV6Cidr": "",
    }])
    .to_string()
}

fn annotated(name: &str, annotation: &str) -> PodSpec {
    let mut spec = PodSpec::named(name);
    let annotation = (ANNOTATION.to_owned(), annotation.to_owned());
    spec.annotations.push(annotation);
    spec
}

/// Pods `a` and `b` on branches of node 1, `plain` beside them and `far` on node 2. `b` takes port 80
/// of `a` and port 82 of nodes and their pods; these take port 80 of `a`.
struct Scene {
    cluster: Cluster,
    a: Pod,
    b: Pod,
    plain: Pod,
    far: Pod,
    annotations: [String; 2],
    _servers: Vec<TcpServer>,
}

impl Scene {
    async fn set(name: &str, mode: &str) -> Self {
        let branches = format!("[branch_enis]\nenabled = true\nmode = \"{mode}\"");
        let nodes = [
            NodeSpec::new("n1", "m5.xlarge", 0).with_agent_config(&branches),
            NodeSpec::new("n2", "m5.xlarge", 1),
        ];
        let cluster = Cluster::start(name, &nodes).await.unwrap();
        let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
        let format = "${interface-id} ${pkt-srcaddr} ${pkt-dstaddr} ${dstport} ${action}";
        ec2.create_flow_log(vpc, format).await.unwrap();
        let a = ec2.create_group(vpc, "a", false).await.unwrap();
        let b = ec2.create_group(vpc, "b", false).await.unwrap();
        let node = &cluster.networks.node_group;
        for (to, port, from) in [(&b, 80, &a), (&b, 82, node), (node, 80, &a)] {
            let rule = IngressRule {
                tcp_port: Some(port),
                source: Source::Group(from),
            };
            ec2.allow(to, rule).await.unwrap();
        }
        // Of another subnet than the trunk: the branch's router is another one.
        let block = "10.0.3.0/24";
        let subnet = ec2.create_subnet(vpc, block.parse().unwrap(), "us-east-1a");
        let subnet = subnet.await.unwrap();
        let trunk = attach_trunk(&cluster, 0).await;
        let annotations = [
            branch(&cluster, &trunk, (&subnet, block), &a, 1).await,
            branch(&cluster, &trunk, (&subnet, block), &b, 2).await,
        ];
        let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
        let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
        let a = n1.run_pod(&annotated("a", &annotations[0])).await.unwrap();
        let b = n1.run_pod(&annotated("b", &annotations[1])).await.unwrap();
        let plain = n1.run_pod(&PodSpec::named("plain")).await.unwrap();
        let far = n2.run_pod(&PodSpec::named("far")).await.unwrap();
        let mut servers = Vec::new();
        for pod in [&a, &b, &plain, &far] {
            for port in [80, 81, 82] {
                servers.push(TcpServer::start(pod.netns().unwrap(), pod.address, port).unwrap());
            }
        }
        let this = &cluster.nodes[0];
        servers.push(TcpServer::start(this.node.netns(), this.address, 80).unwrap());
        Self {
            cluster,
            a,
            b,
            plain,
            far,
            annotations,
            _servers: servers,
        }
    }

    fn logged(&self) -> Vec<[String; 5]> {
        let fields = [
            "interface-id",
            "pkt-srcaddr",
            "pkt-dstaddr",
            "dstport",
            "action",
        ];
        let lines = read_flow_logs(self.cluster.vpc.flow_log_dir()).unwrap();
        lines
            .iter()
            .map(|line| fields.map(|field| line.field(field).to_owned()))
            .collect()
    }

    /// What the node's kernel has of branches.
    fn traces(&self) -> Vec<String> {
        let node = &self.cluster.nodes[0].node;
        let mut traces = Vec::new();
        for (arguments, wanted) in [
            (&["rule", "show"][..], "0x7ffc0000"),
            (&["route", "show", "table", "all"], "table 80001"),
            (&["route", "show", "table", "all"], "table 80002"),
            (&["route", "show"], "10.0.3."),
        ] {
            let text = node.output("ip", arguments).unwrap();
            // Marks of branches have the upper bit; marks of ENIs do not.
            let ours = text.lines().filter(|line| line.contains(wanted));
            // Steps to the rules are the node's.
            let ours = ours.filter(|line| !line.contains(" goto "));
            let ours =
                ours.filter(|line| !line.contains("fwmark 0x") || line.contains("fwmark 0x4"));
            traces.extend(ours.map(str::to_owned));
        }
        traces
    }
}

async fn reaches(from: &Netns, source: Ipv4Addr, to: impl Into<SocketAddr>, what: &str) {
    let verdict = tcp_probe(from, to.into(), PATIENCE).await;
    assert!(verdict.shows(source), "{what}: {verdict}");
}

async fn pod_reaches(from: &Pod, to: (Ipv4Addr, u16), what: &str) {
    reaches(from.netns().unwrap(), from.address, to, what).await;
}

async fn is_refused(from: &Pod, to: (Ipv4Addr, u16), what: &str) {
    let verdict = tcp_probe(from.netns().unwrap(), to.into(), SILENCE).await;
    assert!(matches!(verdict, Verdict::Refused), "{what}: {verdict}");
}

/// The ENI that an annotation gives.
fn eni_of(annotation: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(annotation).unwrap();
    parsed[0]["eniId"].as_str().unwrap().to_owned()
}

/// The flow log tells of both branches, and of nothing that the node sent to its own pod.
fn assert_logged(scene: &Scene) {
    let Scene { a, b, plain, .. } = scene;
    let node = scene.cluster.nodes[0].address;
    let [eni_a, eni_b] = scene.annotations.each_ref().map(|text| eni_of(text));
    let line = |eni: &str, from: &Pod, to: &Pod, port: u16, action: &str| {
        let [from, to] = [from, to].map(|pod| pod.address.to_string());
        [
            eni.to_owned(),
            from,
            to,
            port.to_string(),
            action.to_owned(),
        ]
    };
    let wanted = [
        line(&eni_a, a, b, 80, "ACCEPT"),
        line(&eni_b, a, b, 80, "ACCEPT"),
        line(&eni_b, a, b, 81, "REJECT"),
        line(&eni_b, plain, b, 81, "REJECT"),
        line(&eni_a, b, a, 80, "REJECT"),
    ];
    wait_for(
        "the flow log to tell of it",
        Duration::from_secs(20),
        || {
            let logged = scene.logged();
            Ok(wanted
                .iter()
                .all(|line| logged.contains(line))
                .then_some(()))
        },
    )
    .unwrap();
    // What the node sends to its own pod never crosses the VPC.
    let of_node = scene.logged().into_iter();
    let of_node: Vec<_> = of_node.filter(|line| line[1] == node.to_string()).collect();
    assert!(
        of_node.iter().all(|line| line[2] != b.address.to_string()),
        "{of_node:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_strict_branches_decide_also_on_one_node() {
    let scene = Scene::set("e2e-branch", "strict").await;
    let Scene {
        a,
        b,
        plain,
        far,
        cluster,
        ..
    } = &scene;
    let this = &cluster.nodes[0];
    pod_reaches(a, (b.address, 80), "a to b, one node").await;
    pod_reaches(a, (plain.address, 80), "a to the default set, one node").await;
    pod_reaches(a, (far.address, 80), "a to another node").await;
    pod_reaches(far, (b.address, 82), "another node to b").await;
    pod_reaches(plain, (b.address, 82), "the default set to b, one node").await;
    is_refused(a, (b.address, 81), "a to another port of b").await;
    is_refused(b, (a.address, 80), "b to a").await;
    is_refused(plain, (b.address, 81), "the default set, one node").await;
    is_refused(far, (a.address, 80), "another node to a").await;
    // The node's probes are its own; what a pod opens to its node, the VPC cannot see.
    let node = this.node.netns();
    reaches(node, this.address, (b.address, 81), "the node to its pod").await;
    is_refused(a, (this.address, 80), "a to its own node").await;

    assert_logged(&scene);
    let pods = this
        .node
        .ask_agent(cluster.vpc.binaries(), &["pods"])
        .unwrap();
    let of_b = pods
        .lines()
        .find(|line| line.contains(&b.address.to_string()))
        .unwrap();
    assert!(
        of_b.contains(&eni_of(&scene.annotations[1])) && of_b.contains("branch, VLAN 2, strict"),
        "{pods}"
    );
    scene.cluster.stop().unwrap();
}

/// As kube-proxy does it, with nftables.
fn serve_cluster_ip(node: &underlay_testkit::Node, backend: Ipv4Addr) {
    let rules = format!(
        "add table ip kube-proxy; \
         add chain ip kube-proxy pre {{ type nat hook prerouting priority dstnat; }}; \
         add rule ip kube-proxy pre ip daddr {CLUSTER_IP} tcp dport 80 dnat to {backend}:80"
    );
    node.output("nft", &[&rules]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn services_lead_branches_to_branches_of_the_same_node_and_elsewhere() {
    let scene = Scene::set("e2e-branch-svc", "strict").await;
    let Scene {
        a, b, far, cluster, ..
    } = &scene;
    let node = &cluster.nodes[0].node;
    for backend in [b, far] {
        serve_cluster_ip(node, backend.address);
        for _ in 0..5 {
            pod_reaches(a, (CLUSTER_IP, 80), &backend.name).await;
        }
        node.output("nft", &["delete", "table", "ip", "kube-proxy"])
            .unwrap();
    }
    serve_cluster_ip(node, a.address);
    is_refused(b, (CLUSTER_IP, 80), "b to a by a Service").await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_branch_meets_pods_of_its_node_directly() {
    let scene = Scene::set("e2e-branch-std", "standard").await;
    let Scene {
        a, b, plain, far, ..
    } = &scene;
    pod_reaches(b, (a.address, 81), "b to a, one node").await;
    pod_reaches(plain, (a.address, 81), "the default set to a, one node").await;
    pod_reaches(a, (plain.address, 81), "a to the default set, one node").await;
    pod_reaches(a, (far.address, 80), "a to another node").await;
    pod_reaches(far, (b.address, 82), "another node to b").await;
    is_refused(a, (far.address, 81), "a to another port elsewhere").await;
    is_refused(far, (b.address, 81), "another node to another port of b").await;
    scene.cluster.stop().unwrap();
}

/// A stream of datagrams, each of which is answered.
struct Stream {
    stop: Arc<AtomicBool>,
    /// How many were sent and answered.
    counts: JoinHandle<(u64, u64)>,
}

impl Stream {
    fn start(from: &Pod, to: &Pod, port: u16) -> Self {
        let server = (to.address, port);
        let bind = |netns: &Netns, address| netns.run(|| Ok(UdpSocket::bind(address)?)).unwrap();
        let socket = bind(to.netns().unwrap(), server);
        let echo = move || {
            let mut bytes = [0; 8];
            while let Ok((_, peer)) = socket.recv_from(&mut bytes) {
                if bytes == [0; 8] || socket.send_to(&bytes, peer).is_err() {
                    break;
                }
            }
        };
        std::thread::spawn(echo);
        let client = bind(from.netns().unwrap(), (from.address, 0));
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect(server).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let counts = std::thread::spawn(move || {
            let (mut sent, mut answered) = (0_u64, 0);
            while !told.load(Ordering::SeqCst) {
                sent += 1;
                client.send(&sent.to_be_bytes()).unwrap();
                let mut bytes = [0; 8];
                if client.recv(&mut bytes).is_ok() && u64::from_be_bytes(bytes) == sent {
                    answered += 1;
                }
            }
            client.send(&[0; 8]).unwrap();
            (sent, answered)
        });
        Self { stop, counts }
    }

    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        self.counts.join().unwrap()
    }
}

fn assert_uninstall_leaves_nothing(scene: &Scene) {
    let this = &scene.cluster.nodes[0];
    let filters = || {
        let text = this
            .node
            .output("tc", &["filter", "show", "dev", "eth3", "ingress"]);
        let other = this
            .node
            .output("tc", &["filter", "show", "dev", "eth3", "egress"]);
        text.unwrap() + &other.unwrap()
    };
    assert!(filters().contains("underlay-to_trunk"), "{}", filters());
    let program = scene
        .cluster
        .vpc
        .binaries()
        .program("underlay-agent")
        .unwrap();
    let uninstalled = this
        .node
        .command(&program)
        .arg("--config")
        .arg(this.node.folder().join("agent.toml"))
        .arg("uninstall")
        .env("AWS_ENDPOINT_URL_EC2", &this.agent.ec2_endpoint)
        .output()
        .unwrap();
    assert!(uninstalled.status.success(), "{uninstalled:?}");
    assert_eq!(filters(), "");
    assert_eq!(scene.traces(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_outlive_their_agent_and_leave_nothing() {
    let mut scene = Scene::set("e2e-branch-life", "strict").await;
    let node_group = scene.cluster.networks.node_group.clone();
    let ec2 = scene.cluster.vpc.ec2();
    let everything = IngressRule {
        tcp_port: None,
        source: Source::Block("10.0.3.0/24".parse().unwrap()),
    };
    ec2.allow(&node_group, everything).await.unwrap();
    let (a, far) = (scene.a.clone(), scene.far.clone());
    let target = (far.address, 80).into();
    let mut open = Connection::open(a.netns().unwrap(), target, PATIENCE)
        .await
        .unwrap();
    let stream = Stream::start(&a, &far, 7000);
    for _ in 0..2 {
        scene.cluster.nodes[0].node.kill_agent().unwrap();
        assert!(open.works(PATIENCE).await);
        scene.cluster.restart_agent(0).unwrap();
        assert!(open.works(PATIENCE).await);
    }
    let (sent, answered) = stream.end();
    assert!(
        sent > 100 && sent == answered,
        "{answered} of {sent} answered"
    );
    pod_reaches(&a, (scene.b.address, 80), "a to b with the new agent").await;

    let mut cri = scene.cluster.nodes[0].node.cri().await.unwrap();
    // What another pod has is not given to a second one.
    let twice = cri
        .run_pod(&annotated("twice", &scene.annotations[0]))
        .await;
    let twice = format!("{:#}", twice.unwrap_err());
    assert!(twice.contains("is still "), "{twice}");
    assert!(!scene.traces().is_empty());
    for pod in [&scene.a, &scene.b] {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    assert_eq!(scene.traces(), Vec::<String>::new());
    let status = scene.cluster.agent_status(0).unwrap();
    assert_eq!(status["leases"].as_array().unwrap().len(), 1, "{status}");
    // The branch is free for the next pod at once: its address is nobody's to cool down.
    let again = cri
        .run_pod(&annotated("again", &scene.annotations[0]))
        .await
        .unwrap();
    assert_eq!(again.address, a.address);
    pod_reaches(&again, (far.address, 80), "the next pod of the branch").await;

    assert_uninstall_leaves_nothing(&scene);
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_annotation_promises_is_kept_or_the_pod_fails() {
    let on = "[branch_enis]\nenabled = true";
    let nodes = [
        NodeSpec::new("n1", "m5.xlarge", 0).with_agent_config(on),
        NodeSpec::new("n2", "m5.xlarge", 1),
    ];
    let cluster = Cluster::start("e2e-branch-bad", &nodes).await.unwrap();
    let primary = cluster.vpc.ec2().interfaces_of(&cluster.nodes[0].instance);
    let primary = primary.await.unwrap().remove(0);
    let good = |eni: &str, mac: &str, vlan: &str| {
        format!(
            r#"[{{"eniId":"{eni}","ifAddress":"{mac}","privateIp":"10.0.1.77","vlanID":{vlan},"subnetCidr":"10.0.1.0/24"}}]"#
        )
    };
    let (eni, mac) = ("eni-0000000000000000f", "0a:00:00:00:00:01");
    let own = primary.id.to_string();
    for (node, annotation, wanted) in [
        (
            0,
            good(eni, mac, "0"),
            "vlanID: must be a VLAN from 1 to 4094",
        ),
        (0, "[]".to_owned(), "must be a JSON list of one object"),
        (
            0,
            good(eni, mac, "5"),
            "no trunk ENI is attached to this node",
        ),
        (
            1,
            good(eni, mac, "5"),
            "this node gives pods no branch ENIs",
        ),
    ] {
        let mut cri = cluster.nodes[node].node.cri().await.unwrap();
        let refused = cri
            .run_pod(&annotated("bad", &annotation))
            .await
            .unwrap_err();
        let refused = format!("{refused:#}");
        assert!(refused.contains(wanted), "{annotation}: {refused}");
    }
    attach_trunk(&cluster, 0).await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    for (eni, mac, field) in [
        (own.as_str(), mac, "eniId"),
        (eni, primary.mac.as_str(), "ifAddress"),
    ] {
        let spec = annotated("own", &good(eni, mac, "5"));
        let refused = format!("{:#}", cri.run_pod(&spec).await.unwrap_err());
        let wanted = format!("{field} {}", if field == "eniId" { eni } else { mac });
        assert!(refused.contains(&wanted), "{refused}");
    }
    let status = cluster.agent_status(0).unwrap();
    assert_eq!(status["leases"], serde_json::json!([]));
    cluster.stop().unwrap();
}
