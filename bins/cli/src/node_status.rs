//! The agent's status, as far as this version shows it: what is absent is left out, what is new is
//! ignored, so that CLI and agent need not be of one version.

use std::collections::BTreeMap;

use serde::Deserialize;
use underlay_types::{LeaseKey, PodAddresses, PoolKey};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) instance: Option<InstanceStatus>,
    pub(crate) draining: bool,
    pub(crate) enis: Vec<EniStatus>,
    pub(crate) pools: Vec<PoolStatus>,
    pub(crate) leases: Vec<LeaseStatus>,
    pub(crate) waiting: Vec<WaitingPod>,
    /// What may cut running pods off.
    pub(crate) cut_off: Vec<String>,
    /// EC2 calls under way.
    pub(crate) calls: Vec<String>,
    /// What else the agent waits for, in its own words.
    pub(crate) waits_for: Vec<String>,
    /// What went wrong lately, oldest first.
    pub(crate) notices: Vec<Notice>,
    /// EC2 calls so far, by action.
    pub(crate) ec2: BTreeMap<String, ActionStatus>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Notice {
    /// Milliseconds since 1970.
    pub(crate) wall_ms: u64,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InstanceStatus {
    pub(crate) instance_id: String,
    #[serde(default)]
    pub(crate) instance_type: String,
    #[serde(default)]
    pub(crate) zone: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EniStatus {
    pub(crate) eni: String,
    pub(crate) pool: String,
    pub(crate) index: Option<u32>,
    pub(crate) stage: String,
    pub(crate) standing: String,
    pub(crate) suspended: bool,
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) leased: u64,
    pub(crate) cooling: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PoolStatus {
    pub(crate) pool: PoolKey,
    #[serde(default)]
    pub(crate) free: u64,
    #[serde(default)]
    pub(crate) leased: u64,
    #[serde(default)]
    pub(crate) cooling: u64,
    #[serde(default)]
    pub(crate) total: u64,
    #[serde(default)]
    pub(crate) enis: u64,
    #[serde(default)]
    pub(crate) waiting: u64,
    #[serde(default)]
    pub(crate) last_failure: Option<FailureStatus>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FailureStatus {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LeaseStatus {
    pub(crate) key: LeaseKey,
    pub(crate) addresses: PodAddresses,
    #[serde(default)]
    pub(crate) eni: String,
    /// What the pod has of the ENI, where it does not share it.
    #[serde(default)]
    pub(crate) interface: Option<String>,
    #[serde(default)]
    pub(crate) missing: bool,
    /// Where the ENI is a branch of the node's trunk.
    #[serde(default)]
    pub(crate) branch: Option<BranchStatus>,
    #[serde(default)]
    pub(crate) pod: Option<PodName>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BranchStatus {
    pub(crate) vlan: u16,
    #[serde(default)]
    pub(crate) mode: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WaitingPod {
    pub(crate) key: LeaseKey,
    #[serde(default)]
    pub(crate) pool: String,
    #[serde(default)]
    pub(crate) waited_ms: u64,
    #[serde(default)]
    pub(crate) waits_for: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ActionStatus {
    pub(crate) results: BTreeMap<String, u64>,
}
