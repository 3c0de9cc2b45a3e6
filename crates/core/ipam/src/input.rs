//! Everything the allocator may learn.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use underlay_types::{Class, EniId, LeaseKey, PodAddresses, PoolKey, SecurityGroupSet, Timestamp};

use crate::{Ec2Op, Lease, OpId, Place, RequestId};

/// Everything the allocator may learn. Time comes beside it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A pod wants an address. Answered by exactly one [`crate::Action::Reply`], unless cancelled.
    PodAdd(PodAdd),
    /// Nobody waits for this request any more: it gets no reply. Unknown requests are ignored.
    Cancel(RequestId),
    /// The pod is off the network: its address cools down, at least until [`Input::DeviceGone`].
    /// An unknown key is ignored.
    PodDel(LeaseKey),
    /// The pod could not be wired; as [`Input::PodDel`].
    WireFailed(LeaseKey),
    /// The kernel device of this key no longer exists.
    DeviceGone(LeaseKey),
    /// An EC2 call ended.
    Ec2 {
        /// Which one.
        op: OpId,
        /// How.
        outcome: Ec2Outcome,
    },
    /// The node can route through this ENI: the answer to [`crate::Action::UseEni`].
    EniReady(EniId),
    /// The node cannot route through this ENI now; [`crate::Action::UseEni`] will be repeated.
    EniUnready {
        /// Which ENI.
        eni: EniId,
        /// What is wrong with it.
        reason: String,
    },
    /// The node no longer uses this ENI: the answer to [`crate::Action::DropEni`].
    EniDropped(EniId),
    /// What EC2 reports of this instance: every attached ENI and every one tagged as ours.
    Observed {
        /// When the question was sent: whatever changed since is not judged by the answer.
        asked: Timestamp,
        /// The answer.
        enis: Vec<ObservedEni>,
    },
    /// What an earlier run left. Comes before the first [`Input::Observed`].
    Restore {
        /// Leases of pods that still live.
        leases: Vec<Lease>,
        /// Addresses that were cooling.
        cooldowns: Vec<Cooldown>,
        /// What was being asked back.
        partings: Vec<Parting>,
        /// Where the ENIs of these leases were attached when their pods were wired.
        places: BTreeMap<EniId, Place>,
    },
    /// Stop growing and give every ENI back as it empties.
    Drain,
    /// Ends [`Input::Drain`].
    Resume,
    /// Time passed.
    Tick,
}

/// A pod wants an address.
#[derive(Debug, Clone)]
pub struct PodAdd {
    /// Names the request in its reply.
    pub request: RequestId,
    /// Which interface of which container.
    pub key: LeaseKey,
    /// Where the address must come from.
    pub pool: PoolKey,
    /// Until when to wait for growth.
    pub deadline: Timestamp,
}

/// Addresses of a pod that were cooling when the journal was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// The addresses.
    pub addresses: PodAddresses,
    /// Their ENI.
    pub eni: EniId,
    /// When they may be used again.
    pub until: Timestamp,
    /// The lease whose device may still exist.
    pub device: Option<LeaseKey>,
}

/// What an earlier run was asking back of an ENI: these addresses and prefixes, or, without any,
/// the whole ENI. EC2 may still show it, and may only now hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The ENI.
    pub eni: EniId,
    /// Its addresses that part.
    pub addresses: Vec<Ipv4Addr>,
    /// Its prefixes that part.
    pub prefixes: Vec<Ipv4Net>,
    /// Until when.
    pub until: Timestamp,
}

impl Parting {
    /// What a call asks back, if it asks something back that pods might get: until when is the
    /// caller's to say.
    #[must_use]
    pub fn of(call: &Ec2Op) -> Option<Self> {
        let (eni, addresses, prefixes) = match call {
            Ec2Op::DetachEni { eni } => (eni, Vec::new(), Vec::new()),
            Ec2Op::UnassignAddresses { eni, addresses } => (eni, addresses.clone(), Vec::new()),
            Ec2Op::UnassignPrefixes { eni, prefixes } => (eni, Vec::new(), prefixes.clone()),
            Ec2Op::Assign { .. }
            | Ec2Op::AttachEni { .. }
            | Ec2Op::CreateEni { .. }
            | Ec2Op::DeleteEni { .. }
            | Ec2Op::SetDeleteOnTermination { .. }
            | Ec2Op::UnassignIpv6Prefixes { .. } => return None,
        };
        Some(Self {
            eni: eni.clone(),
            addresses,
            prefixes,
            until: Timestamp::ZERO,
        })
    }
}

/// Whose an ENI is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EniOwner {
    /// The instance's primary ENI: its secondary addresses belong to the default pool.
    Primary,
    /// Created by us for this pool (by its tags).
    Ours(PoolKey),
    /// Somebody else's: it takes a slot and is otherwise left alone.
    Foreign,
}

/// What may be done with an ENI of ours, or the primary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Pods get its addresses.
    #[default]
    Serving,
    /// Pods get none of them any more, by the node's configuration. Once no pod has one, the ENI is
    /// given back; of the primary one, its addresses for pods.
    Emptying,
    /// Somebody marked it to be left alone: pods get none of its addresses any more, those that have
    /// one keep it, and EC2 is not asked to change anything about it.
    Unmanaged,
}

/// How an ENI is attached to this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// Attached, or about to be.
    Attached {
        /// Where.
        place: Place,
    },
    /// On its way out.
    Detaching {
        /// Where; still taken.
        place: Place,
    },
    /// Not attached.
    None,
}

/// An ENI as EC2 reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEni {
    /// Its id.
    pub id: EniId,
    /// Whose it is.
    pub owner: EniOwner,
    /// What may be done with it; of a foreign one: nothing.
    pub standing: Standing,
    /// Its attachment.
    pub attachment: Attachment,
    /// Whether it goes when the instance goes.
    pub delete_on_termination: bool,
    /// Its security groups.
    pub groups: SecurityGroupSet,
    /// Its addresses for pods.
    pub holding: Holding,
}

/// Addresses of an ENI for pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// Secondary IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Delegated IPv4 prefixes.
    pub prefixes: Vec<Ipv4Net>,
    /// Delegated IPv6 prefixes. Single IPv6 addresses are the node's own.
    pub ipv6_prefixes: Vec<Ipv6Net>,
}

impl Holding {
    /// The IPv4 addresses: single ones, and all of each prefix.
    pub(crate) fn all_v4(&self) -> impl Iterator<Item = Ipv4Addr> {
        // `hosts` would leave out the first and the last, which pods may have.
        let within = self.prefixes.iter().flat_map(|prefix| {
            let (first, last) = (prefix.network(), prefix.broadcast());
            (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from)
        });
        self.addresses.iter().copied().chain(within)
    }
}

/// How an EC2 call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ec2Outcome {
    /// `CreateEni`: the ENI exists, not attached.
    Created {
        /// Its id.
        eni: EniId,
        /// Its addresses for pods.
        holding: Holding,
    },
    /// `Assign`: what was added.
    Assigned(Holding),
    /// Any other call: done.
    Done,
    /// Refused, or failed on the way.
    Failed(Ec2Failure),
}

/// Why an EC2 call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ec2Failure {
    /// EC2's error code, or what failed on the way to EC2.
    pub code: String,
    /// EC2's words.
    pub message: String,
    /// What can be done about it.
    #[serde(skip)]
    pub class: Class,
}
