//! Somebody detaches an ENI by force while pods have its addresses: they have their network again
//! without anyone's doing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use underlay_testkit::{Cluster, NodeSpec, Pod, PodSpec, probe::TcpServer, wait_for_async};

/// Longer than the agent needs to notice and to attach, on a busy machine.
const NOTICED: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(2);

/// The index of an ENI on the node, if it is attached.
async fn index_of(cluster: &Cluster, eni: &str) -> Option<u32> {
    let instance = &cluster.nodes[0].instance;
    let attached = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    let found = attached.iter().find(|found| found.id.as_str() == eni)?;
    found.device_index
}

/// The ENI at index 1 of the node.
async fn second_eni(cluster: &Cluster) -> String {
    let instance = &cluster.nodes[0].instance;
    let attached = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    let second = attached.iter().find(|eni| eni.device_index == Some(1));
    second.unwrap().id.to_string()
}

async fn detach_by_force(cluster: &Cluster, eni: &str) {
    let ec2 = cluster.vpc.ec2();
    let which = [("NetworkInterfaceId.1", eni)];
    let described = ec2.call("DescribeNetworkInterfaces", &which).await.unwrap();
    let attachment = described.text_at("attachmentId").unwrap();
    let detach = [("AttachmentId", attachment.as_str()), ("Force", "true")];
    ec2.call("DetachNetworkInterface", &detach).await.unwrap();
}

/// Somebody's own ENI takes index 1 of the node.
async fn attach_somebodys(cluster: &Cluster) {
    let ec2 = cluster.vpc.ec2();
    let instance = cluster.nodes[0].instance.as_str();
    let which = [("InstanceId.1", instance)];
    let described = ec2.call("DescribeInstances", &which).await.unwrap();
    let subnet = described.find("subnetId").unwrap().text.clone();
    let create = [("SubnetId", subnet.as_str())];
    let created = ec2.call("CreateNetworkInterface", &create).await.unwrap();
    let eni = created.find("networkInterfaceId").unwrap().text.clone();
    let attach = [
        ("NetworkInterfaceId", eni.as_str()),
        ("InstanceId", instance),
        ("DeviceIndex", "1"),
    ];
    ec2.call("AttachNetworkInterface", &attach).await.unwrap();
}

/// Pods of the node with addresses of `eni`.
fn pods_of<'a>(cluster: &Cluster, pods: &'a [Pod], eni: &str) -> Vec<&'a Pod> {
    let leases = cluster.agent_status(0).unwrap()["leases"].clone();
    let of_eni = |pod: &&Pod| {
        let mut leases = leases.as_array().unwrap().iter();
        leases.any(|lease| lease["key"]["container"] == pod.id.as_str() && lease["eni"] == eni)
    };
    pods.iter().filter(of_eni).collect()
}

async fn wait_until_back(cluster: &Cluster, eni: &str, pods: &[Pod], server: &TcpServer) {
    let back = wait_for_async("pods to be back", NOTICED, || async {
        if index_of(cluster, eni).await.is_none() {
            return Ok(None);
        }
        for pod in pods {
            if server.reached_by(pod, WAIT).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    let status = || cluster.agent_status(0).unwrap();
    back.await
        .unwrap_or_else(|error| panic!("{error:#}: {:#}", status()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_whose_eni_was_detached_have_their_network_again_by_themselves() {
    let config = "[addresses]\nwarm_target = 1\n[drift]\ninterval = \"1s\"\n";
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config(config),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-detached", &nodes).await.unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut pods = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    let eni = second_eni(&cluster).await;
    assert_eq!(pods_of(&cluster, &pods, &eni).len(), 2);

    // Nobody is in its place: it comes back there.
    detach_by_force(&cluster, &eni).await;
    assert_eq!(index_of(&cluster, &eni).await, None);
    wait_until_back(&cluster, &eni, &pods, &server).await;
    assert_eq!(index_of(&cluster, &eni).await, Some(1));

    // Somebody takes its place: it comes back in the last slot.
    detach_by_force(&cluster, &eni).await;
    attach_somebodys(&cluster).await;
    wait_until_back(&cluster, &eni, &pods, &server).await;
    assert_eq!(index_of(&cluster, &eni).await, Some(2));
    let status = cluster.agent_status(0).unwrap();
    assert_eq!(status["cut_off"], serde_json::json!([]), "{status:#}");

    // The next agent goes on from there.
    cluster.nodes[0].node.kill_agent().unwrap();
    cluster.restart_agent(0).unwrap();
    for pod in &pods {
        server.reached_by(pod, WAIT).await.unwrap();
        cri.remove_pod(&pod.id).await.unwrap();
    }
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_own_eni_was_detached_gets_it_again() {
    let config = "[pods]\nown_eni = \"allow\"\n";
    let nodes = [
        NodeSpec::new("n1", "m5.large", 0).with_agent_config(config),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-detached-own", &nodes).await.unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut spec = PodSpec::named("own");
    let own = ("underlay.dev/eni".to_owned(), "own".to_owned());
    spec.annotations.push(own);
    let pod = cri.run_pod(&spec).await.unwrap();
    let leases = cluster.agent_status(0).unwrap()["leases"].clone();
    let eni = leases[0]["eni"].as_str().unwrap().to_owned();
    server.reached_by(&pod, WAIT).await.unwrap();

    // A device inside a pod is not looked at; the next agent is to ask EC2.
    let node = &mut cluster.nodes[0].node;
    node.kill_agent().unwrap();
    node.output("rm", &["/run/underlay/ec2.json"]).unwrap();
    detach_by_force(&cluster, &eni).await;
    server.reached_by(&pod, WAIT).await.unwrap_err();
    cluster.restart_agent(0).unwrap();
    wait_until_back(&cluster, &eni, std::slice::from_ref(&pod), &server).await;
    cri.remove_pod(&pod.id).await.unwrap();
    cluster.stop().unwrap();
}
