//! Podman: a caller of the plugin that knows nothing of Kubernetes and is not containerd.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{fs, net::Ipv4Addr, path::Path, process::Command, time::Duration};

use underlay_testkit::{
    Cluster, Netns, NodeSpec, PauseImage,
    probe::{TcpServer, Verdict, tcp_probe},
    wait_for,
};

/// How long what is allowed may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// A deadline, not an expectation.
const DEADLINE: Duration = Duration::from_secs(60);

/// Podman on the first node, with the agent's conflist as one of its networks.
struct Podman<'a>(&'a Cluster);

impl<'a> Podman<'a> {
    /// Root has fewer rights here than podman's defaults take for granted, and there is no systemd.
    fn set_up(cluster: &'a Cluster) -> Self {
        let node = &cluster.nodes[0].node;
        let config = format!(
            r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
# Not in memory that all nodes share: the first ones on a machine would make it at the same time.
lock_type = "file"
tmp_dir = "/run/node/podman/tmp"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "{}"
cni_plugin_dirs = ["{}"]
"#,
            node.conf_dir().display(),
            node.bin_dir().display()
        );
        let storage = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/node/podman/run\"\n\
                       graphroot = \"/run/node/podman/graph\"\n";
        fs::write(node.folder().join("containers.conf"), config).unwrap();
        fs::write(node.folder().join("storage.conf"), storage).unwrap();
        let podman = Self(cluster);
        let image = PauseImage::build(node.folder()).unwrap();
        podman.run(&["load", "--quiet", "--input", text(&image.archive)]);
        podman
    }

    fn command(&self, words: &[&str]) -> Command {
        let node = &self.0.nodes[0].node;
        let mut command = node.command(Path::new("podman"));
        command
            .args(words)
            .env("CONTAINERS_CONF", node.folder().join("containers.conf"))
            .env(
                "CONTAINERS_STORAGE_CONF",
                node.folder().join("storage.conf"),
            );
        command
    }

