//! GC removes what the runtime does not list, all of it, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use underlay_netplan::names;
use underlay_testkit::{Cluster, Netns, Node, NodeSpec, PodSpec, probe::DatagramStream, wait_for};
use underlay_types::LeaseKey;

/// A container of a runtime that is played by hand: a namespace, and what its ADD was told.
struct Container {
    name: &'static str,
    extra: Value,
    result: Value,
}

impl Container {
    fn add(node: &Node, name: &'static str, extra: &Value) -> Self {
        node.output("ip", &["netns", "add", name]).unwrap();
        let mut extra = extra.clone();
        extra["cniVersion"] = json!("1.1.0");
        let result = node.cni_eth0("ADD", name, &extra).unwrap();
        assert!(result["ips"].is_array(), "{result}");
        let mut container = Self {
            name,
            extra,
            result: Value::Null,
        };
        container.result = result;
        container
    }

    fn address(&self) -> String {
        let address = self.result["ips"][0]["address"].as_str().unwrap();
        address.split('/').next().unwrap().to_owned()
    }

    fn device(&self) -> String {
        names::host_device(&self.key())
    }

    fn key(&self) -> LeaseKey {
        LeaseKey {
            network: "underlay".parse().unwrap(),
            container: self.name.parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        }
    }

    /// The code of CHECK, 0 for success.
    fn check(&self, node: &Node) -> i64 {
        let mut extra = self.extra.clone();
        extra["prevResult"] = self.result.clone();
        let answer = node.cni_eth0("CHECK", self.name, &extra).unwrap();
        answer["code"].as_i64().unwrap_or_default()
    }

    fn remove(&self, node: &Node) {
        assert_eq!(
            node.cni_eth0("DEL", self.name, &self.extra).unwrap(),
            Value::Null
        );
        node.output("ip", &["netns", "del", self.name]).unwrap();
    }
}

/// Has the agent collect whatever is not of `valid`; returns what the plugin printed.
fn gc(node: &Node, network: &str, valid: &[&Container]) -> Value {
    let attachment =
        |container: &&Container| json!({"containerID": container.name, "ifname": "eth0"});
    let valid: Vec<Value> = valid.iter().map(attachment).collect();
    let extra = json!({"cniVersion": "1.1.0", "name": network, "cni.dev/valid-attachments": valid});
    node.cni_eth0("GC", "", &extra).unwrap()
}

fn leases(cluster: &Cluster) -> BTreeSet<String> {
    let status = cluster.agent_status(0).unwrap();
    let leases = status["leases"].as_array().unwrap().iter();
    let container = |lease: &Value| lease["key"]["container"].as_str().unwrap().to_owned();
    leases.map(container).collect()
}

/// Where the node's kernel speaks of a container: routes, rules of the firewall, neighbours.
fn traces(node: &Node, container: &Container) -> Vec<String> {
    let (address, device) = (container.address(), container.device());
    let commands: [(&str, &[&str]); 4] = [
        ("ip", &["route", "show", "table", "all"]),
        ("ip", &["neighbour", "show"]),
        ("ip", &["rule", "show"]),
        ("nft", &["list", "ruleset"]),
    ];
    let mut found = Vec::new();
    for (program, words) in commands {
        let text = node.output(program, words).unwrap();
        let words = |line: &str| -> Vec<String> {
            let separated = |c: char| c.is_whitespace() || "\",{}:".contains(c);
            line.split(separated).map(str::to_owned).collect()
        };
        // The kernel's own routes of a device go with it.
        let speaks = |line: &&str| {
            let words = words(line);
            let names = |word: &String| *word == address || *word == device;
            words.iter().any(names) && !line.contains("proto kernel")
        };
        found.extend(text.lines().filter(speaks).map(str::to_owned));
    }
    found
}

/// How many addresses cool down.
fn cooling(cluster: &Cluster) -> u64 {
    let status = cluster.agent_status(0).unwrap();
    let pools = status["pools"].as_array().unwrap().iter();
    pools.map(|pool| pool["cooling"].as_u64().unwrap()).sum()
}

/// Waits until the stream has delivered some more.
fn flow(stream: &DatagramStream) {
    let before = stream.arrived();
    let waited = wait_for("datagrams to arrive", Duration::from_secs(30), || {
        Ok((stream.arrived() >= before + 50).then_some(()))
    });
    waited.unwrap();
}

