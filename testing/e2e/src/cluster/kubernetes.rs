//! A cluster from nothing to "every node is ready and names are resolved".

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use underlay_testkit::{
    Cluster, ClusterNode, LocalVpc, LocalVpcOptions, Networks, NodeSpec, PauseImage, wait_for_async,
};

use super::{
    PATIENCE, control_plane, images,
    kubectl::Kubectl,
    programs::Programs,
    worker::{self, ProxyMode},
};
use crate::screen::Screen;

/// The nodes for pods and the index of each one's subnet.
pub(super) const WORKERS: [(&str, usize); 2] = [("n1", 0), ("n2", 1)];

const COREDNS: &str = include_str!("../../../cluster/manifests/coredns.yaml");

/// What a cluster is to be.
#[derive(Debug)]
pub(super) struct Settings {
    /// The run's id.
    pub(super) run: String,
    /// Kubernetes's programs.
    pub(super) programs: Programs,
    /// How Services are carried out.
    pub(super) proxy: ProxyMode,
}

/// A running cluster. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Kubernetes {
    /// The VPC and its machines: the control plane first, then the [`WORKERS`].
    pub(super) cluster: Cluster,
    /// Kubernetes's programs.
    pub(super) programs: Programs,
    kubectl: PathBuf,
}

impl Kubernetes {
    /// Starts everything and waits until it is ready for pods.
    ///
    /// # Errors
    /// When something does not come up; with what is known about it.
    pub(super) async fn start(screen: &mut Screen, settings: Settings) -> anyhow::Result<Self> {
        screen.step("a VPC of both families with two availability zones, and images for pods");
        let vpc = LocalVpc::start(&LocalVpcOptions {
            run_id: settings.run.clone(),
            flow_log_window: Duration::from_secs(60),
            arguments: Vec::new(),
        })?;
        let networks = Networks::create_with_ipv6(vpc.ec2()).await?;
        let folder = vpc.run_dir().path().join("images");
        fs::create_dir_all(&folder).context("creating a folder for images")?;
        let images = images::build(&settings.programs, &folder)?;
        let mut kubernetes = Self {
            kubectl: settings.programs.path("kubectl"),
            programs: settings.programs.clone(),
            cluster: Cluster {
                nodes: Vec::new(),
                networks,
                vpc,
            },
        };
        screen.step("a control plane and two nodes");
        kubernetes.boot().await?;
        kubernetes.start_programs(&images, settings.proxy).await?;
        screen.step("the API server answers");
        kubernetes
            .wait("/readyz", |kubectl| {
                Ok(kubectl.run(&["get", "--raw", "/readyz"])? == "ok")
            })
            .await?;
        let machine = &mut kubernetes.cluster.nodes[0];
        control_plane::start_controllers(machine, &kubernetes.programs)?;
        kubernetes.kubectl().apply("coredns.yaml", COREDNS)?;
        screen.step("every node is ready, names are resolved");
        kubernetes.wait_ready().await?;
        kubernetes.show_nodes(screen)?;
        Ok(kubernetes)
    }

