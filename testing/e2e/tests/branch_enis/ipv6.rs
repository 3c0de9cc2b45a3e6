//! Branch ENIs with IPv6, beside IPv4 and alone.

use std::net::{IpAddr, SocketAddr};

use underlay_testkit::{
    Cluster, IngressRule, Netns, NodeSpec, Pod, PodSpec, Source,
    probe::{TcpServer, Verdict, tcp_probe},
};
use underlay_types::SecurityGroupId;

use super::{PATIENCE, SILENCE, annotated, attach_trunk};

/// The greatest tag there is.
const LAST_VLAN: u16 = 4094;

/// What a controller does: a branch of the node's own subnet on the trunk. Answers the pod's
/// annotation.
async fn branch(cluster: &Cluster, trunk: &str, group: &SecurityGroupId, vlan: u16) -> String {
    let ec2 = cluster.vpc.ec2();
    let subnet = cluster.networks.subnets[0].as_str();
    let wanted = [
        ("SubnetId", subnet),
        ("SecurityGroupId.1", group.as_str()),
        ("Ipv6AddressCount", "1"),
    ];
    let eni = ec2.call("CreateNetworkInterface", &wanted).await.unwrap();
    let of_eni = |field| eni.text_at(field).unwrap();
    let associate = [
        ("BranchInterfaceId", of_eni("networkInterfaceId")),
        ("TrunkInterfaceId", trunk.to_owned()),
        ("VlanId", vlan.to_string()),
    ];
    let associate = associate
        .each_ref()
        .map(|(key, value)| (*key, value.as_str()));
    let made = ec2.call("AssociateTrunkInterface", &associate).await;
    made.unwrap();
    let described = ec2.call("DescribeSubnets", &[("SubnetId.1", subnet)]).await;
    let described = described.unwrap();
    let of_subnet = |field| described.text_at(field).unwrap();
    serde_json::json!([{
        "eniId": of_eni("networkInterfaceId"),
        "ifAddress": of_eni("macAddress"),
        "privateIp": of_eni("privateIpAddress"),
        "ipv6Addr": of_eni("ipv6Address"),
        "vlanId": vlan,
        "subnetCidr": of_subnet("cidrBlock"),
        "subnetV6Cidr": of_subnet("ipv6CidrBlock"),
    }])
    .to_string()
}

/// As the scene of IPv4. What serves IPv6 serves IPv4 too.
struct Scene {
    cluster: Cluster,
    a: Pod,
    b: Pod,
    plain: Pod,
    far: Pod,
    _servers: Vec<TcpServer>,
}

impl Scene {
    async fn set(name: &str, mode: &str, families: &str) -> Self {
        let mut families = format!("[addresses]\nfamilies = {families}");
        if !families.contains("v4") {
            // Without the address inside the node, so that each pod has exactly one.
            families += "\n[snat]\nv4_egress = false";
        }
        let branches = format!("{families}\n[branch_enis]\nenabled = true\nmode = \"{mode}\"");
        let nodes = [
            NodeSpec::new("n1", "m5.xlarge", 0).with_agent_config(&branches),
            NodeSpec::new("n2", "m5.xlarge", 1).with_agent_config(&families),
        ];
        let cluster = Cluster::start_with_ipv6(name, &nodes).await.unwrap();
        let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
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
        let trunk = attach_trunk(&cluster, 0).await;
        let on_a = branch(&cluster, &trunk, &a, 1).await;
        let on_b = branch(&cluster, &trunk, &b, LAST_VLAN).await;
        let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
        let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
        let a = n1.run_pod(&annotated("a", &on_a)).await.unwrap();
        let b = n1.run_pod(&annotated("b", &on_b)).await.unwrap();
        let plain = n1.run_pod(&PodSpec::named("plain")).await.unwrap();
        let far = n2.run_pod(&PodSpec::named("far")).await.unwrap();
        let mut servers = Vec::new();
        for pod in [&a, &b, &plain, &far] {
            for port in [80, 81, 82] {
                let v6 = pod.ipv6().unwrap();
                servers.push(TcpServer::start(pod.netns().unwrap(), v6, port).unwrap());
            }
        }
        let this = &cluster.nodes[0];
        let address = this.ipv6.unwrap();
        servers.push(TcpServer::start(this.node.netns(), address, 80).unwrap());
        Self {
            cluster,
            a,
            b,
            plain,
            far,
            _servers: servers,
        }
    }

