//! The configuration file `/etc/underlay/agent.toml`.
//!
//! TOML with `version = 1`, snake_case keys and durations as text (`"30s"`). Every key has a
//! default that is good for production, so an empty file with its version, or none at all, will do.
//! [`Config::parse`] reports all mistakes of a file together; unknown keys are mistakes.

mod enis;
mod files;
mod groups;
mod log;
mod mistakes;
mod sections;
mod targets;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use enis::{EniConfig, PrimaryUse, Tag};
pub use groups::{AllowedGroups, AllowedTag};
use ipnet::Ipv4Net;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use mistakes::{ConfigError, Mistake};
pub use targets::{Amount, Targets};
use underlay_netplan::{NodePort, SourcePorts};
use underlay_types::Enforcement;

/// Where the configuration is read from unless a flag says otherwise.
pub const DEFAULT_PATH: &str = "/etc/underlay/agent.toml";
/// The only version of the file's format that this agent reads.
pub const FORMAT_VERSION: i64 = 1;
/// The longest `add_wait`: the plugin gives up on an ADD a good while later than this.
pub const ADD_WAIT_MAX: Duration = Duration::from_secs(60);

/// The agent's configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `[addresses]`: how many addresses to hold and for how long.
    pub addresses: AddressConfig,
    /// `[enis]`: which ENIs pods use, and where they are created.
    pub enis: EniConfig,
    /// `[security_groups]`: who may choose groups, and how their rules reach the node.
    pub security_groups: SecurityGroupConfig,
    /// `[pods]`: how pods are wired.
    pub pods: PodConfig,
    /// `[branch_enis]`: whether pods may have branch ENIs.
    pub branch_enis: BranchEniConfig,
    /// `[snat]`: which address pods have outside of the VPC.
    pub snat: SnatConfig,
    /// `[drift]`: how often the node is looked at for what others changed.
    pub drift: DriftConfig,
    /// `[log]`: what is told on standard error, and how.
    pub log: LogConfig,
    /// `[metrics]`: where they are served.
    pub metrics: MetricsConfig,
    /// `[conflist]`: what the container runtime is told.
    pub conflist: ConflistConfig,
    /// `[paths]`: sockets and files.
    pub paths: PathConfig,
}

/// `[addresses]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressConfig {
    /// How many addresses to hold, and of which kind.
    pub targets: Targets,
    /// `cooldown`: how long a released address rests before it may be given out again.
    pub cooldown: Duration,
    /// `add_wait`: how long an ADD waits for growth that is under way; at most [`ADD_WAIT_MAX`].
    pub add_wait: Duration,
    /// `idle_eni_after`: how long an ENI may stay without pods, and a surplus of free addresses
    /// unused, before they are given back.
    pub idle_eni_after: Duration,
}

impl Default for AddressConfig {
    fn default() -> Self {
        Self {
            targets: Targets::default(),
            cooldown: Duration::from_secs(30),
            add_wait: Duration::from_secs(25),
            idle_eni_after: Duration::from_mins(10),
        }
    }
}

/// `[security_groups]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroupConfig {
    /// `allowed_ids` and `allowed_tag`: the groups that pods may choose.
    pub allowed: AllowedGroups,
    /// `groups_per_eni`: groups an ENI may carry (an account's quota), 1 to 16.
    pub groups_per_eni: usize,
    /// `poll_interval`: how often rules and tags of the groups in use are read again.
    pub poll_interval: Duration,
    /// `open_node_ports`: ports of the node that pods with an explicit set may open connections to.
    pub open_node_ports: Vec<NodePort>,
}

impl Default for SecurityGroupConfig {
    fn default() -> Self {
        Self {
            allowed: AllowedGroups::default(),
            groups_per_eni: underlay_types::GROUPS_PER_ENI_DEFAULT,
            poll_interval: Duration::from_secs(30),
            open_node_ports: Vec::new(),
        }
    }
}

/// `[pods]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodConfig {
    /// `mtu`: MTU of both veth ends; the ENI's if absent.
    pub mtu: Option<u32>,
    /// `metadata`: whether pods may reach the instance metadata service.
    pub metadata: Access,
    /// `own_eni`: whether pods may ask for an ENI of their own by annotation.
    pub own_eni: Access,
}

