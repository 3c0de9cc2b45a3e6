//! The seam between the CNI front and the engine: what a pod asks for and what it gets.
//!
//! Calls block; the front runs each on a thread of its own. Directions are the pod's.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::OwnedFd,
    time::Duration,
};

use ipnet::IpNet;
use underlay_cloud::ec2::CallCounters;
use underlay_ipam::Report;
use underlay_netplan::Drift;
use underlay_types::{
    BranchEni, EniId, Families, KubernetesPod, LeaseKey, Mac, NetworkName, PodAddresses, PoolKey,
};

/// One CNI ADD, parsed.
#[derive(Debug)]
pub struct PodRequest {
    /// Which interface of which container on which network.
    pub key: LeaseKey,
    /// Where its address must come from, if it shares its ENI.
    pub pool: PoolKey,
    /// The branch ENI that it was given, if it does not get an address here.
    pub branch: Option<BranchRequest>,
    /// The pod's network namespace, checked to be one and not the agent's own.
    pub netns: OwnedFd,
    /// `CNI_NETNS` as given: a path that may exist only in the runtime's mount namespace.
    pub netns_path: String,
    /// Who the pod is, where known.
    pub pod: Option<KubernetesPod>,
}

/// A branch ENI that somebody gave a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchRequest {
    /// Its id.
    pub eni: EniId,
    /// What must be known of it.
    pub branch: BranchEni,
}

/// A lease as it was listed for garbage collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLease {
    /// Whose it is.
    pub key: LeaseKey,
    /// How often ADDs of the key had begun or ended well: more by now means that it is in use.
    pub turn: u64,
}

/// A wired pod interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The pod's addresses in the VPC.
    pub addresses: PodAddresses,
    /// The pod's addresses as its device has them, each with the next hop of its family's default
    /// route.
    pub ips: Vec<(IpNet, IpAddr)>,
    /// Families whose default route another interface of the pod has.
    pub second_in: Option<Families>,
    /// The ENI that holds the address.
    pub eni: EniId,
    /// The device on the node, where there is one: a pod that owns an ENI has none.
    pub host: Option<HostEnd>,
    /// The Ethernet address of the pod's device.
    pub pod_mac: Mac,
    /// MTU of both ends.
    pub mtu: u32,
}

/// The veth end in the node's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnd {
    /// Its name.
    pub ifname: String,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// A time for the log, to the microsecond: a number that programs can read.
pub(crate) fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// What the engine can tell about itself.
#[derive(Debug, Clone)]
pub struct Measures {
    /// The allocator: pools, ENIs, leases, requests that wait.
    pub addresses: Report,
    /// EC2 calls by action and result.
    pub ec2: CallCounters,
    /// Pods whose device is not deleted yet.
    pub retired_devices: usize,
    /// Pods with branch ENIs.
    pub branch_pods: usize,
    /// What happened to their packets at the trunk, by the name of what did.
    pub branch_packets: Vec<(&'static str, u64)>,
    /// What people were told, by kind, since the start.
    pub notices: BTreeMap<&'static str, u64>,
    /// What somebody else changed and the agent put right, by kind, since the start.
    pub repairs: BTreeMap<Drift, u64>,
}

/// Why the engine could not do what was asked. `Display` is what the pod event shows.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No address now: empty pool, no ENI slot, or growth did not come in time (CNI code 11).
    #[error("{message}")]
    NoAddress {
        /// Numbers and the reason, for example `0 of 27 free on 3 ENIs, growth refused by EC2: ...`.
        message: String,
    },
    /// A security group that is unknown or that pods may not choose (CNI code 7).
    #[error("{message}")]
    Group {
        /// Which group, and which setting would allow it.
        message: String,
    },
    /// What the pod's annotations promise it, and the node cannot keep (CNI code 7).
    #[error("{message}")]
    Interface {
        /// Which annotation and field, and why not.
        message: String,
    },
    /// EC2 refused for good (CNI code 100).
    #[error("{message}")]
    Refused {
        /// The EC2 error code and message and what was tried.
        message: String,
    },
    /// The kernel refused (CNI code 5).
    #[error("{message}")]
    Kernel {
        /// The operation, the object and the kernel's answer.
        message: String,
    },
    /// The journal could not be written (CNI code 5).
    #[error("{message}")]
    Journal {
        /// The file and the system's answer.
        message: String,
    },
    /// No address for pods of the default set, and pods that run may be cut off (STATUS code 51).
    #[error("{message}")]
    CutOff {
        /// Why there is none, what may cut pods off, and what to do.
        message: String,
    },
    /// What CHECK found to differ (CNI code 101).
    #[error("{message}")]
    Differs {
        /// Each difference between what was promised and what stands.
        message: String,
    },
    /// The engine is stopping or not ready yet (CNI code 11).
    #[error("{message}")]
    NotReady {
        /// What it waits for.
        message: String,
    },
}