    fn try_run(&self, words: &[&str]) -> Result<String, String> {
        let output = self.command(words).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn run(&self, words: &[&str]) -> String {
        self.try_run(words)
            .unwrap_or_else(|error| panic!("podman {words:?}: {error}"))
    }

    fn start(&self, name: &str, more: &[&str]) -> Container {
        self.start_on("underlay", name, more)
    }

    fn start_on(&self, network: &str, name: &str, more: &[&str]) -> Container {
        let cgroup = format!("/{}", self.0.nodes[0].node.cgroup());
        let mut words = vec!["run", "--detach", "--network", network, "--name", name];
        words.extend(["--cgroup-parent", &cgroup]);
        words.extend(more);
        words.push(PauseImage::NAME);
        let id = self.run(&words);
        let inspect = |format| self.run(&["inspect", "--format", format, &id]);
        // Where it is as seen from outside: podman's view is the node's.
        let sandbox = inspect("{{.NetworkSettings.SandboxKey}}");
        let netns = self.0.nodes[0].node.inside(&sandbox);
        let address = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        Container {
            address: inspect(&address).parse().unwrap(),
            netns: Netns::open(&netns).unwrap(),
            id,
        }
    }
}

struct Container {
    id: String,
    address: Ipv4Addr,
    netns: Netns,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn leased(cluster: &Cluster) -> Vec<serde_json::Value> {
    let status = cluster.agent_status(0).unwrap();
    status["leases"].as_array().unwrap().clone()
}

/// A node with an agent, and no runtime that stays.
async fn node(name: &str) -> Cluster {
    let nodes = [
        NodeSpec::new("n1", "t3.medium", 0).with_agent_config("[addresses]\ncooldown = \"0s\"\n"),
        NodeSpec::new("n2", "t3.medium", 1),
    ];
    let cluster = Cluster::start(name, &nodes).await.unwrap();
    let conflist = cluster.nodes[0]
        .node
        .conf_dir()
        .join("10-underlay.conflist");
    wait_for("the conflist", DEADLINE, || {
        Ok(conflist.exists().then_some(()))
    })
    .unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_podman_is_on_the_vpc_until_it_is_removed() {
    let cluster = node("e2e-podman").await;
    let podman = Podman::set_up(&cluster);
    let (one, two) = (podman.start("one", &[]), podman.start("two", &[]));
    assert_eq!(leased(&cluster).len(), 2);
    let ec2 = cluster.vpc.ec2();
    let enis = ec2.interfaces_of(&cluster.nodes[0].instance).await.unwrap();
    for container in [&one, &two] {
        let held = enis
            .iter()
            .any(|eni| eni.secondaries.contains(&container.address));
        assert!(held, "{}: {enis:?}", container.address);
    }
    // From each other, and from another node, with its own address.
    let _server = TcpServer::start(&one.netns, one.address, 80).unwrap();
    let to = (one.address, 80).into();
    let other = &cluster.nodes[1];
    for (from, own) in [
        (&two.netns, two.address),
        (other.node.netns(), other.address),
    ] {
        let verdict = tcp_probe(from, to, PATIENCE).await;
        assert!(verdict.shows(std::net::IpAddr::from(own)), "{verdict}");
    }
    // Stopping, starting and removing are DEL, ADD and DEL.
    podman.run(&["stop", "--time", "0", &one.id]);
    assert_eq!(leased(&cluster).len(), 1);
    podman.run(&["start", &one.id]);
    assert_eq!(leased(&cluster).len(), 2);
    podman.run(&["rm", "--force", "--time", "0", &one.id, &two.id]);
    assert_eq!(leased(&cluster).len(), 0);
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_port_of_podman_answers_from_another_node() {
    let cluster = node("e2e-podman-port").await;
    let podman = Podman::set_up(&cluster);
    let one = podman.start("one", &["--publish", "8080:80"]);
    let _server = TcpServer::start(&one.netns, one.address, 80).unwrap();
    let to = (cluster.nodes[0].address, 8080).into();
    let other = cluster.nodes[1].node.netns();
    let verdict = tcp_probe(other, to, PATIENCE).await;
    assert!(matches!(verdict, Verdict::Allowed(_)), "{verdict}");
    podman.run(&["rm", "--force", "--time", "0", &one.id]);
    // Nobody listens: the node itself says so.
    let verdict = tcp_probe(other, to, PATIENCE).await;
    assert!(matches!(verdict, Verdict::Broken(_)), "{verdict}");
    cluster.stop().unwrap();
}

/// Podman passes no annotations: a conflist of its own asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_podman_owns_an_eni_by_a_conflist() {
    let cluster = node("e2e-podman-own").await;
    let folder = cluster.nodes[0].node.conf_dir();
    let list = fs::read_to_string(folder.join("10-underlay.conflist")).unwrap();
    let mut list: serde_json::Value = serde_json::from_str(&list).unwrap();
    list["name"] = "underlay-own".into();
    list["plugins"][0]["eni"] = "own".into();
    fs::write(folder.join("20-own.conflist"), list.to_string()).unwrap();
    let podman = Podman::set_up(&cluster);
    let one = podman.start_on("underlay-own", "one", &[]);
    let ec2 = cluster.vpc.ec2();
    let enis = ec2.interfaces_of(&cluster.nodes[0].instance).await.unwrap();
    let owned = enis.iter().find(|eni| eni.primary == one.address).unwrap();
    let on_node = || {
        let links = cluster.nodes[0].node.output("ip", &["-brief", "link"]);
        links.unwrap().contains(&owned.mac)
    };
    assert!(!on_node(), "{owned:?}");
    let server = TcpServer::start(&one.netns, one.address, 80).unwrap();
    let other = &cluster.nodes[1];
    let verdict = tcp_probe(other.node.netns(), (one.address, 80).into(), PATIENCE).await;
    let seen = verdict.shows(other.address);
    assert!(seen, "{verdict}");
    drop(server);
    podman.run(&["rm", "--force", "--time", "0", &one.id]);
    assert_eq!(leased(&cluster).len(), 0);
    assert!(on_node());
    cluster.stop().unwrap();
}
