//! Which ENIs pods use, where those are created, and what they carry.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use ipnet::Ipv4Net;
use underlay_testkit::{
    Cluster, Cri, IngressRule, Interface, NETWORK_DEADLINE, NodeSpec, PauseImage, Pod, PodSpec,
    Source,
    probe::{Endpoint, TcpServer, Verdict, tcp_probe, udp_matrix},
    wait_for_async,
};
use underlay_types::{SecurityGroupId, SubnetId};

/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long EC2 and the agent may take to give something back.
const GIVEN_BACK: Duration = Duration::from_secs(60);

/// The ENIs of the first node, the primary one first.
async fn enis(cluster: &Cluster) -> Vec<Interface> {
    let instance = &cluster.nodes[0].instance;
    cluster.vpc.ec2().interfaces_of(instance).await.unwrap()
}

/// The ENI that holds a pod's address.
async fn eni_of(cluster: &Cluster, pod: &Pod) -> Interface {
    let holds = |eni: &Interface| eni.secondaries.contains(&pod.address);
    let enis = enis(cluster).await;
    enis.into_iter().find(holds).unwrap()
}

async fn run(cri: &mut Cri, name: &str) -> Pod {
    cri.run_pod(&PodSpec::named(name)).await.unwrap()
}

fn endpoint(pod: &Pod) -> Endpoint {
    Endpoint {
        name: pod.name.clone(),
        address: pod.address,
        netns: pod.netns().unwrap().clone(),
    }
}

/// Each reaches every other one and is seen with its own address.
async fn assert_all_reach_each_other(pods: &[&Pod]) {
    let endpoints: Vec<Endpoint> = pods.iter().map(|pod| endpoint(pod)).collect();
    let seen = udp_matrix(&endpoints, 7777).await.unwrap();
    for (from, row) in endpoints.iter().zip(&seen) {
        for (to, seen) in endpoints.iter().zip(row) {
            let source = seen.map(|seen| seen.ip());
            let apart = from.address != to.address;
            let (from, own) = (&from.name, from.address);
            assert!(
                !apart || source == Some(own.into()),
                "{from} to {}: {source:?}",
                to.name
            );
        }
    }
}

/// A dead agent, and a new one with this configuration.
fn start_again_with(cluster: &mut Cluster, config: &str) {
    config.clone_into(&mut cluster.nodes[0].agent.config);
    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
}

async fn tag(cluster: &Cluster, resource: &str, key: &str, value: &str) {
    let parameters = [
        ("ResourceId.1", resource),
        ("Tag.1.Key", key),
        ("Tag.1.Value", value),
    ];
    let ec2 = cluster.vpc.ec2();
    ec2.call("CreateTags", &parameters).await.unwrap();
}

/// A VPC with a node whose configuration is made from what stands there.
async fn cluster_with(name: &str, config: impl AsyncFnOnce(&Cluster) -> String) -> Cluster {
    let far = NodeSpec::new("far", "t3.small", 1);
    let mut cluster = Cluster::start(name, &[far]).await.unwrap();
    let config = config(&cluster).await;
    let image = PauseImage::build(cluster.vpc.run_dir().path()).unwrap();
    let near = NodeSpec::new("near", "m5.large", 0).with_agent_config(&config);
    let mut near = cluster.launch(&near, &image).await.unwrap();
    near.node
        .wait_network_ready(NETWORK_DEADLINE)
        .await
        .unwrap();
    cluster.nodes.insert(0, near);
    cluster
}

