//! What the allocator wants done.

use std::{fmt, net::Ipv4Addr};

use serde::Serialize;
use underlay_types::{EniId, LeaseKey, PoolKey, SecurityGroupSet};

use crate::{AllocError, Ec2Failure, Place};

/// Names a request for an address, from [`crate::PodAdd`] to its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names an EC2 operation, from [`Action::Ec2`] to its outcome. Grows; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OpId(pub u64);

/// An address in use by a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which interface of which container.
    pub key: LeaseKey,
    /// The address.
    pub address: Ipv4Addr,
    /// The ENI that holds it.
    pub eni: EniId,
    /// The pool it came from.
    pub pool: PoolKey,
}

/// What the allocator wants done. Carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The one answer to a [`crate::PodAdd`].
    Reply(RequestId, Result<Lease, Box<AllocError>>),
    /// Call EC2 and report the outcome under this id.
    Ec2(OpId, Ec2Op),
    /// Make the node route through this attached ENI, and answer `EniReady` or `EniUnready`.
    UseEni(EniId),
    /// Stop the node from using this ENI, and answer `EniDropped`.
    DropEni(EniId),
    /// Ask EC2 what this instance has, and answer `Observed`.
    Observe,
    /// Tell people.
    Report(Notice),
}

/// A call to EC2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ec2Op {
    /// Add secondary addresses to an ENI.
    AssignAddresses {
        /// The ENI.
        eni: EniId,
        /// How many.
        count: u16,
    },
    /// Attach an ENI.
    AttachEni {
        /// The ENI.
        eni: EniId,
        /// Where.
        place: Place,
    },
    /// Create an ENI with secondary addresses in the same call.
    CreateEni {
        /// The pool whose groups and subnet it gets.
        pool: PoolKey,
        /// How many secondary addresses.
        addresses: u16,
    },
    /// Delete a detached ENI.
    DeleteEni {
        /// The ENI.
        eni: EniId,
    },
    /// Detach an ENI and wait until it is.
    DetachEni {
        /// The ENI.
        eni: EniId,
    },
    /// Make an attached ENI go when the instance goes.
    SetDeleteOnTermination {
        /// The ENI.
        eni: EniId,
    },
    /// Take secondary addresses from an ENI.
    UnassignAddresses {
        /// The ENI.
        eni: EniId,
        /// Which ones.
        addresses: Vec<Ipv4Addr>,
    },
}

impl fmt::Display for Ec2Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssignAddresses { eni, count } => write!(f, "assign {count} addresses to {eni}"),
            Self::AttachEni { eni, place } => write!(f, "attach {eni} at {place}"),
            Self::CreateEni { pool, addresses } => {
                write!(f, "create an ENI for {pool} with {addresses} addresses")
            }
            Self::DeleteEni { eni } => write!(f, "delete {eni}"),
            Self::DetachEni { eni } => write!(f, "detach {eni}"),
            Self::SetDeleteOnTermination { eni } => {
                write!(f, "set DeleteOnTermination of {eni}")
            }
            Self::UnassignAddresses { eni, addresses } => {
                write!(f, "unassign {} addresses of {eni}", addresses.len())
            }
        }
    }
}

/// Something people should know; each is reported once until it changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// A pod's address is no longer on its ENI, as EC2 says.
    #[error(
        "{address} of {key} is no longer assigned to {eni} in EC2; the pod keeps it until its DEL"
    )]
    AddressMissing {
        /// The address.
        address: Ipv4Addr,
        /// The ENI it was on.
        eni: EniId,
        /// Who holds it.
        key: LeaseKey,
    },
    /// An EC2 call failed.
    #[error("EC2 refused to {what}: {} ({})", failure.code, failure.message)]
    Ec2Failed {
        /// The call.
        what: String,
        /// EC2's answer.
        failure: Ec2Failure,
    },
    /// An ENI with pods is no longer attached to this instance, as EC2 says.
    #[error("{eni} with {leases} pods is no longer attached to this instance")]
    EniMissing {
        /// The ENI.
        eni: EniId,
        /// Pods that have addresses of it.
        leases: usize,
    },
    /// The node cannot route through an attached ENI.
    #[error("the node cannot use {eni}: {reason}")]
    EniUnready {
        /// The ENI.
        eni: EniId,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody changed an ENI's security groups.
    #[error("{eni} carries {found} instead of {expected}: no more pods get its addresses")]
    GroupsDiffer {
        /// The ENI.
        eni: EniId,
        /// The groups of its pool.
        expected: SecurityGroupSet,
        /// The groups it carries.
        found: SecurityGroupSet,
    },
    /// An ENI carries its pool's groups again.
    #[error("{eni} carries its pool's groups again: pods get its addresses")]
    GroupsRestored {
        /// The ENI.
        eni: EniId,
    },
}
