//! The node recipe itself: Debian's containerd in a node's namespaces creates pods with Debian's
//! `ptp` plugin, and nothing is left when the node is gone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command, time::Duration};

use underlay_testkit::{
    Binaries, Netns, Node, PauseImage, PodSpec, RunDir, addresses_inside,
    probe::{Endpoint, TcpServer, Verdict, tcp_probe, udp_matrix},
    wait_for_async,
};

/// A network namespace and a run folder that end with the test.
struct Scene {
    name: String,
    run: RunDir,
}

impl Scene {
    fn new(name: &str) -> Self {
        let name = format!("ul-{name}-{}", std::process::id());
        let run = RunDir::create(&name).unwrap();
        let scene = Self { name, run };
        scene.ip(&["netns", "add", &scene.name]);
        scene.ip(&["-n", &scene.name, "link", "set", "lo", "up"]);
        scene
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(
            Command::new("ip")
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
    }

    fn netns(&self) -> std::path::PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ip(&["netns", "del", &self.name]);
        fs::remove_dir_all(self.run.path()).unwrap();
    }
}

/// Debian's plugins in place of ours; portmap is of the same age and is left out.
const CONFLIST: &str = r#"{"cniVersion": "1.0.0", "name": "ptp-test", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "/run/node/ipam",
   "ranges": [[{"subnet": "10.88.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

fn groups_of(node: &str) -> Vec<String> {
    let controllers = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let groups = controllers.map(|controller| controller.path().join(node));
    groups
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_runs_pods_and_leaves_nothing() {
    let scene = Scene::new("ptp");
    let image = PauseImage::build(scene.run.path()).unwrap();
    let binaries = Binaries::find().unwrap();
    let mut node = Node::boot(&scene.run, "n1", &scene.netns(), &binaries, &image).unwrap();
    for plugin in ["ptp", "host-local"] {
        let target = Path::new("/usr/lib/cni").join(plugin);
        std::os::unix::fs::symlink(target, node.bin_dir().join(plugin)).unwrap();
    }
    node.start_containerd(&image).await.unwrap();
    let mut cri = node.cri().await.unwrap();
    assert!(!cri.network_ready().await.unwrap());
    fs::write(node.conf_dir().join("10-ptp.conflist"), CONFLIST).unwrap();
    wait_for_async("the network", Duration::from_secs(10), || {
        let mut cri = cri.clone();
        async move { Ok(cri.network_ready().await?.then_some(())) }
    })
    .await
    .unwrap();

    let a = cri.run_pod(&PodSpec::named("a")).await.unwrap();
    let b = cri.run_pod(&PodSpec::named("b")).await.unwrap();
    let host = PodSpec {
        host_network: true,
        ..PodSpec::named("host")
    };
    let host = cri.run_pod(&host).await.unwrap();
    assert!(host.netns.is_none());
    for pod in [&a, &b] {
        assert_eq!(
            addresses_inside(pod.netns().unwrap(), "eth0").unwrap(),
            [pod.address]
        );
        let result = &pod.cni_result["Interfaces"]["eth0"]["IPConfigs"][0]["IP"];
        assert_eq!(
            result.as_str(),
            Some(pod.address.to_string().as_str()),
            "{}",
            pod.cni_result
        );
    }

    assert_probes_tell_what_happens(&a, &b).await;

    cri.remove_pod(&a.id).await.unwrap();
    let mut left = [b.id.clone(), host.id.clone()];
    left.sort();
    let mut listed = cri.list_pods().await.unwrap();
    listed.sort();
    assert_eq!(listed, left);

    let cgroup = node.cgroup().to_owned();
    assert!(!groups_of(&cgroup).is_empty());
    let root = format!("{}/", scene.run.path().display());
    drop((a, b, cri, node));
    assert_eq!(groups_of(&cgroup), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&root), "{mounts}");
}

async fn assert_probes_tell_what_happens(a: &underlay_testkit::Pod, b: &underlay_testkit::Pod) {
    let endpoints = [a, b].map(|pod| Endpoint {
        name: pod.name.clone(),
        address: pod.address,
        netns: Netns::clone(pod.netns().unwrap()),
    });
    // The node forwards only once it is told to.
    let wait = Duration::from_millis(300);
    let server = TcpServer::start(&endpoints[1].netns, b.address, 80).unwrap();
    let to_b = tcp_probe(&endpoints[0].netns, server.address, wait).await;
    assert!(
        matches!(to_b, Verdict::Allowed(seen) if seen.ip() == a.address),
        "{to_b}"
    );
    let nobody = tcp_probe(&endpoints[0].netns, (b.address, 81).into(), wait).await;
    assert!(matches!(nobody, Verdict::Broken(_)), "{nobody}");

    let seen = udp_matrix(&endpoints, 7777).await.unwrap();
    let seen: Vec<Vec<_>> = seen
        .iter()
        .map(|row| row.iter().map(|one| one.map(|one| one.ip())).collect())
        .collect();
    assert_eq!(
        seen,
        [
            [None, Some(a.address.into())],
            [Some(b.address.into()), None]
        ]
    );
}