/// A subnet in the first node's zone.
async fn subnet(cluster: &Cluster, block: &str) -> SubnetId {
    let block: Ipv4Net = block.parse().unwrap();
    let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
    ec2.create_subnet(vpc, block, "us-east-1a").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_eni_taken_out_of_pod_use_drains_and_keeps_its_slot() {
    let common = "[addresses]\nwarm_target = 1\ncooldown = \"1s\"\nidle_eni_after = \"5s\"";
    let mut cluster = cluster_with("e2e-primary", async |_| common.to_owned()).await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut far = cluster.nodes[1].node.cri().await.unwrap();
    let far = run(&mut far, "far").await;
    let before = run(&mut cri, "before").await;
    assert!(
        enis(&cluster).await[0]
            .secondaries
            .contains(&before.address)
    );

    let left = format!("{common}\n[enis]\nprimary = \"leave\"");
    start_again_with(&mut cluster, &left);
    let after = run(&mut cri, "after").await;
    assert_eq!(eni_of(&cluster, &after).await.device_index, Some(1));
    assert_all_reach_each_other(&[&before, &after, &far]).await;

    cri.remove_pod(&before.id).await.unwrap();
    wait_for_async("the primary ENI to be empty", GIVEN_BACK, || async {
        let empty = enis(&cluster).await[0].secondaries.is_empty();
        Ok(empty.then_some(()))
    })
    .await
    .unwrap();
    let status = cluster.agent_status(0).unwrap();
    let mut enis = status["enis"].as_array().unwrap().iter();
    let primary = enis.find(|eni| eni["primary"] == true).unwrap();
    assert_eq!(primary["standing"], "emptying", "{status}");
    assert_all_reach_each_other(&[&after, &far]).await;
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eni_that_is_marked_unmanaged_keeps_its_pods_and_is_left_alone() {
    let config = "[enis]\nprimary = \"leave\"\n\
                  [addresses]\nwarm_target = 1\ncooldown = \"0s\"\nidle_eni_after = \"0s\"";
    let mut cluster = cluster_with("e2e-unmanaged", async |_| config.to_owned()).await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut far = cluster.nodes[1].node.cri().await.unwrap();
    let (first, far) = (run(&mut cri, "first").await, run(&mut far, "far").await);
    let marked = eni_of(&cluster, &first).await;
    let key = "node.k8s.amazonaws.com/no_manage";
    tag(&cluster, marked.id.as_str(), key, "true").await;
    // The next look at EC2 comes in minutes, but for an agent that knows nothing of it.
    cluster.nodes[0].node.kill_agent().unwrap();
    let memory = cluster.nodes[0].node.inside("/run/underlay/ec2.json");
    if memory.exists() {
        std::fs::remove_file(memory).unwrap();
    }
    cluster.restart_agent(0).unwrap();

    let second = run(&mut cri, "second").await;
    let other = eni_of(&cluster, &second).await;
    assert_ne!(other.id, marked.id);
    assert_all_reach_each_other(&[&first, &second, &far]).await;
    let status = cluster.agent_status(0).unwrap();
    let notices = status["notices"].to_string();
    assert!(notices.contains("is marked as unmanaged"), "{status}");

    for pod in [&first, &second] {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    let marked = enis(&cluster)
        .await
        .into_iter()
        .find(|eni| eni.id == marked.id);
    let binaries = cluster.vpc.binaries();
    let node = &cluster.nodes[0].node;
    node.ask_agent(binaries, &["drain", "--deadline", "60s"])
        .unwrap();
    let left = enis(&cluster).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(Some(&left[1]), marked.as_ref(), "as it was");
    cluster.stop().unwrap();
}

/// Whether a TCP connection is let in, with the sender's own address.
async fn assert_verdict(from: &Pod, to: &Pod, port: u16, allowed: bool) {
    let patience = if allowed { PATIENCE } else { SILENCE };
    let to = (to.address, port).into();
    let verdict = tcp_probe(from.netns().unwrap(), to, patience).await;
    let seen = match &verdict {
        Verdict::Allowed(seen) => Some(seen.ip()),
        Verdict::Refused | Verdict::Broken(_) => None,
    };
    let wanted = allowed.then(|| from.address.into());
    let broken = matches!(verdict, Verdict::Broken(_));
    assert!(
        !broken && seen == wanted,
        "{} to {to}: {verdict}",
        from.name
    );
}

/// Members of the group may be called at port 80 by those of the node's.
async fn group_of_pods(cluster: &Cluster) -> SecurityGroupId {
    let (ec2, networks) = (cluster.vpc.ec2(), &cluster.networks);
    let group = ec2
        .create_group(&networks.vpc, "pods", false)
        .await
        .unwrap();
    let rule = IngressRule {
        tcp_port: Some(80),
        source: Source::Group(&networks.node_group),
    };
    ec2.allow(&group, rule).await.unwrap();
    group
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_node_pool_have_subnets_and_groups_of_their_own() {
    let (mut subnets, mut group) = (Vec::new(), None);
    let mut cluster = cluster_with("e2e-pool", async |cluster| {
        for block in ["10.0.16.0/26", "10.0.32.0/24"] {
            subnets.push(subnet(cluster, block).await);
        }
        // One for nodes of the other zone: a configuration for both.
        subnets.push(cluster.networks.subnets[1].clone());
        let own = group_of_pods(cluster).await;
        let config = format!(
            "[addresses]\nwarm_target = 1\n\
             [enis]\nsubnets = {subnets:?}\nsecurity_groups = [\"{own}\"]",
            subnets = subnets.iter().map(SubnetId::as_str).collect::<Vec<_>>()
        );
        group = Some(own);
        config
    })
    .await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut far = cluster.nodes[1].node.cri().await.unwrap();
    let far = run(&mut far, "far").await;
    let mut pods = Vec::new();
    // More than one ENI of this type carries.
    for number in 0..11 {
        pods.push(run(&mut cri, &format!("p{number}")).await);
    }
    let enis = enis(&cluster).await;
    assert_eq!(enis.len(), 3, "{enis:?}");
    assert!(enis[0].secondaries.is_empty(), "{enis:?}");
    for eni in &enis[1..] {
        assert_eq!(eni.groups, [group.clone().unwrap()]);
        assert_eq!(
            eni.subnet, subnets[1],
            "the one with the most free addresses"
        );
    }
    // At the start, and at most once for each ENI.
    let calls = cluster.agent_status(0).unwrap()["ec2"].clone();
    let asked = calls["DescribeSubnets"]["results"]["ok"].as_u64().unwrap();
    assert!((1..=3).contains(&asked), "{calls}");

    let (first, last) = (&pods[0], &pods[10]);
    assert_ne!(
        eni_of(&cluster, first).await.id,
        eni_of(&cluster, last).await.id
    );
    let _servers: Vec<TcpServer> = [(first, 80), (first, 81), (last, 80), (&far, 80)]
        .into_iter()
        .map(|(pod, port)| TcpServer::start(pod.netns().unwrap(), pod.address, port).unwrap())
        .collect();
    assert_verdict(&far, first, 80, true).await;
    assert_verdict(&far, last, 80, true).await;
    assert_verdict(&far, first, 81, false).await;
    // The node's group lets in its own members alone, and the pods are none.
    assert_verdict(first, &far, 80, false).await;
    assert_verdict(first, last, 80, true).await;

    let config = cluster.nodes[0].agent.config.clone();
    start_again_with(&mut cluster, &config);
    assert_verdict(&far, last, 80, true).await;
    let late = run(&mut cri, "late").await;
    assert_eq!(eni_of(&cluster, &late).await.subnet, subnets[1]);
    // Which subnets pods use was known: what is asked now is of the pod that came.
    let calls = cluster.agent_status(0).unwrap()["ec2"].clone();
    assert!(calls.get("DescribeSubnets").is_none(), "{calls}");
    assert!(calls.get("DescribeNetworkInterfaces").is_none(), "{calls}");
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_is_full_is_passed_over_for_the_next_one() {
    let mut subnets = Vec::new();
    let cluster = cluster_with("e2e-full", async |cluster| {
        let own = &cluster.networks.subnets[0];
        tag(cluster, own.as_str(), "kubernetes.io/role/cni", "0").await;
        // Of the 11 addresses of a /28, 5 and 4 are left.
        for (block, taken) in [("10.0.16.0/28", "5"), ("10.0.16.16/28", "6")] {
            let subnet = subnet(cluster, block).await;
            tag(cluster, subnet.as_str(), "kubernetes.io/role/cni", "1").await;
            let parameters = [
                ("SubnetId", subnet.as_str()),
                ("SecondaryPrivateIpAddressCount", taken),
            ];
            let ec2 = cluster.vpc.ec2();
            ec2.call("CreateNetworkInterface", &parameters)
                .await
                .unwrap();
            subnets.push(subnet);
        }
        "[addresses]\nwarm_target = 1\nadd_wait = \"15s\"\n[enis]\nsubnets = \"discover\""
            .to_owned()
    })
    .await;
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    // One address of each goes to the ENI itself.
    for number in 0..7 {
        pods.push(run(&mut cri, &format!("p{number}")).await);
    }
    let refused = cri.run_pod(&PodSpec::named("p7")).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(
        refused.contains("InsufficientFreeAddressesInSubnet"),
        "{refused}"
    );
    let enis = enis(&cluster).await;
    let used: Vec<(&SubnetId, usize)> = enis[1..]
        .iter()
        .map(|eni| (&eni.subnet, eni.secondaries.len()))
        .collect();
    assert_eq!(used, [(&subnets[0], 4), (&subnets[1], 3)]);
    assert!(
        enis[0].secondaries.is_empty(),
        "its subnet is kept from pods"
    );
    let mut far = cluster.nodes[1].node.cri().await.unwrap();
    let far = run(&mut far, "far").await;
    assert_all_reach_each_other(&[&pods[0], &pods[6], &far]).await;
    cluster.stop().unwrap();
}

/// By the conflist's key. One that the type does not have is a mistake, one that is full is not.
fn assert_networks_are_pinned_to_cards(cluster: &Cluster) {
    let node = &cluster.nodes[0].node;
    for card in [7, 31] {
        let name = format!("pinned-{card}");
        let pinned = serde_json::json!({ "networkCard": card });
        let added = node.cni_add(&name, &pinned).unwrap();
        assert_eq!(added["code"], serde_json::Value::Null, "{added}");
        let status = cluster.agent_status(0).unwrap();
        let pool = format!("card{card}/default");
        let enis = status["enis"].as_array().unwrap();
        let of_pool: Vec<_> = enis.iter().filter(|eni| eni["pool"] == *pool).collect();
        assert_eq!(of_pool.len(), 1, "{status}");
        assert_eq!(
            (&of_pool[0]["card"], &of_pool[0]["leased"]),
            (&card.into(), &1.into())
        );
    }
    let full = serde_json::json!({ "networkCard": 0 });
    let refused = node.cni_add("pinned-0", &full).unwrap();
    assert_eq!(refused["code"], 11, "{refused}");
    let message = refused["msg"].as_str().unwrap();
    assert!(message.ends_with("2 of 2 attached and in use"), "{message}");
    let none = serde_json::json!({ "networkCard": 32 });
    let refused = node.cni_add("pinned-nowhere", &none).unwrap();
    assert_eq!(refused["code"], 7, "{refused}");
    let message = refused["msg"].as_str().unwrap();
    let wanted = "networkCard: 32: p5.48xlarge has 32 network cards, the first is 0";
    assert_eq!(message, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn enis_on_every_network_card_carry_pods() {
    // Two ENIs on each of 32 cards; a set takes one.
    let node =
        NodeSpec::new("near", "p5.48xlarge", 0).with_agent_config("[addresses]\nwarm_target = 1");
    let far = NodeSpec::new("far", "t3.small", 1);
    let cluster = Cluster::start("e2e-cards", &[node, far]).await.unwrap();
    let (ec2, networks) = (cluster.vpc.ec2(), &cluster.networks);
    let everybody = IngressRule {
        tcp_port: None,
        source: Source::Block("10.0.0.0/16".parse().unwrap()),
    };
    ec2.allow(&networks.node_group, everybody).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut far = cluster.nodes[1].node.cri().await.unwrap();
    let mut pods = vec![run(&mut far, "far").await, run(&mut cri, "default").await];
    for number in 1..=3 {
        let name = format!("set-{number}");
        let group = ec2.create_group(&networks.vpc, &name, true).await.unwrap();
        ec2.allow(&group, everybody).await.unwrap();
        let pod = PodSpec::named(name).with_groups([group.as_str()]);
        pods.push(cri.run_pod(&pod).await.unwrap());
    }
    let status = cluster.agent_status(0).unwrap();
    let places: Vec<_> = status["enis"]
        .as_array()
        .unwrap()
        .iter()
        .map(|eni| {
            (
                eni["card"].as_u64(),
                eni["index"].as_u64(),
                eni["leased"].as_u64(),
            )
        })
        .collect();
    let mut wanted = [(0, 0), (0, 1), (1, 1), (1, 0)]
        .map(|(card, index)| (Some(card), Some(index), Some(1)))
        .to_vec();
    for place in places {
        let at = wanted.iter().position(|one| *one == place);
        wanted.remove(at.unwrap_or_else(|| panic!("{place:?} in {status}")));
    }
    assert_eq!(wanted, [], "{status}");
    assert_networks_are_pinned_to_cards(&cluster);
    let pods: Vec<&Pod> = pods.iter().collect();
    assert_all_reach_each_other(&pods).await;
    cluster.stop().unwrap();
}
