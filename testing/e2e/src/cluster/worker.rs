//! A node for pods: containerd, kubelet, kube-proxy and the agent.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::json;
use underlay_testkit::{Binaries, ClusterNode, Containerd, NodeSpec};

use super::{
    control_plane::{Caller, DNS_ADDRESSES},
    programs::Programs,
};

/// Sections of the agent's configuration: pods of both families, and what containerd 2 understands.
const AGENT: &str =
    "[addresses]\nfamilies = [\"v4\", \"v6\"]\n[conflist]\ncni_version = \"1.1.0\"\n";

/// 4 interfaces with 14 addresses for pods each: few enough that pods come to be on several.
const INSTANCE_TYPE: &str = "m5.xlarge";
/// Its pods, and two that use the node's own address: the number that EKS gives for the type.
const MAX_PODS: u32 = 58;

/// Where the VPC answers names, from every instance and pod.
const VPC_RESOLVER: &str = "169.254.169.253";

/// Settings of the whole machine that kubelet wants to make. Nodes see the wanted values there, so
/// that the machine's stay what they are.
const SHOWN_SETTINGS: [(&str, &str); 5] = [
    ("vm/overcommit_memory", "1"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// How kube-proxy carries out Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProxyMode {
    /// By nftables.
    Nftables,
    /// By iptables.
    Iptables,
}

impl ProxyMode {
    /// Its name in kube-proxy's configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// What a node is to be.
pub(super) fn spec(name: &str, subnet: usize) -> NodeSpec {
    NodeSpec::new(name, INSTANCE_TYPE, subnet).with_agent_config(AGENT)
}

/// What nodes of one cluster have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common<'a> {
    /// Kubernetes's programs.
    pub(super) programs: &'a Programs,
    /// Ours.
    pub(super) binaries: &'a Binaries,
    /// The archives with the images.
    pub(super) images: &'a [PathBuf],
    /// Where the API server is.
    pub(super) server: Ipv4Addr,
    /// How Services are carried out.
    pub(super) proxy: ProxyMode,
}

/// Starts everything on `machine`, which has only booted. Returns when kubelet was started.
///
/// # Errors
/// When a file cannot be written or a program does not start.
pub(super) async fn start(machine: &mut ClusterNode, common: Common<'_>) -> anyhow::Result<()> {
    let runtime = common.programs.containerd();
    machine.start_agent(common.binaries)?;
    machine.node.create_cgroups()?;
    show_settings(machine)?;
    machine.node.start_runtime(&runtime).await?;
    import(machine, &runtime, common.images)?;
    start_kubelet(machine, common)?;
    start_proxy(machine, common)
}

fn show_settings(machine: &ClusterNode) -> anyhow::Result<()> {
    let folder = machine.node.folder();
    for (index, (setting, value)) in SHOWN_SETTINGS.iter().enumerate() {
        let shown = folder.join(format!("setting-{index}"));
        fs::write(&shown, value).with_context(|| format!("writing {}", shown.display()))?;
        let shown = shown.to_str().context("a path that is not text")?;
        let place = format!("/proc/sys/{setting}");
        machine.node.output("mount", &["--bind", shown, &place])?;
    }
    Ok(())
}

fn import(machine: &ClusterNode, runtime: &Containerd, images: &[PathBuf]) -> anyhow::Result<()> {
    let mut images = images.iter();
    images.try_for_each(|archive| machine.node.import_image(runtime, archive))
}

fn start_kubelet(machine: &mut ClusterNode, common: Common<'_>) -> anyhow::Result<()> {
    let folder = machine.node.folder().to_owned();
    let name = machine.node.name().to_owned();
    let own_ipv6 = machine.ipv6.context("a node without an IPv6 address")?;
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, format!("nameserver {VPC_RESOLVER}\n")).context("writing resolv.conf")?;
    let kubeconfig = write_json(
        &folder.join("kubelet-kubeconfig"),
        &Caller::Kubelet(&name).kubeconfig(common.server),
    )?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", machine.node.cgroup()),
        "clusterDNS": DNS_ADDRESSES,
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "kubeAPIBurst": 400,
        "kubeAPIQPS": 200,
        "makeIPTablesUtilChains": false,
        "maxPods": MAX_PODS,
        "nodeStatusUpdateFrequency": "3s",
        "oomScoreAdj": 0,
        "resolvConf": resolver,
        "serializeImagePulls": false,
        "volumePluginDir": "/var/lib/kubelet/plugins/exec",
        "volumeStatsAggPeriod": "0s",
    });
    let config = write_json(&folder.join("kubelet.json"), &config.to_string())?;
    let mut command = machine.node.command(&common.programs.path("kubelet"));
    command
        .args(["--config", &config, "--kubeconfig", &kubeconfig])
        .args(["--root-dir=/var/lib/kubelet", "--v=2"])
        .arg("--cert-dir=/var/lib/kubelet/pki")
        .arg(format!("--hostname-override={name}"))
        .arg(format!("--node-ip={},{own_ipv6}", machine.address))
        // It would ask the instance's metadata for credentials of registries.
        .env("AWS_EC2_METADATA_DISABLED", "true");
    machine.node.start_service("kubelet", &mut command)
}

fn start_proxy(machine: &mut ClusterNode, common: Common<'_>) -> anyhow::Result<()> {
    let folder = machine.node.folder().to_owned();
    let kubeconfig = write_json(
        &folder.join("kube-proxy-kubeconfig"),
        &Caller::Proxy.kubeconfig(common.server),
    )?;
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": common.proxy.name(),
        "clientConnection": {"kubeconfig": kubeconfig},
        // Zeros: limits and timeouts of connection tracking are the machine's.
        "conntrack": {
            "maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s",
        },
        // Pods have addresses of the VPC like everybody else; their devices tell them apart.
        "detectLocalMode": "InterfaceNamePrefix",
        "detectLocal": {"interfaceNamePrefix": "und"},
        "healthzBindAddress": "127.0.0.1:10256",
        "hostnameOverride": machine.node.name(),
        "oomScoreAdj": 0,
    });
    let config = write_json(&folder.join("kube-proxy.json"), &config.to_string())?;
    let mut command = machine.node.command(&common.programs.path("kube-proxy"));
    command.args(["--config", &config, "--v=2"]);
    machine.node.start_service("kube-proxy", &mut command)
}

/// Writes a file and returns its path as text.
fn write_json(path: &Path, text: &str) -> anyhow::Result<String> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    let path = path.to_str().context("a path that is not text")?;
    Ok(path.to_owned())
}
