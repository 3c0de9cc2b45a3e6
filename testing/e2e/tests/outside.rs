//! Pods and what lies outside of their VPC; and the metadata service, which they may be given.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::Ipv4Net;
use underlay_testkit::{
    Cluster, Netns, NodeSpec, Pod, PodSpec, TokenAttempt, all_addresses_inside, imds_token,
    probe::{TcpServer, Verdict, tcp_probe},
    wait_for_async,
};

/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence must last to count.
const SILENCE: Duration = Duration::from_millis(800);
/// Somebody on the internet, and somebody who is to see the pods' own addresses.
const SOMEBODY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PARTNER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 200);

/// Gives the VPC a way to the internet and the instance a public address, which is returned.
async fn connect_to_the_internet(cluster: &Cluster) -> IpAddr {
    let ec2 = cluster.vpc.ec2();
    let vpc = cluster.networks.vpc.as_str();
    let answer = ec2.call("CreateInternetGateway", &[]).await.unwrap();
    let gateway = answer.find("internetGatewayId").unwrap().text.clone();
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", vpc)];
    ec2.call("AttachInternetGateway", &attach).await.unwrap();
    let main = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    let answer = ec2.call("DescribeRouteTables", &main).await.unwrap();
    let table = answer.find("routeTableId").unwrap().text.clone();
    let route = [
        ("RouteTableId", table.as_str()),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("GatewayId", &gateway),
    ];
    ec2.call("CreateRoute", &route).await.unwrap();
    let answer = ec2.call("AllocateAddress", &[]).await.unwrap();
    let allocation = answer.find("allocationId").unwrap().text.clone();
    let instance = &cluster.nodes[0].instance;
    let primary = ec2.interfaces_of(instance).await.unwrap().swap_remove(0);
    let associate = [
        ("AllocationId", allocation.as_str()),
        ("NetworkInterfaceId", primary.id.as_str()),
    ];
    ec2.call("AssociateAddress", &associate).await.unwrap();
    answer.find("publicIp").unwrap().text.parse().unwrap()
}

/// As whom somebody at `address` sees the pod.
async fn seen_by(address: Ipv4Addr, pod: &Netns) -> Verdict {
    tcp_probe(pod, SocketAddr::from((address, 80)), PATIENCE).await
}

fn source(verdict: &Verdict) -> Option<IpAddr> {
    match verdict {
        Verdict::Allowed(source) => Some(source.ip()),
        Verdict::Refused | Verdict::Broken(_) => None,
    }
}

async fn run(cluster: &Cluster, node: usize, name: &str) -> Pod {
    let mut cri = cluster.nodes[node].node.cri().await.unwrap();
    cri.run_pod(&PodSpec::named(name)).await.unwrap()
}