fn has_device(node: &Node, container: &Container) -> bool {
    let links = node.output("ip", &["-oneline", "link", "show"]).unwrap();
    links.contains(&container.device())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_stays_with_its_traffic_and_the_rest_goes_completely() {
    let nodes = [
        NodeSpec::new("n1", "t3.small", 0),
        NodeSpec::new("n2", "t3.small", 1),
    ];
    let cluster = Cluster::start("e2e-gc", &nodes).await.unwrap();
    let group = cluster
        .vpc
        .ec2()
        .create_group(&cluster.networks.vpc, "a", true)
        .await
        .unwrap();
    let mut cri = cluster.nodes[1].node.cri().await.unwrap();
    let peer = cri.run_pod(&PodSpec::named("peer")).await.unwrap();
    let node = &cluster.nodes[0].node;
    let (own, set) = (json!({}), json!({"securityGroups": [group.as_str()]}));
    let kept = [("kept", &own), ("kept-set", &set)];
    let gone = [("gone", &own), ("gone-set", &set), ("gone-too", &own)];
    let kept = kept.map(|(name, extra)| Container::add(node, name, extra));
    let gone = gone.map(|(name, extra)| Container::add(node, name, extra));
    for container in gone.iter().chain(&kept) {
        assert!(!traces(node, container).is_empty(), "{}", container.name);
        assert_eq!(container.check(node), 0, "{}", container.name);
    }
    let netns = Netns::open(&node.inside("/run/netns/kept")).unwrap();
    let to = SocketAddr::from((peer.address, 5001));
    let stream = DatagramStream::start(&netns, peer.netns().unwrap(), to).unwrap();
    flow(&stream);

    assert_eq!(gc(node, "other", &[]), Value::Null);
    assert_eq!(
        leases(&cluster).len(),
        5,
        "another network's list says nothing"
    );
    assert_eq!(gc(node, "underlay", &[&kept[0], &kept[1]]), Value::Null);
    let names = ["kept".to_owned(), "kept-set".to_owned()];
    assert_eq!(leases(&cluster), BTreeSet::from(names.clone()));
    for container in &gone {
        assert_eq!(traces(node, container), Vec::<String>::new());
        assert_eq!(container.check(node), 101, "{}", container.name);
    }
    wait_for("the devices to go", Duration::from_secs(20), || {
        Ok((!gone.iter().any(|container| has_device(node, container))).then_some(()))
    })
    .unwrap();
    assert_eq!(cooling(&cluster), 3);
    for container in &kept {
        assert_eq!(container.check(node), 0, "{}", container.name);
    }
    flow(&stream);
    let delivery = stream.end();
    assert_eq!(delivery.lost, 0, "{delivery:?}");

    // Once more, and what runtimes do then.
    assert_eq!(gc(node, "underlay", &[&kept[0], &kept[1]]), Value::Null);
    assert_eq!(leases(&cluster), BTreeSet::from(names));
    for container in gone.iter().chain(&kept) {
        container.remove(node);
    }
    assert_eq!(leases(&cluster), BTreeSet::new());
    cluster.stop().unwrap();
}

/// The runtime lists what it knows, and meanwhile asks for a pod again. Whichever is first, the
/// pod stands as its ADD answered, or nothing of it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_gc_beside_an_add_of_the_same_key_leaves_a_whole_pod_or_none() {
    let spec = NodeSpec::new("n1", "t3.small", 0)
        .with_agent_config("[addresses]\ncooldown = \"0s\"\nwarm_target = 3\n");
    let cluster = Cluster::start("e2e-gc-race", &[spec]).await.unwrap();
    let node = &cluster.nodes[0].node;
    let mut container = Container::add(node, "busy", &json!({}));
    let mut stood = 0;
    for round in 0..60 {
        let (again, collected) = std::thread::scope(|scope| {
            let again = scope.spawn(|| node.cni_eth0("ADD", "busy", &container.extra).unwrap());
            let collected = scope.spawn(|| gc(node, "underlay", &[]));
            (again.join().unwrap(), collected.join().unwrap())
        });
        assert_eq!(collected, Value::Null, "round {round}");
        assert!(again["ips"].is_array(), "round {round}: {again}");
        container.result = again;
        if leases(&cluster).is_empty() {
            assert_eq!(
                traces(node, &container),
                Vec::<String>::new(),
                "round {round}"
            );
            assert_eq!(container.check(node), 101, "round {round}");
            container.result = node.cni_eth0("ADD", "busy", &container.extra).unwrap();
        } else {
            stood += 1;
        }
        assert_eq!(container.check(node), 0, "round {round}");
    }
    println!("the ADD was last in {stood} of 60 rounds");
    container.remove(node);
    cluster.stop().unwrap();
}