    /// kubectl with the administrator's rights.
    pub(super) fn kubectl(&self) -> Kubectl<'_> {
        Kubectl {
            node: &self.cluster.nodes[0].node,
            program: &self.kubectl,
        }
    }

    /// The nodes for pods.
    pub(super) fn workers(&self) -> &[ClusterNode] {
        &self.cluster.nodes[1..]
    }

    /// Writes a script that runs kubectl where the API server is, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_kubectl(&self) -> anyhow::Result<PathBuf> {
        let kubectl = self.kubectl();
        let mut command = kubectl.node.command(&self.kubectl);
        command.arg("--kubeconfig").arg(kubectl.kubeconfig());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
        let path = self.cluster.vpc.run_dir().path().join("kubectl");
        fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).context("making a script executable")?;
        Ok(path)
    }

    /// Looks with kubectl until `condition` holds; kubectl's errors count as not yet. Fails at once
    /// when a program of a node has ended.
    ///
    /// # Errors
    /// When it does not hold in time; with kubectl's last error.
    pub(super) async fn wait(
        &mut self,
        what: &str,
        condition: impl Fn(Kubectl<'_>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut last = None;
        let waited = wait_for_async(what, PATIENCE, || {
            let alive = self.check_alive();
            let held = alive.map(|()| condition(self.kubectl()));
            let pause = tokio::time::sleep(Duration::from_millis(200));
            let held = held.map(|held| {
                held.unwrap_or_else(|error| {
                    last = Some(format!("{error:#}"));
                    false
                })
            });
            async move {
                let held = held?;
                if !held {
                    pause.await;
                }
                Ok(held.then_some(()))
            }
        });
        let waited = waited.await;
        waited.with_context(|| last.unwrap_or_default())
    }

    async fn boot(&mut self) -> anyhow::Result<()> {
        let folder = self.cluster.vpc.run_dir().path().to_owned();
        let pause = PauseImage::build(&folder)?;
        let control_plane = NodeSpec::new("control-plane", "m5.large", 0);
        let workers = WORKERS.map(|(name, subnet)| worker::spec(name, subnet));
        for spec in std::iter::once(control_plane).chain(workers) {
            let node = self.cluster.boot(&spec, &pause).await?;
            self.cluster.nodes.push(node);
        }
        Ok(())
    }

    async fn start_programs(&mut self, images: &[PathBuf], proxy: ProxyMode) -> anyhow::Result<()> {
        let Cluster { nodes, vpc, .. } = &mut self.cluster;
        let (control_plane, workers) = nodes.split_first_mut().context("no control plane")?;
        let names = WORKERS.map(|(name, _)| name);
        control_plane::start_server(control_plane, &self.programs, &names)?;
        let common = worker::Common {
            programs: &self.programs,
            binaries: vpc.binaries(),
            images,
            server: control_plane.address,
            proxy,
        };
        for worker in workers {
            worker::start(worker, common).await?;
        }
        Ok(())
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        let mut nodes = self.cluster.nodes.iter_mut();
        nodes.try_for_each(|node| node.node.check_services())
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.wait("the nodes to be ready", |kubectl| {
            let nodes = kubectl.get(&["nodes"])?;
            let ready = items(&nodes).filter(|node| is_ready(node));
            Ok(ready.count() == WORKERS.len())
        })
        .await
        .with_context(|| self.agents_tail())?;
        self.wait("CoreDNS to be available", |kubectl| {
            let deployment = kubectl.get(&["-n", "kube-system", "deployment", "coredns"])?;
            let status = &deployment["status"];
            let wanted = &deployment["spec"]["replicas"];
            Ok(!wanted.is_null() && status["availableReplicas"] == *wanted)
        })
        .await
        .with_context(|| self.agents_tail())
    }

    fn agents_tail(&self) -> String {
        let logs = self.workers().iter().map(|worker| {
            let (name, log) = (worker.node.name(), worker.node.agent_log_tail());
            format!("agent of {name}:\n{log}\n")
        });
        logs.collect()
    }

    fn show_nodes(&self, screen: &Screen) -> anyhow::Result<()> {
        let nodes = self.kubectl().get(&["nodes"])?;
        let rows: Vec<Vec<String>> = items(&nodes)
            .map(|node| {
                let info = &node["status"]["nodeInfo"];
                let texts = [
                    &node["metadata"]["name"],
                    &node["status"]["addresses"][0]["address"],
                    &node["status"]["addresses"][1]["address"],
                    &info["kubeletVersion"],
                    &info["containerRuntimeVersion"],
                ];
                texts.map(|one| text(one).to_owned()).to_vec()
            })
            .collect();
        screen.table(&["node", "IPv4", "IPv6", "kubelet", "runtime"], &rows);
        Ok(())
    }
}

/// The objects of a list.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// A text, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a node or a pod is ready.
pub(super) fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// A condition of a node or a pod.
pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.find(|one| one["type"] == name)
}

/// The folder that a program inside a node may write to.
pub(super) fn scratch(node: &ClusterNode, name: &str) -> anyhow::Result<PathBuf> {
    let folder: &Path = node.node.folder();
    let folder = folder.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
