//! A client of the container runtime interface: what kubelet does with pods' sandboxes.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::{self, runtime_service_client::RuntimeServiceClient};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::Netns;

/// What a pod asks for.
#[derive(Debug, Clone, Default)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
    /// Ports of the node that lead to it.
    pub port_mappings: Vec<PortMapping>,
    /// Whether it shares the node's network namespace.
    pub host_network: bool,
}

/// A TCP port of the node that leads to a port of the pod.
#[derive(Debug, Clone, Copy)]
pub struct PortMapping {
    /// The node's port.
    pub host: u16,
    /// The pod's port.
    pub container: u16,
}

impl PodSpec {
    /// A pod without wishes.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// With the security groups it asks for by annotation.
    #[must_use]
    pub fn with_groups<'a>(mut self, groups: impl IntoIterator<Item = &'a str>) -> Self {
        let groups: Vec<&str> = groups.into_iter().collect();
        let key = "underlay.dev/security-groups".to_owned();
        self.annotations.push((key, groups.join(",")));
        self
    }
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub struct Pod {
    /// The sandbox's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its IPv4 address as the runtime reports it; unspecified of a pod without, and of one on the
    /// node's network.
    pub address: Ipv4Addr,
    /// All its addresses as the runtime reports them.
    pub addresses: Vec<IpAddr>,
    /// The CNI result as the runtime kept it.
    pub cni_result: serde_json::Value,
    /// Its network namespace.
    pub netns: Option<Netns>,
}

impl Pod {
    /// Its IPv6 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv6(&self) -> anyhow::Result<Ipv6Addr> {
        let v6 = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(*address),
        });
        v6.with_context(|| format!("the pod {} has no IPv6 address", self.name))
    }

    /// Its network namespace.
    ///
    /// # Errors
    /// When it has none of its own.
    pub fn netns(&self) -> anyhow::Result<&Netns> {
        let own = self.netns.as_ref();
        own.with_context(|| format!("the pod {} has no network namespace of its own", self.name))
    }
}

/// A client of one node's runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cri {
    client: RuntimeServiceClient<Channel>,
    cgroup: String,
    node_pid: u32,
}

/// kubelet's own limit for the runtime's answers is 2 minutes.
const DEADLINE: Duration = Duration::from_secs(120);

