//! Pods that own an ENI: its device, its primary address, its groups; and that none is ever lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::Ipv4Addr, process::Command, time::Duration};

use serde_json::json;
use underlay_testkit::{
    Cluster, IngressRule, Interface, NodeSpec, Pod, PodSpec, Source, addresses_inside,
    probe::{Connection, TcpServer, Verdict, tcp_probe},
    read_flow_logs, wait_for, wait_for_async,
};

/// How long silence must last to count as refused.
const SILENCE: Duration = Duration::from_millis(900);
/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what the agent and the VPC do by themselves may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Pods may ask for an ENI; addresses rest shortly.
const CONFIG: &str =
    "[pods]\nown_eni = \"allow\"\n[addresses]\ncooldown = \"2s\"\nadd_wait = \"20s\"";

fn owner(name: &str) -> PodSpec {
    let mut spec = PodSpec::named(name);
    let annotation = ("underlay.dev/eni".to_owned(), "own".to_owned());
    spec.annotations.push(annotation);
    spec
}

fn node(name: &str, subnet: usize) -> NodeSpec {
    NodeSpec::new(name, "m5.large", subnet).with_agent_config(CONFIG)
}

/// The ENI that has `address` as its primary one.
async fn eni_of(cluster: &Cluster, node: usize, address: Ipv4Addr) -> Interface {
    let instance = &cluster.nodes[node].instance;
    let interfaces = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    let found = interfaces.into_iter().find(|one| one.primary == address);
    found.unwrap()
}

/// The Ethernet addresses of the devices in the node's own namespace.
fn devices_of_node(cluster: &Cluster, node: usize) -> String {
    let node = &cluster.nodes[node].node;
    node.output("ip", &["-brief", "link", "show"]).unwrap()
}