    fn node(&self) -> IpAddr {
        self.cluster.nodes[0].ipv6.unwrap().into()
    }
}

async fn reaches(from: &Netns, own: IpAddr, to: (IpAddr, u16), what: &str) {
    let verdict = tcp_probe(from, SocketAddr::from(to), PATIENCE).await;
    assert!(
        matches!(verdict, Verdict::Allowed(seen) if seen.ip().to_canonical() == own),
        "{what}: {verdict}"
    );
}

/// Of each family that both have.
async fn meets(from: &Pod, to: &Pod, port: u16) {
    for (own, other) in from.addresses.iter().zip(&to.addresses) {
        let what = format!("{} to {} at {other}, {port}", from.name, to.name);
        reaches(from.netns().unwrap(), *own, (*other, port), &what).await;
    }
}

async fn is_refused(from: &Pod, to: IpAddr, port: u16, what: &str) {
    let verdict = tcp_probe(from.netns().unwrap(), (to, port).into(), SILENCE).await;
    assert_eq!(verdict, Verdict::Refused, "{what}");
}

async fn misses(from: &Pod, to: &Pod, port: u16) {
    for other in &to.addresses {
        let what = format!("{} to {} at {other}, {port}", from.name, to.name);
        is_refused(from, *other, port, &what).await;
    }
}

/// The groups of strict branches decide between all, and the node's probes come through.
async fn assert_strict(scene: &Scene) {
    let Scene {
        a, b, plain, far, ..
    } = scene;
    meets(a, b, 80).await;
    meets(a, plain, 80).await;
    meets(a, far, 80).await;
    meets(far, b, 82).await;
    meets(plain, b, 82).await;
    misses(a, b, 81).await;
    misses(b, a, 80).await;
    misses(plain, b, 81).await;
    misses(far, a, 80).await;
    let (node, v6) = (scene.cluster.nodes[0].node.netns(), b.ipv6().unwrap());
    reaches(node, scene.node(), (v6.into(), 81), "the node to its pod").await;
    is_refused(a, scene.node(), 80, "a to its own node").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_branches_have_both_families() {
    let mut scene = Scene::set("e2e-branch6", "strict", r#"["v4", "v6"]"#).await;
    for pod in [&scene.a, &scene.b] {
        assert!(matches!(pod.addresses[..], [IpAddr::V4(_), IpAddr::V6(_)]));
    }
    assert_strict(&scene).await;
    // The next agent asks for the routers again.
    scene.cluster.nodes[0].node.kill_agent().unwrap();
    meets(&scene.a, &scene.far, 80).await;
    scene.cluster.restart_agent(0).unwrap();
    meets(&scene.a, &scene.b, 80).await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_branches_have_ipv6_alone() {
    let scene = Scene::set("e2e-branch6-alone", "strict", r#"["v6"]"#).await;
    for pod in [&scene.a, &scene.b] {
        assert!(matches!(pod.addresses[..], [IpAddr::V6(_)]), "{pod:?}");
    }
    assert_strict(&scene).await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_branches_meet_pods_of_their_node_over_ipv6() {
    let scene = Scene::set("e2e-branch6-std", "standard", r#"["v6"]"#).await;
    let Scene {
        a, b, plain, far, ..
    } = &scene;
    meets(b, a, 81).await;
    meets(plain, a, 81).await;
    meets(a, plain, 81).await;
    meets(a, far, 80).await;
    meets(far, b, 82).await;
    misses(a, far, 81).await;
    misses(far, b, 81).await;
    scene.cluster.stop().unwrap();
}
