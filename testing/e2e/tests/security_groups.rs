//! Security groups on pods: enforced by the VPC, between pods of one node too, and by the node
//! between pods of one set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use underlay_testkit::{
    Cluster, IngressRule, Netns, NodeSpec, Pod, PodSpec, Source,
    probe::{Connection, TcpServer, Verdict, tcp_probe},
    read_flow_logs, wait_for, wait_for_async,
};
use underlay_types::SecurityGroupId;

/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pods of two sets on two nodes, and one of the default set. Members of `a` may call each other
/// at 81 and members of `b` at 80; nothing else is allowed.
struct Scene {
    cluster: Cluster,
    b: SecurityGroupId,
    a1: Pod,
    a2: Pod,
    a3: Pod,
    b1: Pod,
    plain: Pod,
    /// Everybody serves 80 and 81.
    _servers: Vec<TcpServer>,
}

impl Scene {
    async fn set(name: &str) -> Self {
        let poll = "[security_groups]\npoll_interval = \"1s\"";
        let nodes = [("n1", 0), ("n2", 1)]
            .map(|(name, subnet)| NodeSpec::new(name, "m5.xlarge", subnet).with_agent_config(poll));
        let cluster = Cluster::start(name, &nodes).await.unwrap();
        let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
        let format = "${pkt-srcaddr} ${pkt-dstaddr} ${dstport} ${flow-direction} ${action}";
        ec2.create_flow_log(vpc, format).await.unwrap();
        let a = ec2.create_group(vpc, "a", true).await.unwrap();
        let b = ec2.create_group(vpc, "b", true).await.unwrap();
        for (group, port) in [(&a, 81), (&b, 80)] {
            let rule = IngressRule {
                tcp_port: Some(port),
                source: Source::Group(&a),
            };
            ec2.allow(group, rule).await.unwrap();
        }
        let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
        let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
        let spec = |name: &str, group: &SecurityGroupId| {
            PodSpec::named(name).with_groups([group.as_str()])
        };
        let a1 = n1.run_pod(&spec("a1", &a)).await.unwrap();
        let a2 = n1.run_pod(&spec("a2", &a)).await.unwrap();
        let a3 = n2.run_pod(&spec("a3", &a)).await.unwrap();
        let b1 = n1.run_pod(&spec("b1", &b)).await.unwrap();
        let plain = n1.run_pod(&PodSpec::named("plain")).await.unwrap();
        let mut servers = Vec::new();
        for pod in [&a1, &a2, &a3, &b1, &plain] {
            for port in [80, 81] {
                servers.push(TcpServer::start(pod.netns().unwrap(), pod.address, port).unwrap());
            }
        }
        for node in &cluster.nodes {
            servers.push(TcpServer::start(node.node.netns(), node.address, 80).unwrap());
        }
        Self {
            cluster,
            b,
            a1,
            a2,
            a3,
            b1,
            plain,
            _servers: servers,
        }
    }

    fn node(&self, index: usize) -> (&Netns, SocketAddr) {
        let node = &self.cluster.nodes[index];
        (node.node.netns(), (node.address, 80).into())
    }
}

async fn call(from: &Pod, to: impl Into<SocketAddr>) -> Verdict {
    tcp_probe(from.netns().unwrap(), to.into(), SILENCE).await
}

async fn assert_reaches(from: &Pod, to: impl Into<SocketAddr>, what: &str) {
    let verdict = tcp_probe(from.netns().unwrap(), to.into(), PATIENCE).await;
    assert!(verdict.shows(from.address), "{what}: {verdict}");
}

/// A call, and who decides on it.
struct Call<'a> {
    what: &'a str,
    from: &'a Pod,
    to: &'a Pod,
    port: u16,
    by: Decider,
}

#[derive(PartialEq)]
enum Decider {
    Node,
    Vpc,
}

/// Source, destination and port of a packet, and what became of it.
type Logged = (String, String, String, String);

impl<'a> From<(&'a str, &'a Pod, &'a Pod, u16, Decider)> for Call<'a> {
    fn from(call: (&'a str, &'a Pod, &'a Pod, u16, Decider)) -> Self {
        let (what, from, to, port, by) = call;
        Self {
            what,
            from,
            to,
            port,
            by,
        }
    }
}

impl Call<'_> {
    fn logged_as(&self, action: &str) -> Logged {
        let (from, to) = (self.from.address.to_string(), self.to.address.to_string());
        (from, to, self.port.to_string(), action.to_owned())
    }
}