impl Cri {
    /// Connects to the runtime behind `socket`. Pods get control groups below `cgroup`;
    /// `node_pid` is a process whose root shows the runtime's files.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(socket: PathBuf, cgroup: String, node_pid: u32) -> anyhow::Result<Self> {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move {
                tokio::net::UnixStream::connect(socket)
                    .await
                    .map(TokioIo::new)
            }
        });
        let channel = Endpoint::from_static("http://runtime")
            .timeout(DEADLINE)
            .connect_with_connector(connector)
            .await
            .context("connecting to the container runtime")?;
        let mut cri = Self {
            client: RuntimeServiceClient::new(channel),
            cgroup,
            node_pid,
        };
        cri.version().await?;
        Ok(cri)
    }

    /// The runtime's name and version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&mut self) -> anyhow::Result<String> {
        let request = v1::VersionRequest {
            version: "0.1.0".to_owned(),
        };
        let answer = self
            .client
            .version(request)
            .await
            .context("CRI Version")?
            .into_inner();
        Ok(format!(
            "{} {}",
            answer.runtime_name, answer.runtime_version
        ))
    }

    /// Whether the runtime has loaded a network configuration.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn network_ready(&mut self) -> anyhow::Result<bool> {
        let request = v1::StatusRequest { verbose: false };
        let answer = self
            .client
            .status(request)
            .await
            .context("CRI Status")?
            .into_inner();
        let conditions = answer
            .status
            .map(|status| status.conditions)
            .unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|one| one.r#type == "NetworkReady" && one.status))
    }

    /// Creates a pod's sandbox.
    ///
    /// # Errors
    /// The runtime's message, which holds the CNI plugin's.
    pub async fn run_pod(&mut self, spec: &PodSpec) -> anyhow::Result<Pod> {
        let request = v1::RunPodSandboxRequest {
            config: Some(self.sandbox_config(spec)),
            runtime_handler: String::new(),
        };
        let answer = self.client.run_pod_sandbox(request).await;
        let answer = answer.with_context(|| format!("CRI RunPodSandbox of {}", spec.name))?;
        self.pod(&answer.into_inner().pod_sandbox_id).await
    }

    /// The pod with a sandbox's id, as the runtime sees it.
    ///
    /// # Errors
    /// When there is none, or its state cannot be read.
    pub async fn pod(&mut self, id: &str) -> anyhow::Result<Pod> {
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: true,
        };
        let answer = self.client.pod_sandbox_status(request).await;
        let answer = answer.context("CRI PodSandboxStatus")?.into_inner();
        let status = answer.status.context("a sandbox without status")?;
        let info = answer
            .info
            .get("info")
            .context("a sandbox without verbose information")?;
        let info: serde_json::Value = serde_json::from_str(info).context("reading its info")?;
        let network = status.network.unwrap_or_default();
        let others = network.additional_ips.iter().map(|other| other.ip.as_str());
        let addresses = [network.ip.as_str()].into_iter().chain(others);
        let addresses = addresses.filter(|ip| !ip.is_empty()).map(|ip| {
            ip.parse()
                .with_context(|| format!("reading the pod's address {ip:?}"))
        });
        let addresses: Vec<IpAddr> = addresses.collect::<Result<_, _>>()?;
        let v4 = addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        Ok(Pod {
            id: id.to_owned(),
            name: status
                .metadata
                .map(|metadata| metadata.name)
                .unwrap_or_default(),
            address: v4.unwrap_or(Ipv4Addr::UNSPECIFIED),
            addresses,
            cni_result: info["cniResult"].clone(),
            netns: self.netns_of(&info)?,
        })
    }

    /// Stops a pod: takes it off the network. Repeating it succeeds.
    ///
    /// # Errors
    /// The runtime's message.
    pub async fn stop_pod(&mut self, id: &str) -> anyhow::Result<()> {
        let request = v1::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        self.client
            .stop_pod_sandbox(request)
            .await
            .context("CRI StopPodSandbox")?;
        Ok(())
    }

    /// Stops a pod and removes what the runtime knows of it.
    ///
    /// # Errors
    /// The runtime's message.
    pub async fn remove_pod(&mut self, id: &str) -> anyhow::Result<()> {
        self.stop_pod(id).await?;
        let request = v1::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        self.client
            .remove_pod_sandbox(request)
            .await
            .context("CRI RemovePodSandbox")?;
        Ok(())
    }

    /// The ids of all sandboxes.
    ///
    /// # Errors
    /// The runtime's message.
    pub async fn list_pods(&mut self) -> anyhow::Result<Vec<String>> {
        let request = v1::ListPodSandboxRequest { filter: None };
        let answer = self
            .client
            .list_pod_sandbox(request)
            .await
            .context("CRI ListPodSandbox")?;
        Ok(answer
            .into_inner()
            .items
            .into_iter()
            .map(|item| item.id)
            .collect())
    }

    fn sandbox_config(&self, spec: &PodSpec) -> v1::PodSandboxConfig {
        let network = if spec.host_network {
            v1::NamespaceMode::Node
        } else {
            v1::NamespaceMode::Pod
        };
        let namespaces = v1::NamespaceOption {
            network: network.into(),
            pid: v1::NamespaceMode::Container.into(),
            ..v1::NamespaceOption::default()
        };
        let port_mappings = spec.port_mappings.iter().map(|mapping| v1::PortMapping {
            protocol: v1::Protocol::Tcp.into(),
            container_port: mapping.container.into(),
            host_port: mapping.host.into(),
            host_ip: String::new(),
        });
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: spec.name.clone(),
                uid: unique_id(),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            // A pod on the node's network has the node's name.
            hostname: if spec.host_network {
                String::new()
            } else {
                spec.name.clone()
            },
            port_mappings: port_mappings.collect(),
            annotations: spec.annotations.iter().cloned().collect::<HashMap<_, _>>(),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}", self.cgroup),
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                    ..v1::LinuxSandboxSecurityContext::default()
                }),
                ..v1::LinuxPodSandboxConfig::default()
            }),
            ..v1::PodSandboxConfig::default()
        }
    }

    /// The namespace's path exists in the node's mount namespace only.
    fn netns_of(&self, info: &serde_json::Value) -> anyhow::Result<Option<Netns>> {
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
        let network = namespaces
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "network");
        let Some(path) = network.and_then(|one| one["path"].as_str()) else {
            return Ok(None);
        };
        // /var/run is an absolute symbolic link, which would leave the node's tree.
        let path = path
            .strip_prefix("/var")
            .filter(|p| p.starts_with("/run/"))
            .unwrap_or(path);
        if path.is_empty() || path.starts_with("/proc/") {
            return Ok(None);
        }
        let outside = PathBuf::from(format!("/proc/{}/root{path}", self.node_pid));
        Netns::open(&outside).map(Some)
    }
}

/// A pod's uid: unique among the pods of this process, and in the shape of a UUID.
fn unique_id() -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    format!(
        "00000000-0000-4000-8000-{:04x}{serial:08x}",
        std::process::id() & 0xffff
    )
}
