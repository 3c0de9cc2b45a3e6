//! `underlay-agent uninstall` leaves a node as if no agent had ever run there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use underlay_testkit::{Cluster, NodeSpec, PodSpec};

/// A node with pods of the default pool on two ENIs, and one of an explicit set on a third.
async fn busy_node(name: &str) -> Cluster {
    let node = NodeSpec::new("n1", "t3.small", 0);
    let cluster = Cluster::start(name, &[node]).await.unwrap();
    let (ec2, vpc) = (cluster.vpc.ec2(), &cluster.networks.vpc);
    let group = ec2.create_group(vpc, "a", true).await.unwrap();
    let mut cri = cluster.nodes[0].node.cri().await.unwrap();
    let explicit = PodSpec::named("set").with_groups([group.as_str()]);
    cri.run_pod(&explicit).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        cri.run_pod(&PodSpec::named(name)).await.unwrap();
    }
    let instance = &cluster.nodes[0].instance;
    assert_eq!(ec2.interfaces_of(instance).await.unwrap().len(), 3);
    assert_ne!(Traces::read(&cluster).await, Traces::none());
    cluster
}

/// Runs the program as a person would on the node.
fn uninstall(cluster: &Cluster) -> Output {
    let this = &cluster.nodes[0];
    let program = cluster.vpc.binaries().program("underlay-agent").unwrap();
    let mut command = this.node.command(&program);
    command
        .arg("--config")
        .arg(this.node.folder().join("agent.toml"))
        .arg("uninstall")
        .env("AWS_ENDPOINT_URL_EC2", &this.agent.ec2_endpoint);
    command.output().unwrap()
}

/// What an agent leaves on a node and in EC2.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    conflists: Vec<String>,
    /// Device index and secondary addresses of each ENI.
    enis: Vec<(Option<u32>, usize)>,
    nft_tables: String,
    mark_rules: Vec<String>,
    /// Routes in tables of ENIs.
    routes: Vec<String>,
    pod_devices: Vec<String>,
}

impl Traces {
    fn none() -> Self {
        Self {
            conflists: Vec::new(),
            enis: vec![(Some(0), 0)],
            nft_tables: String::new(),
            mark_rules: Vec::new(),
            routes: Vec::new(),
            pod_devices: Vec::new(),
        }
    }

    async fn read(cluster: &Cluster) -> Self {
        let this = &cluster.nodes[0];
        let lines = |program: &str, arguments: &[&str], wanted: &str| -> Vec<String> {
            let text = this.node.output(program, arguments).unwrap();
            let lines = text.lines().filter(|line| line.contains(wanted));
            lines.map(str::to_owned).collect()
        };
        let conflists = std::fs::read_dir(this.node.conf_dir()).unwrap();
        let enis = cluster.vpc.ec2().interfaces_of(&this.instance).await;
        Self {
            conflists: conflists
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect(),
            enis: enis
                .unwrap()
                .iter()
                .map(|eni| (eni.device_index, eni.secondaries.len()))
                .collect(),
            nft_tables: this.node.output("nft", &["list", "tables"]).unwrap(),
            mark_rules: lines("ip", &["rule", "show"], "fwmark"),
            routes: ["table 70", "dev und"]
                .iter()
                .flat_map(|ours| lines("ip", &["route", "show", "table", "all"], ours))
                .collect(),
            pod_devices: lines("ip", &["-oneline", "link", "show"], ": und"),
        }
    }
}

async fn assert_nothing_is_left(cluster: &Cluster, uninstalled: &Output) {
    let words = String::from_utf8_lossy(&uninstalled.stderr);
    assert!(uninstalled.status.success(), "{words}");
    assert_eq!(Traces::read(cluster).await, Traces::none(), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_agent_takes_everything_back_with_pods_on_the_node() {
    let cluster = busy_node("e2e-uninstall").await;
    let uninstalled = uninstall(&cluster);
    assert_nothing_is_left(&cluster, &uninstalled).await;
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_uninstall_takes_everything_back_itself() {
    let mut cluster = busy_node("e2e-uninstall-dead").await;
    cluster.nodes[0].node.kill_agent().unwrap();
    let uninstalled = uninstall(&cluster);
    assert_nothing_is_left(&cluster, &uninstalled).await;
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn enis_that_pods_own_are_taken_back_with_an_agent_and_without() {
    let config = "[pods]\nown_eni = \"allow\"";
    let node = NodeSpec::new("n1", "m5.large", 0).with_agent_config(config);
    for agent_runs in [true, false] {
        let nodes = std::slice::from_ref(&node);
        let mut cluster = Cluster::start("e2e-uninstall-own", nodes).await.unwrap();
        let mut cri = cluster.nodes[0].node.cri().await.unwrap();
        for name in ["a", "b"] {
            let mut spec = PodSpec::named(name);
            let annotation = ("underlay.dev/eni".to_owned(), "own".to_owned());
            spec.annotations.push(annotation);
            cri.run_pod(&spec).await.unwrap();
        }
        if !agent_runs {
            cluster.nodes[0].node.kill_agent().unwrap();
        }
        let uninstalled = uninstall(&cluster);
        assert_nothing_is_left(&cluster, &uninstalled).await;
        cluster.stop().unwrap();
    }
}
