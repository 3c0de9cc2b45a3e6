//! A node that reboots: /run is empty, every namespace and device is new, and EC2 has all it had.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path, time::Duration};

use serde_json::{Value, json};
use underlay_testkit::{
    Cluster, Cri, Interface, NETWORK_DEADLINE, NodeSpec, PauseImage, Pod, PodSpec,
    probe::TcpServer, wait_for_async,
};

const WAIT: Duration = Duration::from_secs(5);

async fn interfaces(cluster: &Cluster) -> Vec<Interface> {
    let instance = &cluster.nodes[0].instance;
    let mut all = cluster.vpc.ec2().interfaces_of(instance).await.unwrap();
    all.sort_by_key(|eni| eni.device_index);
    all
}

/// The configuration that the runtime finds, and when it was written.
fn conflist(cluster: &Cluster) -> (String, std::time::SystemTime) {
    let entries = fs::read_dir(cluster.nodes[0].node.conf_dir()).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let [path] = paths.as_slice() else {
        panic!("one configuration, not {paths:?}")
    };
    let written = path.metadata().unwrap().modified().unwrap();
    (fs::read_to_string(path).unwrap(), written)
}

/// Stops and starts the instance: EC2 keeps its ENIs, and the kernel that comes knows nothing.
async fn reboot(cluster: &mut Cluster) {
    cluster.nodes[0].node.power_off().unwrap();
    let (vpc, node) = (&cluster.vpc, &mut cluster.nodes[0]);
    let id = node.instance.to_string();
    let is = |wanted: &'static str| {
        let id = id.clone();
        async move {
            let parameters = [("InstanceId.1", id.as_str())];
            let shown = vpc.ec2().call("DescribeInstances", &parameters).await?;
            let state = shown.find("instanceState").unwrap();
            Ok((state.text_of("name") == Some(wanted)).then_some(()))
        }
    };
    for (action, state) in [("StopInstances", "stopped"), ("StartInstances", "running")] {
        let parameters = [("InstanceId.1", id.as_str())];
        vpc.ec2().call(action, &parameters).await.unwrap();
        let waited = wait_for_async(state, Duration::from_secs(30), || is(state));
        waited.await.unwrap();
    }
    let netns = Path::new("/run/netns").join(&id);
    node.node.power_on(vpc.run_dir(), &netns).unwrap();
}

/// What an agent puts into a kernel, in words; empty on a node without one.
fn traces(cluster: &Cluster) -> String {
    let node = &cluster.nodes[0].node;
    let tables = node.output("nft", &["list", "tables"]).unwrap();
    let rules = node.output("ip", &["rule", "show"]).unwrap();
    let marks = rules.lines().filter(|rule| rule.contains("fwmark"));
    let links = node.output("ip", &["-br", "link"]).unwrap();
    let pods = links.lines().filter(|link| link.starts_with("und"));
    [tables.trim()]
        .into_iter()
        .chain(marks)
        .chain(pods)
        .collect()
}

/// The runtime is first, and finds the configuration that lies there; pods have to wait. Then the
/// agent starts. Returns a client of the runtime, and what the agent knows.
async fn start_programs(cluster: &mut Cluster, image: &PauseImage) -> (Cri, Value) {
    let one = &mut cluster.nodes[0];
    one.node.start_containerd(image).await.unwrap();
    let mut cri = one.node.cri().await.unwrap();
    assert!(cri.network_ready().await.unwrap());
    let early = cri.run_pod(&PodSpec::named("early")).await.unwrap_err();
    let early = format!("{early:#}");
    assert!(early.contains("underlay-agent"), "{early}");
    one.start_agent(cluster.vpc.binaries()).unwrap();
    let up = wait_for_async("the agent to serve", NETWORK_DEADLINE, || async {
        Ok(cluster.agent_status(0).ok())
    });
    (cri, up.await.unwrap())
}

async fn assert_reach(pods: &[Pod], server: &TcpServer) {
    for pod in pods {
        server.reached_by(pod, WAIT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_the_node_has_its_enis_no_pods_and_every_address_to_give() {
    // The rest of the ENI that the fourth pod needs is all that there will ever be.
    let config = "[addresses]\nmax_enis = 2\nwarm_target = 2\n";
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0).with_agent_config(config),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let mut cluster = Cluster::start("e2e-reboot", &nodes).await.unwrap();
    let image = PauseImage::build(cluster.vpc.run_dir().path()).unwrap();
    let mut other = cluster.nodes[1].node.cri().await.unwrap();
    let peer = other.run_pod(&PodSpec::named("peer")).await.unwrap();
    let server = TcpServer::start(peer.netns().unwrap(), peer.address, 80).unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let mut old = Vec::new();
    for name in ["a", "b", "c", "d"] {
        old.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    assert_reach(&old, &server).await;
    let settled = wait_for_async("the pool to be full", Duration::from_secs(30), || async {
        let status = cluster.agent_status(0)?;
        Ok((status["pools"][0]["free"] == 2).then_some(()))
    });
    settled.await.unwrap();
    let (before, written) = (interfaces(&cluster).await, conflist(&cluster));
    assert_eq!(before.len(), 2);

    reboot(&mut cluster).await;
    assert_eq!(traces(&cluster), "", "the kernel that came knows nothing");
    assert_eq!(interfaces(&cluster).await, before);
    let (mut cri, status) = start_programs(&mut cluster, &image).await;
    assert_eq!(status["leases"], json!([]), "{status:#}");
    assert_eq!(conflist(&cluster), written, "it is not written again");

    // What the runtime remembers of its old pods goes, as it does whenever kubelet says so.
    let known: BTreeSet<String> = cri.list_pods().await.unwrap().into_iter().collect();
    for pod in &old {
        assert!(
            known.contains(&pod.id),
            "the runtime has forgotten {}",
            pod.name
        );
        cri.remove_pod(&pod.id).await.unwrap();
    }
    let mut pods = Vec::new();
    for name in ["e", "f", "g", "h", "i", "j"] {
        pods.push(cri.run_pod(&PodSpec::named(name)).await.unwrap());
    }
    let given: BTreeSet<Ipv4Addr> = pods.iter().map(|pod| pod.address).collect();
    let had = before.iter().flat_map(|eni| eni.secondaries.clone());
    assert_eq!(given, had.collect(), "each address that there was, once");
    assert_reach(&pods, &server).await;
    assert_eq!(interfaces(&cluster).await, before, "nothing was created");
    for pod in &pods {
        cri.remove_pod(&pod.id).await.unwrap();
    }
    assert_eq!(cluster.agent_status(0).unwrap()["leases"], json!([]));
    cluster.stop().unwrap();
}