/// A pod on each ENI of the first node: the type gives the primary one three addresses for pods.
async fn pods_on_both_enis(cluster: &Cluster) -> Vec<Pod> {
    let mut pods = Vec::new();
    for number in 0..5 {
        pods.push(run(cluster, 0, &format!("p{number}")).await);
    }
    let instance = &cluster.nodes[0].instance;
    let interfaces = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    for eni in &interfaces[..2] {
        let held = pods
            .iter()
            .any(|pod| eni.secondaries.contains(&pod.address));
        assert!(held, "no pod on {eni:?}");
    }
    pods
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_the_internet_by_the_public_address_of_their_node() {
    let spec = NodeSpec::new("n1", "t3.small", 0).with_agent_config(
        "[snat]\nenabled = true\nexcluded = [\"203.0.113.128/25\"]\npoll_interval = \"1s\"\n",
    );
    let cluster = Cluster::start("e2e-outside", &[spec]).await.unwrap();
    let pods = pods_on_both_enis(&cluster).await;
    let public = connect_to_the_internet(&cluster).await;
    let outside = cluster.vpc.outside().unwrap();
    let _server = TcpServer::start(&outside, SOMEBODY, 80).unwrap();
    for pod in &pods {
        let netns = pod.netns().unwrap();
        let verdict = seen_by(SOMEBODY, netns).await;
        assert_eq!(source(&verdict), Some(public), "{}: {verdict}", pod.name);
        // With its own address, which is not public, it does not come back from there.
        let verdict = seen_by(PARTNER, netns).await;
        assert_eq!(verdict, Verdict::Refused, "{}", pod.name);
    }
    a_new_block_is_the_vpcs_own(&cluster).await;
    cluster.stop().unwrap();
}

/// What becomes a block of the VPC sees the pods' own addresses without a restart. Nothing is there
/// yet, so that the node's own rules are asked.
async fn a_new_block_is_the_vpcs_own(cluster: &Cluster) {
    let associate = [
        ("VpcId", cluster.networks.vpc.as_str()),
        ("CidrBlock", "10.7.0.0/16"),
    ];
    let ec2 = cluster.vpc.ec2();
    ec2.call("AssociateVpcCidrBlock", &associate).await.unwrap();
    let node = &cluster.nodes[0].node;
    let known = || async {
        let blocks = node.netns().run(|| {
            let mut list = std::process::Command::new("nft");
            let listed = list.args(["list", "set", "inet", "underlay", "source-kept"]);
            Ok(String::from_utf8(listed.output()?.stdout)?)
        })?;
        Ok(blocks.contains("10.7.0.0/16").then_some(()))
    };
    let waited = wait_for_async("the new block", Duration::from_secs(30), known).await;
    waited.unwrap();
}

/// The address inside the node of a pod whose own one is of IPv6.
fn node_local(pod: &Pod) -> Ipv4Addr {
    assert!(matches!(pod.addresses[..], [IpAddr::V6(_)]), "{pod:?}");
    let inside = all_addresses_inside(pod.netns().unwrap(), "eth0").unwrap();
    let block: Ipv4Net = "169.254.172.0/22".parse().unwrap();
    match inside[..] {
        [IpAddr::V4(local), own] if block.contains(&local) && own == pod.addresses[0] => local,
        _ => panic!("{} has {inside:?}", pod.name),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_ipv6_alone_reach_ipv4_addresses_as_their_node() {
    let config = "[addresses]\nfamilies = [\"v6\"]\n";
    let nodes = [("n1", 0), ("n2", 1)]
        .map(|(name, subnet)| NodeSpec::new(name, "m5.xlarge", subnet).with_agent_config(config));
    let cluster = Cluster::start_with_ipv6("e2e-v4-egress", &nodes).await;
    let mut cluster = cluster.unwrap();
    let public = connect_to_the_internet(&cluster).await;
    let outside = cluster.vpc.outside().unwrap();
    let _somebody = TcpServer::start(&outside, SOMEBODY, 80).unwrap();
    let (own, other) = (cluster.nodes[0].address, cluster.nodes[1].address);
    let _other = TcpServer::start(cluster.nodes[1].node.netns(), other, 80).unwrap();
    let mut pods = vec![run(&cluster, 0, "p0").await, run(&cluster, 0, "p1").await];
    let known = leases(&cluster);
    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
    assert_eq!(leases(&cluster), known);
    pods.push(run(&cluster, 0, "p2").await);
    let local: BTreeSet<Ipv4Addr> = pods.iter().map(node_local).collect();
    assert_eq!(local.len(), pods.len(), "{local:?}");
    for pod in &pods {
        let netns = pod.netns().unwrap();
        let verdict = seen_by(SOMEBODY, netns).await;
        assert_eq!(source(&verdict), Some(public), "{}: {verdict}", pod.name);
        let verdict = seen_by(other, netns).await;
        assert_eq!(
            source(&verdict),
            Some(own.into()),
            "{}: {verdict}",
            pod.name
        );
    }
    // It is nobody's address but the node's: not even a neighbour calls it.
    let to = SocketAddr::from((node_local(&pods[0]), 80));
    let _server = TcpServer::start(pods[0].netns().unwrap(), to.ip(), 80).unwrap();
    let verdict = tcp_probe(pods[1].netns().unwrap(), to, SILENCE).await;
    assert_eq!(verdict, Verdict::Refused);
    let verdict = tcp_probe(cluster.nodes[0].node.netns(), to, PATIENCE).await;
    assert_eq!(source(&verdict), Some(own.into()), "{verdict}");
    cluster.stop().unwrap();
}

fn leases(cluster: &Cluster) -> serde_json::Value {
    cluster.agent_status(0).unwrap()["leases"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_get_metadata_only_where_they_are_allowed_to() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1).with_agent_config("[pods]\nmetadata = \"allow\"\n"),
    ];
    let cluster = Cluster::start("e2e-metadata-access", &nodes).await.unwrap();
    let wanted = [false, true];
    for (node, wanted) in wanted.into_iter().enumerate() {
        let instance = cluster.nodes[node].instance.as_str();
        // The hop limit, which keeps pods out otherwise, lets them in.
        let options = [("InstanceId", instance), ("HttpPutResponseHopLimit", "2")];
        let modify = cluster
            .vpc
            .ec2()
            .call("ModifyInstanceMetadataOptions", &options);
        modify.await.unwrap();
        let own = imds_token(cluster.nodes[node].node.netns(), PATIENCE).unwrap();
        assert!(matches!(own, TokenAttempt::Token(_)), "{own:?}");
        let pod = run(&cluster, node, "pod").await;
        let wait = if wanted { PATIENCE } else { SILENCE };
        let attempt = imds_token(pod.netns().unwrap(), wait).unwrap();
        let is_given = matches!(attempt, TokenAttempt::Token(_));
        assert_eq!(is_given, wanted, "node {node}: {attempt:?}");
    }
    cluster.stop().unwrap();
}