impl Scene {
    fn allowed(&self) -> Vec<Call<'_>> {
        let Self { a1, a2, a3, b1, .. } = self;
        let calls = [
            ("two sets, one node", a1, b1, 80, Decider::Vpc),
            ("two sets, two nodes", a3, b1, 80, Decider::Vpc),
            ("one set, one node", a1, a2, 81, Decider::Node),
            ("one set, two nodes", a1, a3, 81, Decider::Vpc),
        ];
        calls.map(Call::from).into()
    }

    fn refused(&self) -> Vec<Call<'_>> {
        let Self {
            a1,
            a2,
            a3,
            b1,
            plain,
            ..
        } = self;
        let calls = [
            ("two sets, one node", a1, b1, 81, Decider::Vpc),
            ("two sets, one node, back", b1, a1, 80, Decider::Vpc),
            ("one set, one node", a1, a2, 80, Decider::Node),
            ("one set, two nodes", a1, a3, 80, Decider::Vpc),
            ("default in, one node", plain, a1, 81, Decider::Vpc),
            ("default in, two nodes", plain, a3, 81, Decider::Vpc),
            ("default out, one node", a1, plain, 80, Decider::Vpc),
            ("default out, two nodes", a3, plain, 80, Decider::Vpc),
        ];
        calls.map(Call::from).into()
    }

    fn flow_logs(&self) -> BTreeSet<Logged> {
        let lines = read_flow_logs(self.cluster.vpc.flow_log_dir()).unwrap();
        let fields = ["pkt-srcaddr", "pkt-dstaddr", "dstport", "action"];
        let logged = lines
            .iter()
            .map(|line| fields.map(|field| line.field(field).to_owned()));
        logged
            .map(|[from, to, port, action]| (from, to, port, action))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_kept_apart_on_one_node_and_across_nodes() {
    let scene = Scene::set("e2e-groups").await;
    for Call {
        what,
        from,
        to,
        port,
        ..
    } in scene.allowed()
    {
        assert_reaches(from, (to.address, port), what).await;
    }
    for Call {
        what,
        from,
        to,
        port,
        ..
    } in scene.refused()
    {
        assert_eq!(
            call(from, (to.address, port)).await,
            Verdict::Refused,
            "{what}"
        );
    }
    // What the VPC decided stands in its flow logs under the pods' own addresses; what a node
    // decided between pods of one set does not.
    let (allowed, refused) = (scene.allowed(), scene.refused());
    let logged = |by: &Decider| -> BTreeSet<Logged> {
        let of = |calls: &[Call<'_>], action: &str| -> Vec<Logged> {
            let calls = calls.iter().filter(|call| call.by == *by);
            calls.map(|call| call.logged_as(action)).collect()
        };
        let accepts = of(&allowed, "ACCEPT");
        accepts.into_iter().chain(of(&refused, "REJECT")).collect()
    };
    let (by_vpc, by_node) = (logged(&Decider::Vpc), logged(&Decider::Node));
    let complete = wait_for("flow logs", Duration::from_secs(15), || {
        Ok(by_vpc.is_subset(&scene.flow_logs()).then_some(()))
    });
    let found = scene.flow_logs();
    let missing: Vec<_> = by_vpc.difference(&found).collect();
    assert!(complete.is_ok(), "not in the flow logs: {missing:?}");
    assert_eq!(
        by_node.intersection(&found).collect::<Vec<_>>(),
        Vec::<&Logged>::new()
    );
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reach_their_own_pods_and_explicit_sets_do_not_reach_their_node() {
    let scene = Scene::set("e2e-groups-node").await;
    let (own, own_address) = scene.node(0);
    let (other, other_address) = scene.node(1);
    for pod in [&scene.a1, &scene.b1, &scene.plain] {
        let probe = tcp_probe(own, (pod.address, 80).into(), PATIENCE).await;
        assert!(
            matches!(probe, Verdict::Allowed(_)),
            "kubelet's probe of {}: {probe}",
            pod.name
        );
    }
    let from_other = tcp_probe(other, (scene.a1.address, 81).into(), SILENCE).await;
    assert_eq!(from_other, Verdict::Refused);
    assert_eq!(call(&scene.a1, own_address).await, Verdict::Refused);
    assert_eq!(call(&scene.a1, other_address).await, Verdict::Refused);
    assert_reaches(&scene.plain, own_address, "default to its node").await;
    assert_reaches(&scene.plain, other_address, "default to a node").await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_rule_refuses_new_connections_and_spares_established_ones() {
    let scene = Scene::set("e2e-groups-revoke").await;
    let Scene {
        a1, b1, b, cluster, ..
    } = &scene;
    let target = (b1.address, 80).into();
    let mut open = Connection::open(a1.netns().unwrap(), target, PATIENCE)
        .await
        .unwrap();
    let lines = cluster
        .vpc
        .ec2()
        .call("DescribeSecurityGroups", &[("GroupId.1", b.as_str())])
        .await;
    let source: SecurityGroupId = {
        let rules = lines.unwrap();
        let pairs = rules
            .find("ipPermissions")
            .unwrap()
            .find("groups")
            .unwrap()
            .clone();
        pairs.text_at("groupId").unwrap().parse().unwrap()
    };
    let rule = IngressRule {
        tcp_port: Some(80),
        source: Source::Group(&source),
    };
    cluster.vpc.ec2().revoke(b, rule).await.unwrap();
    assert_eq!(call(a1, target).await, Verdict::Refused);
    assert!(open.works(PATIENCE).await);
    cluster.vpc.ec2().allow(b, rule).await.unwrap();
    assert_reaches(a1, target, "after the rule is back").await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_follows_a_change_of_its_sets_rules() {
    let scene = Scene::set("e2e-groups-change").await;
    let Scene {
        a1, a2, cluster, ..
    } = &scene;
    let target: SocketAddr = (a2.address, 80).into();
    assert_eq!(call(a1, target).await, Verdict::Refused);
    let block = Source::Block("10.0.0.0/16".parse().unwrap());
    let interfaces = cluster
        .vpc
        .ec2()
        .interfaces_of(&cluster.nodes[0].instance)
        .await
        .unwrap();
    let holder = interfaces
        .iter()
        .find(|one| one.secondaries.contains(&a1.address))
        .unwrap();
    let [a] = holder.groups.as_slice() else {
        unreachable!("{:?}", holder.groups)
    };
    let rule = IngressRule {
        tcp_port: Some(80),
        source: block,
    };
    cluster.vpc.ec2().allow(a, rule).await.unwrap();
    let opened = wait_for_async(
        "the node to see the new rule",
        Duration::from_secs(60),
        || async { Ok(matches!(call(a1, target).await, Verdict::Allowed(_)).then_some(())) },
    );
    opened.await.unwrap();
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_and_unknown_groups_fail_the_pod_and_are_named() {
    let node = NodeSpec::new("n1", "m5.large", 0);
    let cluster = Cluster::start("e2e-groups-forbidden", &[node])
        .await
        .unwrap();
    let vpc = &cluster.networks.vpc;
    let forbidden = cluster
        .vpc
        .ec2()
        .create_group(vpc, "not-for-pods", false)
        .await
        .unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    for group in [forbidden.as_str(), "sg-0fedcba9876543210", "sg-nonsense"] {
        let refused = cri.run_pod(&PodSpec::named("x").with_groups([group])).await;
        let message = format!("{:#}", refused.unwrap_err());
        assert!(message.contains(group), "{message}");
        let conf = serde_json::json!({"securityGroups": [group]});
        let answer = cluster.nodes[0].node.cni_add("by-hand", &conf).unwrap();
        assert_eq!(answer["code"], 7, "{answer}");
        assert!(answer.to_string().contains(group), "{answer}");
    }
    assert_eq!(cri.list_pods().await.unwrap(), Vec::<String>::new());
    let interfaces = cluster
        .vpc
        .ec2()
        .interfaces_of(&cluster.nodes[0].instance)
        .await
        .unwrap();
    assert!(
        interfaces
            .iter()
            .all(|one| one.groups == [cluster.networks.node_group.clone()])
    );
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_an_eni_slot_is_refused_until_another_set_gives_its_slot_up() {
    let config = "[addresses]\ncooldown = \"3s\"\nadd_wait = \"1s\"";
    let node = NodeSpec::new("n1", "t3.small", 0).with_agent_config(config);
    let cluster = Cluster::start("e2e-groups-slots", &[node]).await.unwrap();
    let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
    let mut groups = Vec::new();
    for name in ["a", "b", "c"] {
        groups.push(ec2.create_group(vpc, name, true).await.unwrap());
    }
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let spec =
        |index: usize| PodSpec::named(format!("p{index}")).with_groups([groups[index].as_str()]);
    // A t3.small has three slots, of which the primary ENI holds one.
    let first = cri.run_pod(&spec(0)).await.unwrap();
    cri.run_pod(&spec(1)).await.unwrap();
    let refused = cri.run_pod(&spec(2)).await.unwrap_err();
    let message = format!("{refused:#}");
    assert!(message.contains("slot"), "{message}");
    // Two groups that pods have apart are a third set together.
    let both = PodSpec::named("both").with_groups([groups[0].as_str(), groups[1].as_str()]);
    let refused = cri.run_pod(&both).await.unwrap_err();
    let message = format!("{refused:#}");
    assert!(message.contains("slot"), "{message}");

    cri.remove_pod(&first.id).await.unwrap();
    let third = wait_for_async("the slot to become free", Duration::from_secs(30), || {
        let mut cri = cri.clone();
        let spec = spec(2);
        async move { Ok(cri.run_pod(&spec).await.ok()) }
    });
    let third = third.await.unwrap();
    let interfaces = ec2.interfaces_of(&cluster.nodes[0].instance).await.unwrap();
    let holder = interfaces
        .iter()
        .find(|one| one.secondaries.contains(&third.address));
    assert_eq!(holder.unwrap().groups, [groups[2].clone()]);
    assert_eq!(interfaces.len(), 3, "{interfaces:?}");
    cluster.stop().unwrap();
}