/// What the front may ask of the engine. Where a call waits for something else than a processor, it
/// says so by [`while_waiting`](crate::waiting::while_waiting): only so many calls are at work at a time.
pub trait NodeService: Send + Sync {
    /// Called once by every thread that will serve calls; it is the front's own, no runtime's.
    fn adopt_thread(&self) {}

    /// Gives the pod an address and wires it: all or nothing. Waits at most `wait` for growth that
    /// is under way. A repeated ADD of the same key after success answers `Differs`-free success
    /// only if the first one's wiring still stands.
    ///
    /// # Errors
    /// See [`ServiceError`]; nothing of the pod is left behind then.
    fn add(&self, request: PodRequest, wait: Duration) -> Result<Attachment, ServiceError>;

    /// Does what an ADD leaves to do once it is answered. A call that does not come is made up for by
    /// the next one.
    fn settle(&self) {}

    /// Takes the pod off the network and its address into cooldown. Idempotent: an unknown key
    /// succeeds. `netns` is present only where the runtime still had one.
    ///
    /// # Errors
    /// `Kernel` or `Journal`; the call may be repeated.
    fn del(&self, key: &LeaseKey, netns: Option<OwnedFd>) -> Result<(), ServiceError>;

    /// Compares what stands in the kernel with the lease; returns what the ADD answered.
    ///
    /// # Errors
    /// `Differs` lists every difference.
    fn check(&self, key: &LeaseKey, netns: OwnedFd) -> Result<Attachment, ServiceError>;

    /// Every lease of `network` whose key is not in `valid`.
    ///
    /// # Errors
    /// `NotReady` when the engine is stopping.
    fn garbage(
        &self,
        network: &NetworkName,
        valid: &BTreeSet<LeaseKey>,
    ) -> Result<Vec<ListedLease>, ServiceError>;

    /// As `del` without a namespace, unless an ADD of the key came since the lease was listed. No
    /// other call of the key may run meanwhile.
    ///
    /// # Errors
    /// As `del`.
    fn collect(&self, lease: &ListedLease) -> Result<(), ServiceError>;

    /// Whether the default pool can serve an ADD now. Cheap: called every few seconds.
    ///
    /// # Errors
    /// `NotReady`, `NoAddress` or `CutOff` with the reason and what to do.
    fn status(&self) -> Result<(), ServiceError>;

    /// ENIs, pools, leases and what the engine waits for, for `underlay node status`.
    fn node_status(&self) -> serde_json::Value;

    /// The same in numbers, for metrics.
    ///
    /// # Errors
    /// `NotReady` when the engine is stopping.
    fn measures(&self) -> Result<Measures, ServiceError>;

    /// Stops growth and gives every ENI back as it loses its last lease. Blocks until done or until
    /// `deadline`; the node stays drained.
    ///
    /// # Errors
    /// What is left and why.
    fn drain(&self, deadline: Duration) -> Result<(), ServiceError>;

    /// Ends a drain: the node grows and serves pods again. Idempotent.
    ///
    /// # Errors
    /// `NotReady` once the node was uninstalled: an agent started anew sets it up again.
    fn resume(&self) -> Result<(), ServiceError>;

    /// As [`Self::drain`], after taking every pod off the network; then removes rules and tables.
    ///
    /// # Errors
    /// What is left and why.
    fn uninstall(&self, deadline: Duration) -> Result<(), ServiceError> {
        self.drain(deadline)
    }
}
