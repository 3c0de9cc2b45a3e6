//! Carries out the operations that `underlay-netplan` decides on.
//!
//! All calls block, on the caller's thread; the work is done by threads of the [`Kernel`]'s own,
//! which hold its sockets and may change namespaces. Calls may come from any number of threads.

use std::{
    net::Ipv4Addr,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use underlay_netlink::KernelError;
use underlay_netplan::{EniSlot, EniWiring, NodeFacts, PodWiring};
use underlay_types::{Class, SecurityGroupSet};

/// What may be set about the kernel's work.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Threads that wire and unwire pods.
    pub workers: usize,
    /// How long the reaper gathers devices of deleted pods before it deletes them together.
    pub reap_after: Duration,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            reap_after: Duration::from_millis(500),
        }
    }
}

/// What the kernel refused, and what could not be undone after that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {error}")]
pub struct Failure {
    /// What was being done, for example `wire pod underlay/c1/eth0`.
    pub doing: String,
    /// The operation that failed, on what, and the kernel's answer.
    pub error: KernelError,
    /// Operations that undo what was done before and that failed too. Empty: nothing is left.
    pub left: Vec<KernelError>,
}

impl Failure {
    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.error.class()
    }
}

/// What [`Kernel::restore`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Pods whose device is gone: their namespace died while nobody looked. They are unwired.
    pub gone: Vec<PodWiring>,
    /// Differences from what had to be there that were put right, as text for the log.
    pub repaired: Vec<String>,
    /// Devices of ours that belong to no pod given; they are retired.
    pub strays: Vec<String>,
}

/// The node's kernel.
#[derive(Debug)]
pub struct Kernel {}

impl Kernel {
    /// Starts the threads in the calling thread's namespace. Changes nothing yet.
    ///
    /// # Errors
    /// When sockets cannot be opened, which needs CAP_NET_ADMIN.
    pub fn new(config: KernelConfig) -> Result<Self, Failure> {
        unimplemented!("{config:?}")
    }

    /// Starts the threads in `netns`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_in(netns: OwnedFd, config: KernelConfig) -> Result<Self, Failure> {
        unimplemented!("{netns:?} {config:?}")
    }

    /// Makes the node ready for ENIs and pods: forwarding, the nftables table. Idempotent; pods
    /// that are wired stay so. Also deletes the devices that an earlier agent had retired.
    ///
    /// # Errors
    /// What the kernel or `nft` refused; repeat the call.
    pub fn setup_node(&self, facts: &NodeFacts) -> Result<(), Failure> {
        unimplemented!("{facts:?}")
    }

    /// Brings an ENI (the primary one too) into use for pods: its device up, its table and rule.
    /// Pods of the same groups on other ENIs become reachable directly. Idempotent.
    ///
    /// # Errors
    /// `NotFound` while the device has not appeared yet; nothing is left behind then.
    pub fn use_eni(&self, eni: &EniWiring) -> Result<(), Failure> {
        unimplemented!("{eni:?}")
    }

    /// Takes an ENI out of use: its rule and table. Its pods must be unwired. Idempotent; the
    /// device may be gone already.
    ///
    /// # Errors
    /// What the kernel refused; repeat the call.
    pub fn drop_eni(&self, slot: EniSlot) -> Result<(), Failure> {
        unimplemented!("{slot:?}")
    }

    /// Sets what pods of an explicit set may send each other on this node. Until it is called for a
    /// set, its pods may send each other nothing. Idempotent; atomic for packets under way.
    ///
    /// # Errors
    /// What `nft` refused; the old rules stay.
    pub fn set_policy(
        &self,
        set: &SecurityGroupSet,
        policy: &underlay_policy::Compiled,
    ) -> Result<(), Failure> {
        unimplemented!("{set:?} {policy:?}")
    }

    /// Wires a pod in its namespace: all or nothing. Its ENI must be in use. A pod that is wired
    /// already, in this namespace, stays as it is; what is left of an earlier try is removed first,
    /// as is its own device that waits to be deleted.
    ///
    /// # Errors
    /// What the kernel refused. Nothing is left behind unless [`Failure::left`] says so.
    pub fn wire_pod(&self, pod: &PodWiring, netns: BorrowedFd<'_>) -> Result<(), Failure> {
        unimplemented!("{pod:?} {netns:?}")
    }

    /// Takes a pod off the network: marks, routes and map entries are gone when it returns; the
    /// device is deleted later ([`Self::pending_removal`]). Idempotent; works without the namespace.
    ///
    /// # Errors
    /// What the kernel refused, after everything else was removed; repeat the call.
    pub fn unwire_pod(&self, pod: &PodWiring) -> Result<(), Failure> {
        unimplemented!("{pod:?}")
    }

    /// Compares what stands in the kernel with what must; one line of text for each difference.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn check_pod(
        &self,
        pod: &PodWiring,
        netns: BorrowedFd<'_>,
    ) -> Result<Vec<String>, Failure> {
        unimplemented!("{pod:?} {netns:?}")
    }

    /// After a restart, and after [`Self::setup_node`] and [`Self::use_eni`] for every ENI: takes
    /// over the pods that the journal knows, puts right what differs, removes what belongs to none.
    ///
    /// # Errors
    /// What the kernel refused; repeat the call.
    pub fn restore(&self, pods: &[PodWiring]) -> Result<Restored, Failure> {
        unimplemented!("{pods:?}")
    }

    /// Whether the device of an unwired pod that had `address` still exists. Such an address must
    /// not leave cooldown.
    #[must_use]
    pub fn pending_removal(&self, address: Ipv4Addr) -> bool {
        unimplemented!("{address:?}")
    }

    /// Deletes now what waits to be deleted, and waits for it.
    ///
    /// # Errors
    /// What the kernel refused; the devices stay queued.
    pub fn reap(&self) -> Result<(), Failure> {
        unimplemented!()
    }

    /// Removes everything of ours from the node's kernel: pods, ENIs, the nftables table.
    ///
    /// # Errors
    /// The first refusal, with the others in [`Failure::left`]; the rest is removed.
    pub fn uninstall(&self) -> Result<(), Failure> {
        unimplemented!()
    }
}