/// Whether something is allowed: `"allow"` or `"deny"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// It is.
    Allow,
    /// It is not.
    #[default]
    Deny,
}

/// `[branch_enis]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BranchEniConfig {
    /// `enabled`: whether the annotation `vpc.amazonaws.com/pod-eni` gives a pod a branch ENI.
    pub enabled: bool,
    /// `mode`: which packets the branch's groups see.
    pub mode: Enforcement,
}

impl BranchEniConfig {
    /// How groups are enforced, where branch ENIs are used.
    #[must_use]
    pub fn in_use(self) -> Option<Enforcement> {
        self.enabled.then_some(self.mode)
    }
}

/// `[snat]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnatConfig {
    /// `enabled`: whether packets of pods of the default set that leave the VPC get the node's primary
    /// address.
    pub enabled: bool,
    /// `excluded`: blocks outside of the VPC that see the pods' own addresses nevertheless.
    pub excluded: Vec<Ipv4Net>,
    /// `v4_egress`: whether pods of IPv6 alone reach IPv4 destinations, with the node's primary address.
    pub v4_egress: bool,
    /// `ports`: which port a translated connection gets.
    pub ports: SourcePorts,
    /// `poll_interval`: how often the VPC's blocks are read again.
    pub poll_interval: Duration,
}

impl Default for SnatConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            excluded: Vec::new(),
            v4_egress: true,
            ports: SourcePorts::default(),
            poll_interval: Duration::from_secs(30),
        }
    }
}

/// `[drift]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftConfig {
    /// `interval`: how often it is looked, give or take a fifth.
    pub interval: Duration,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
        }
    }
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// `listen`: address and port of the HTTP endpoint `/metrics`; `false` turns it off.
    pub listen: Option<SocketAddr>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 61_678))),
        }
    }
}

/// `[conflist]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflistConfig {
    /// `cni_version`: the version the runtime is to speak: 1.0.0 suits containerd 1.6, 1.1.0 brings
    /// STATUS with containerd 2.
    pub cni_version: underlay_cni_spec::CniVersion,
    /// `portmap`: whether the standard `portmap` plugin is chained for hostPort.
    pub portmap: bool,
    /// `bandwidth`: whether the standard `bandwidth` plugin is chained for the annotations
    /// `kubernetes.io/ingress-bandwidth` and `kubernetes.io/egress-bandwidth`.
    pub bandwidth: bool,
    /// `sysctls`: what the standard `tuning` plugin, chained if there are any, sets in each pod.
    pub sysctls: BTreeMap<String, String>,
}

impl Default for ConflistConfig {
    fn default() -> Self {
        Self {
            cni_version: underlay_cni_spec::CniVersion::V1_0_0,
            portmap: true,
            bandwidth: false,
            sysctls: BTreeMap::new(),
        }
    }
}

/// `[paths]`: absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathConfig {
    /// `run_dir`: holds the agent's socket, journal and the plugin's tombstones.
    pub run_dir: PathBuf,
    /// `conflist_dir`: the container runtime's CNI configuration folder.
    pub conflist_dir: PathBuf,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            run_dir: PathBuf::from(underlay_agent_api::DEFAULT_RUN_DIR),
            conflist_dir: PathBuf::from("/etc/cni/net.d"),
        }
    }
}

impl PathConfig {
    /// The socket that the plugin and the CLI connect to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join(underlay_agent_api::SOCKET_FILE)
    }

    /// The journal of leases.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.run_dir.join("journal")
    }

    /// The folder of DELs that the plugin left while the agent was away.
    #[must_use]
    pub fn tombstones(&self) -> PathBuf {
        self.run_dir.join(underlay_agent_api::TOMBSTONE_DIR)
    }
}

impl Config {
    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// `Syntax` if it is not TOML; `Mistakes` with everything else that is wrong, in the order of
    /// the sections.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table = toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        let (config, mistakes) = sections::read(table);
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Mistakes(mistakes))
        }
    }

    /// Reads the file at `path`, and lays `*.toml` of the folder `<path>.d` over it in the order of
    /// their names. Missing ones mean defaults.
    ///
    /// # Errors
    /// `Read` if a file exists and cannot be read; `Mistakes` with those of all files.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        files::load(path)
    }
}

#[cfg(test)]
mod tests;
