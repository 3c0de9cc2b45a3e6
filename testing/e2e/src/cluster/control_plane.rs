//! The control plane, on an instance of its own: etcd, API server, controllers, scheduler.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use underlay_testkit::{ClusterNode, Node};

use super::programs::Programs;

/// The blocks of Services; not of the VPC's.
const SERVICE_BLOCKS: &str = "10.96.0.0/16,fd10:96::/112";
/// The name server's addresses in them.
pub(super) const DNS_ADDRESSES: [&str; 2] = ["10.96.0.10", "fd10:96::a"];

/// Who calls the API server. The token is the name: the server is reached in this VPC only.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller<'a> {
    /// May do everything.
    Administrator,
    /// kube-proxy of any node.
    Proxy,
    /// kubelet of a node.
    Kubelet(&'a str),
}

impl Caller<'_> {
    fn token(self) -> String {
        match self {
            Self::Administrator => "administrator".to_owned(),
            Self::Proxy => "proxy".to_owned(),
            Self::Kubelet(node) => format!("kubelet-{node}"),
        }
    }

    /// A line of the API server's file of tokens: token, user, id, groups.
    fn record(self) -> String {
        let (user, group) = match self {
            Self::Administrator => ("administrator".to_owned(), "system:masters"),
            Self::Proxy => ("system:kube-proxy".to_owned(), "system:authenticated"),
            Self::Kubelet(node) => (format!("system:node:{node}"), "system:nodes"),
        };
        format!("{},{user},{user},{group}\n", self.token())
    }

    /// Its configuration for the API server at `server`.
    pub(super) fn kubeconfig(self, server: Ipv4Addr) -> String {
        let cluster = json!({
            "server": format!("https://{server}:6443"),
            "insecure-skip-tls-verify": true,
        });
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": self.token()}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "me"}}],
            "current-context": "local",
        })
        .to_string()
    }
}

/// Starts etcd and the API server on `machine`; `nodes` are the names of nodes that may join.
///
/// # Errors
/// When a file cannot be written or a program cannot be started.
pub(super) fn start_server(
    machine: &mut ClusterNode,
    programs: &Programs,
    nodes: &[&str],
) -> anyhow::Result<()> {
    let folder = machine.node.folder().to_owned();
    let files = Files::of(&folder);
    files.write(machine.address, nodes)?;
    let node = &mut machine.node;
    let mut etcd = node.command(&programs.path("etcd"));
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args([
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]);
    node.start_service("etcd", &mut etcd)?;
    let mut server = api_server(node, programs, &files);
    server.arg(format!("--advertise-address={}", machine.address));
    node.start_service("kube-apiserver", &mut server)
}

/// Starts what the cluster's decisions are made by. The API server must be well: the controllers
/// end when it is not so within seconds.
///
/// # Errors
/// When a program cannot be started.
pub(super) fn start_controllers(
    machine: &mut ClusterNode,
    programs: &Programs,
) -> anyhow::Result<()> {
    let files = Files::of(machine.node.folder());
    let node = &mut machine.node;
    let mut controllers = node.command(&programs.path("kube-controller-manager"));
    controllers
        .arg(option("kubeconfig", &files.kubeconfig))
        .arg(option("service-account-private-key-file", &files.key))
        .arg(option(
            "root-ca-file",
            &files.certificates.join("apiserver.crt"),
        ))
        .arg(format!("--service-cluster-ip-range={SERVICE_BLOCKS}"))
        .args(["--leader-elect=false", "--allocate-node-cidrs=false"])
        .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
    node.start_service("kube-controller-manager", &mut controllers)?;

    let mut scheduler = node.command(&programs.path("kube-scheduler"));
    scheduler
        .arg(option("kubeconfig", &files.kubeconfig))
        .arg("--leader-elect=false")
        .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
    node.start_service("kube-scheduler", &mut scheduler)
}

fn api_server(node: &Node, programs: &Programs, files: &Files) -> Command {
    let mut command = node.command(&programs.path("kube-apiserver"));
    command
        .arg(option("cert-dir", &files.certificates))
        .arg(option("token-auth-file", &files.tokens))
        .arg(option("service-account-key-file", &files.key))
        .arg(option("service-account-signing-key-file", &files.key))
        .arg(format!("--service-cluster-ip-range={SERVICE_BLOCKS}"))
        .args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            "--bind-address=0.0.0.0",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
        ]);
    command
}

/// What the programs read.
struct Files {
    certificates: PathBuf,
    key: PathBuf,
    kubeconfig: PathBuf,
    tokens: PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            certificates: folder.join("certificates"),
            key: folder.join("service-accounts.key"),
            kubeconfig: folder.join("kubeconfig"),
            tokens: folder.join("tokens.csv"),
        }
    }

    fn write(&self, server: Ipv4Addr, nodes: &[&str]) -> anyhow::Result<()> {
        let kubelets = nodes.iter().map(|name| Caller::Kubelet(name));
        let callers = [Caller::Administrator, Caller::Proxy].into_iter();
        let tokens: String = callers.chain(kubelets).map(Caller::record).collect();
        fs::write(&self.tokens, tokens).context("writing the API server's tokens")?;
        let own = Caller::Administrator.kubeconfig(server);
        fs::write(&self.kubeconfig, own).context("writing a kubeconfig")?;
        let mut openssl = Command::new("openssl");
        openssl.args(["genrsa", "-out"]).arg(&self.key).arg("2048");
        let made = openssl.output().context("starting openssl")?;
        let errors = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "{openssl:?} failed: {errors}");
        Ok(())
    }
}

/// `--name=path`.
fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
