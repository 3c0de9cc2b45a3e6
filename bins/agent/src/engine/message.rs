//! What the engine's threads and tasks tell its actor.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::mpsc::SyncSender,
};

use underlay_cloud::ec2::NetworkInterface;
use underlay_ipam::{Ec2Failure, OpId};
use underlay_journal::LeaseState;
use underlay_netlink::netns;
use underlay_netplan::{EniSlot, PodWiring, trunk::TrunkWiring};
use underlay_types::{
    EniId, Families, KubernetesPod, LeaseKey, Mac, NetworkName, PoolKey, Timestamp,
};

use super::calls::Answer;
use crate::service::{BranchRequest, ListedLease, Measures, ServiceError};

/// Where an answer goes. The asker waits for it, so that nobody asks faster than he is answered.
pub(super) type Reply<T> = SyncSender<T>;

/// What the actor is told or asked.
#[derive(Debug)]
pub(super) enum Message {
    /// Reserve an address. Answered when there is one, or when there will be none.
    Reserve(Box<Reserve>, Reply<Result<Granted, ServiceError>>),
    /// Ask EC2 what this instance has, now. Answered once EC2 has, or will not.
    ObserveNow(Reply<()>),
    /// The trunk ENI that branch ENIs of this node are on, if EC2 has shown one.
    Trunk(Reply<Option<TrunkWiring>>),
    /// The pod is wired.
    Wired(Wired, Reply<Result<(), ServiceError>>),
    /// The pod could not be wired, and nothing of it is left.
    WireFailed(LeaseKey),
    /// A DEL begins. Answered with what to unwire, if the key is known, and of this turn if one is
    /// named.
    BeginDel(
        LeaseKey,
        Option<u64>,
        Reply<Result<Option<Held>, ServiceError>>,
    ),
    /// The pod is unwired.
    Unwired(LeaseKey, Reply<Result<(), ServiceError>>),
    /// What a key holds.
    Held(LeaseKey, Reply<Option<Held>>),
    /// Every key with a lease.
    Keys(Reply<Vec<LeaseKey>>),
    /// The leases of a network.
    Listed(NetworkName, Reply<Vec<ListedLease>>),
    /// An EC2 call ended; `token` names a creation.
    Called {
        op: OpId,
        token: Option<String>,
        result: Result<Answer, Ec2Failure>,
    },
    /// EC2 showed this instance's ENIs, asked at this time.
    Observed {
        asked: Timestamp,
        result: Result<Vec<NetworkInterface>, Ec2Failure>,
    },
    /// The kernel uses an ENI, or cannot.
    Used(EniId, Result<(), String>),
    /// The kernel uses an ENI no more.
    Dropped(EniId),
    /// The names of the node's devices, read since this time, by both clocks.
    Devices {
        since: Timestamp,
        since_wall_ms: u64,
        devices: Devices,
    },
    /// The device of the ENI that a pod owns is in the node's namespace.
    Returned(LeaseKey),
    /// Something people should know.
    Note(String),
    /// What drifted and could not be put right, as of the last look; empty: nothing.
    Unrepaired(Vec<String>),
    /// Whether pods can be added, and what may cut those that run off.
    Availability(Reply<Result<(), Unavailable>>),
    /// For `underlay node status`.
    Status(Reply<serde_json::Value>),
    /// The same in numbers.
    Measure(Reply<Measures>),
    /// Give everything back, or stop doing so.
    Drain(bool),
    /// What is not given back yet, in words; empty: nothing.
    NotDrained(Reply<Vec<String>>),
    /// See to what follows from leases, if that is left to do.
    Settle,
    /// Something is due sooner than it was.
    LookNow,
    /// Stop.
    Stop,
}

/// The node's devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) names: BTreeSet<String>,
    pub(super) macs: BTreeSet<Mac>,
}

/// Why pods without groups of their own cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unavailable {
    /// Why, and what to do.
    pub(super) message: String,
    /// Whether pods that run may be cut off, too.
    pub(super) cut_off: bool,
}

/// A wish for an address.
#[derive(Debug)]
pub(super) struct Reserve {
    pub(super) key: LeaseKey,
    pub(super) pool: PoolKey,
    pub(super) branch: Option<BranchRequest>,
    pub(super) pod: Option<KubernetesPod>,
    pub(super) netns_path: String,
    pub(super) netns_cookie: u64,
    pub(super) deadline: Timestamp,
}

/// How a pod was wired.
#[derive(Debug)]
pub(super) struct Wired {
    pub(super) key: LeaseKey,
    /// The slot that it leaves by.
    pub(super) slot: EniSlot,
    /// Its namespace.
    pub(super) netns_path: String,
    pub(super) netns_cookie: u64,
    /// Families whose default route another interface of the pod has.
    pub(super) second_in: Option<Families>,
}

/// A lease and how it is, or is to be, wired.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) wiring: PodWiring,
    pub(super) eni: EniId,
    pub(super) pod: Option<KubernetesPod>,
    pub(super) pool: PoolKey,
    pub(super) netns_path: String,
    pub(super) netns_cookie: u64,
    pub(super) state: LeaseState,
}

impl Held {
    /// The namespace of a pod that owns an ENI, if it lives where the runtime said and can be
    /// opened here. Others are not asked for theirs.
    pub(super) fn namespace(&self) -> Option<OwnedFd> {
        self.wiring.whole()?;
        let netns = netns::open(Path::new(&self.netns_path)).ok()?;
        let cookie = netns::cookie(netns.as_fd()).ok()?;
        (cookie == self.netns_cookie).then_some(netns)
    }
}

/// An address for a pod.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) held: Held,
    /// The key had it before this wish.
    pub(super) repeated: bool,
}