async fn assert_reaches(from: &Pod, to: &Pod) {
    let verdict = tcp_probe(from.netns().unwrap(), (to.address, 80).into(), PATIENCE).await;
    let what = format!("{} to {}: {verdict}", from.name, to.name);
    assert!(verdict.shows(from.address), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_has_the_enis_address_and_device_and_is_reached_from_everywhere() {
    let cluster = Cluster::start("e2e-own-eni", &[node("n1", 0), node("n2", 1)])
        .await
        .unwrap();
    let mut n1 = cluster.nodes[0].node.cri().await.unwrap();
    let mut n2 = cluster.nodes[1].node.cri().await.unwrap();
    let own = n1.run_pod(&owner("own")).await.unwrap();
    let beside = n1.run_pod(&PodSpec::named("beside")).await.unwrap();
    let other = n2.run_pod(&PodSpec::named("other")).await.unwrap();

    let eni = eni_of(&cluster, 0, own.address).await;
    assert_ne!(eni.device_index, Some(0));
    assert_eq!(
        eni.groups,
        std::slice::from_ref(&cluster.networks.node_group)
    );
    assert_eq!(eni.secondaries, Vec::<Ipv4Addr>::new());
    let netns = own.netns().unwrap();
    assert_eq!(addresses_inside(netns, "eth0").unwrap(), [own.address]);
    assert!(!devices_of_node(&cluster, 0).contains(&eni.mac));
    let result = &own.cni_result["Interfaces"];
    assert_eq!(result["eth0"]["Mac"], json!(eni.mac), "{result}");
    let with_addresses = result
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "lo");
    assert_eq!(
        with_addresses.collect::<Vec<_>>(),
        ["eth0"],
        "no device on the node"
    );

    let pods = [&own, &beside, &other];
    let mut servers = Vec::new();
    for pod in pods {
        servers.push(TcpServer::start(pod.netns().unwrap(), pod.address, 80).unwrap());
    }
    for from in pods {
        for to in pods.iter().filter(|to| to.address != from.address) {
            assert_reaches(from, to).await;
        }
    }
    // Nodes, its own too, reach it through the VPC.
    for node in &cluster.nodes {
        let probe = tcp_probe(node.node.netns(), (own.address, 80).into(), PATIENCE).await;
        let seen = matches!(probe, Verdict::Allowed(seen) if seen.ip() == node.address);
        assert!(seen, "{}: {probe}", node.node.name());
    }
    // Nothing but a route of the pod's keeps it from the node's role.
    let metadata = tcp_probe(netns, ([169, 254, 169, 254], 80).into(), SILENCE).await;
    assert!(!matches!(metadata, Verdict::Allowed(_)), "{metadata}");

    let shown = cluster.nodes[0]
        .node
        .ask_agent(cluster.vpc.binaries(), &["pods"])
        .unwrap();
    let line = shown.lines().find(|line| line.contains("own")).unwrap();
    assert!(
        line.contains(&own.address.to_string()) && line.contains("owns the ENI"),
        "{shown}"
    );
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn its_groups_judge_every_packet_and_flow_logs_show_it() {
    let cluster = Cluster::start("e2e-own-eni-groups", &[node("n1", 0)])
        .await
        .unwrap();
    let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
    let format = "${interface-id} ${srcaddr} ${dstaddr} ${dstport} ${flow-direction} ${action}";
    ec2.create_flow_log(vpc, format).await.unwrap();
    let group = ec2.create_group(vpc, "own", true).await.unwrap();
    let rule = IngressRule {
        tcp_port: Some(80),
        source: Source::Group(&cluster.networks.node_group),
    };
    ec2.allow(&group, rule).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let spec = owner("own").with_groups([group.as_str()]);
    let own = cri.run_pod(&spec).await.unwrap();
    let plain = cri.run_pod(&PodSpec::named("plain")).await.unwrap();
    let eni = eni_of(&cluster, 0, own.address).await;
    assert_eq!(eni.groups, [group]);

    let mut servers = Vec::new();
    for port in [80, 81] {
        servers.push(TcpServer::start(own.netns().unwrap(), own.address, port).unwrap());
    }
    assert_reaches(&plain, &own).await;
    let from = [plain.netns().unwrap(), cluster.nodes[0].node.netns()];
    for netns in from {
        // The node's own probes too.
        let refused = tcp_probe(netns, (own.address, 81).into(), SILENCE).await;
        assert_eq!(refused, Verdict::Refused);
    }
    let logged = |port: &str, action: &str| {
        let wanted = [
            eni.id.as_str(),
            &own.address.to_string(),
            port,
            "ingress",
            action,
        ]
        .map(str::to_owned);
        let lines = read_flow_logs(cluster.vpc.flow_log_dir()).unwrap();
        lines.iter().any(|line| {
            [
                "interface-id",
                "dstaddr",
                "dstport",
                "flow-direction",
                "action",
            ]
            .map(|field| line.field(field).to_owned())
                == wanted
        })
    };
    wait_for("the flow logs", DEADLINE, || {
        Ok((logged("80", "ACCEPT") && logged("81", "REJECT")).then_some(()))
    })
    .unwrap();
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eni_comes_back_with_the_del_and_serves_the_next_pod_after_its_cooldown() {
    let cluster = Cluster::start("e2e-own-eni-del", &[node("n1", 0)])
        .await
        .unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let first = cri.run_pod(&owner("first")).await.unwrap();
    let eni = eni_of(&cluster, 0, first.address).await;
    cri.stop_pod(&first.id).await.unwrap();
    assert!(devices_of_node(&cluster, 0).contains(&eni.mac));
    cri.remove_pod(&first.id).await.unwrap();
    let again = wait_for_async("the ENI to serve again", DEADLINE, || {
        let mut cri = cri.clone();
        async move {
            let pod = cri.run_pod(&owner("next")).await?;
            let found = (pod.address == first.address).then(|| pod.clone());
            if found.is_none() {
                cri.remove_pod(&pod.id).await?;
            }
            Ok(found)
        }
    });
    let next = again.await.unwrap();
    assert_eq!(eni_of(&cluster, 0, next.address).await.mac, eni.mac);
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_dies_first_loses_no_eni() {
    let config = format!("{CONFIG}\n[drift]\ninterval = \"1s\"");
    let spec = NodeSpec::new("n1", "m5.large", 0).with_agent_config(&config);
    let cluster = Cluster::start("e2e-own-eni-dies", &[spec]).await.unwrap();
    // By the plugin's key, as a runtime without annotations asks; its namespace is then deleted.
    let answer = cluster.nodes[0]
        .node
        .cni_add("by-hand", &json!({"eni": "own"}))
        .unwrap();
    let address = answer["ips"][0]["address"].as_str().unwrap();
    let (address, length) = address.split_once('/').unwrap();
    assert_eq!(length, "24", "{answer}");
    let eni = eni_of(&cluster, 0, address.parse().unwrap()).await;
    assert_eq!(answer["interfaces"][0]["mac"], json!(eni.mac), "{answer}");
    assert_eq!(
        answer["interfaces"].as_array().unwrap().len(),
        1,
        "{answer}"
    );
    wait_for("the VPC to make the device again", DEADLINE, || {
        Ok(devices_of_node(&cluster, 0)
            .contains(&eni.mac)
            .then_some(()))
    })
    .unwrap();
    // No runtime says that the pod is gone: the agent sees it.
    wait_for("the lease to end", DEADLINE, || {
        Ok((cluster.agent_status(0)?["leases"] == json!([])).then_some(()))
    })
    .unwrap();
    // Both ENIs of the type are pods' at the same time: none was lost.
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let first = cri.run_pod(&owner("first")).await.unwrap();
    let second = cri.run_pod(&owner("second")).await.unwrap();
    assert_ne!(first.address, second.address);
    // A pod that lives gets a device that was deleted in it again.
    let netns = first.netns().unwrap();
    let deleted = netns.run(|| {
        Ok(Command::new("ip")
            .args(["link", "delete", "eth0"])
            .status()?)
    });
    assert!(deleted.unwrap().success());
    wait_for("the pod to have its ENI again", DEADLINE, || {
        let found = addresses_inside(netns, "eth0").ok();
        Ok((found == Some(vec![first.address])).then_some(()))
    })
    .unwrap();
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_limit_is_told_with_numbers_and_pods_ask_only_where_they_may() {
    let config = "[pods]\nown_eni = \"allow\"\n[addresses]\nadd_wait = \"1s\"\nmax_enis = 2\nwarm_target = 2";
    let nodes = [
        NodeSpec::new("n1", "m5.large", 0).with_agent_config(config),
        NodeSpec::new("n2", "m5.large", 1),
    ];
    let cluster = Cluster::start("e2e-own-eni-limit", &nodes).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let first = wait_for_async("the first one", DEADLINE, || {
        let mut cri = cri.clone();
        async move { Ok(cri.run_pod(&owner("first")).await.ok()) }
    });
    first.await.unwrap();
    let answer = cluster.nodes[0]
        .node
        .cni_add("by-hand", &json!({"eni": "own"}))
        .unwrap();
    assert_eq!(answer["code"], 11, "{answer}");
    let message = answer["msg"].as_str().unwrap();
    let wanted = "pool whole/default: 0 of 1 free on 1 ENI, and no ENI slot for it: 2 of 2 attached \
                  and in use";
    assert_eq!(message, wanted);
    // Pods that share the primary ENI still come.
    cri.run_pod(&PodSpec::named("shared")).await.unwrap();

    let mut cri = cluster.nodes[1].node.cri().await.unwrap();
    let refused = cri.run_pod(&owner("own")).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("own_eni"), "{refused}");
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_keeps_its_eni_while_the_agent_is_away_and_after() {
    let mut cluster = Cluster::start("e2e-own-eni-restart", &[node("n1", 0)])
        .await
        .unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let own = cri.run_pod(&owner("own")).await.unwrap();
    let beside = cri.run_pod(&PodSpec::named("beside")).await.unwrap();
    let eni = eni_of(&cluster, 0, own.address).await;
    let server = TcpServer::start(own.netns().unwrap(), own.address, 80).unwrap();
    let target = (own.address, 80).into();
    let mut open = Connection::open(beside.netns().unwrap(), target, PATIENCE)
        .await
        .unwrap();
    for _ in 0..2 {
        cluster.nodes[0].node.kill_agent().unwrap();
        assert!(open.works(PATIENCE).await);
        cluster.restart_agent(0).unwrap();
        assert!(open.works(PATIENCE).await);
        assert!(!devices_of_node(&cluster, 0).contains(&eni.mac));
    }
    // Somebody deletes the device while no agent is there: the VPC makes it again on the node, and
    // the next agent gives it to the pod again.
    cluster.nodes[0].node.kill_agent().unwrap();
    let netns = own.netns().unwrap();
    let deleted = netns.run(|| {
        Ok(Command::new("ip")
            .args(["link", "delete", "eth0"])
            .status()?)
    });
    assert!(deleted.unwrap().success());
    wait_for("the device to be on the node", DEADLINE, || {
        Ok(devices_of_node(&cluster, 0)
            .contains(&eni.mac)
            .then_some(()))
    })
    .unwrap();
    cluster.restart_agent(0).unwrap();
    assert_eq!(addresses_inside(netns, "eth0").unwrap(), [own.address]);
    assert_reaches(&beside, &own).await;
    // A DEL that comes while nobody is there is carried out by the next agent. Its namespace dies
    // first, once nobody holds it any more.
    cluster.nodes[0].node.kill_agent().unwrap();
    let id = own.id.clone();
    drop((server, open, own));
    cri.stop_pod(&id).await.unwrap();
    cri.remove_pod(&id).await.unwrap();
    cluster.restart_agent(0).unwrap();
    wait_for("the ENI to be back and free", DEADLINE, || {
        let status = cluster.agent_status(0)?;
        let enis = status["enis"].as_array().cloned().unwrap_or_default();
        let free = enis
            .iter()
            .any(|one| one["mac"] == json!(eni.mac) && one["free"] == 1);
        let home = devices_of_node(&cluster, 0).contains(&eni.mac);
        Ok((free && home).then_some(()))
    })
    .unwrap();
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_both_families_it_has_an_address_of_its_eni_each() {
    let config = format!("{CONFIG}\nfamilies = [\"v4\", \"v6\"]");
    let spec = NodeSpec::new("n1", "m5.large", 0).with_agent_config(&config);
    let cluster = Cluster::start_with_ipv6("e2e-own-eni-v6", &[spec])
        .await
        .unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let own = cri.run_pod(&owner("own")).await.unwrap();
    let beside = cri.run_pod(&PodSpec::named("beside")).await.unwrap();
    let eni = eni_of(&cluster, 0, own.address).await;
    let ipv6 = own.ipv6().unwrap();
    assert!(
        eni.ipv6_prefixes
            .iter()
            .any(|prefix| prefix.contains(&ipv6)),
        "{eni:?}"
    );
    for (from, to) in [(&own, &beside), (&beside, &own)] {
        let (source, target) = (from.ipv6().unwrap(), to.ipv6().unwrap());
        let _server = TcpServer::start(to.netns().unwrap(), target, 80).unwrap();
        let verdict = tcp_probe(from.netns().unwrap(), (target, 80).into(), PATIENCE).await;
        let seen = verdict.shows(source);
        assert!(seen, "{} to {}: {verdict}", from.name, to.name);
    }
    cluster.stop().unwrap();
}
