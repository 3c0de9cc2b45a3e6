//! What the allocator wants done.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use underlay_types::{EniId, LeaseKey, PodAddresses, PoolKey, SecurityGroupSet};

use crate::{ADDRESSES_PER_PREFIX, AllocError, Delegation, Ec2Failure, Place, Standing};

/// Names a request for an address, from [`crate::PodAdd`] to its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names an EC2 operation, from [`Action::Ec2`] to its outcome. Grows; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OpId(pub u64);

/// Addresses in use by a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which interface of which container.
    pub key: LeaseKey,
    /// Its addresses.
    pub addresses: PodAddresses,
    /// The ENI that holds them.
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
    /// Add addresses or prefixes to an ENI.
    Assign {
        /// The ENI.
        eni: EniId,
        /// What.
        grant: Grant,
    },
    /// Attach an ENI.
    AttachEni {
        /// The ENI.
        eni: EniId,
        /// Where.
        place: Place,
    },
    /// Create an ENI with its addresses in the same call.
    CreateEni {
        /// The pool whose groups and subnet it gets.
        pool: PoolKey,
        /// What it has of IPv4 from the start, besides its primary address.
        grant: Grant,
        /// Whether it has an IPv6 prefix from the start.
        ipv6_prefix: bool,
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
    /// Take IPv6 prefixes from an ENI.
    UnassignIpv6Prefixes {
        /// The ENI.
        eni: EniId,
        /// Which ones.
        prefixes: Vec<Ipv6Net>,
    },
    /// Take IPv4 prefixes from an ENI.
    UnassignPrefixes {
        /// The ENI.
        eni: EniId,
        /// Which ones.
        prefixes: Vec<Ipv4Net>,
    },
}

impl Ec2Op {
    /// The existing ENI that the call works on; none for one that creates it.
    #[must_use]
    pub const fn eni(&self) -> Option<&EniId> {
        match self {
            Self::Assign { eni, .. }
            | Self::AttachEni { eni, .. }
            | Self::DeleteEni { eni }
            | Self::DetachEni { eni }
            | Self::SetDeleteOnTermination { eni }
            | Self::UnassignAddresses { eni, .. }
            | Self::UnassignIpv6Prefixes { eni, .. }
            | Self::UnassignPrefixes { eni, .. } => Some(eni),
            Self::CreateEni { .. } => None,
        }
    }
}

/// What EC2 is asked to give an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// That many secondary IPv4 addresses.
    Addresses(u16),
    /// That many IPv4 prefixes, /28.
    Prefixes(u16),
    /// One IPv6 prefix, /80.
    Ipv6Prefix,
}

impl Grant {
    /// What takes `places` places of an ENI.
    #[must_use]
    pub(crate) const fn new(delegation: Delegation, places: u16) -> Self {
        match delegation {
            Delegation::Addresses => Self::Addresses(places),
            Delegation::Prefixes => Self::Prefixes(places),
        }
    }

    /// How many places of the ENI for IPv4 it takes.
    #[must_use]
    pub const fn places(self) -> u16 {
        match self {
            Self::Addresses(places) | Self::Prefixes(places) => places,
            Self::Ipv6Prefix => 0,
        }
    }

    /// How many IPv4 addresses it has for pods.
    #[must_use]
    pub const fn addresses(self) -> u16 {
        match self {
            Self::Ipv6Prefix => 0,
            Self::Addresses(count) => count,
            Self::Prefixes(count) => count.saturating_mul(ADDRESSES_PER_PREFIX),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(count) => write!(f, "{count} addresses"),
            Self::Prefixes(count) => write!(f, "{count} prefixes"),
            Self::Ipv6Prefix => f.write_str("an IPv6 prefix"),
        }
    }
}

impl fmt::Display for Ec2Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assign { eni, grant } => write!(f, "assign {grant} to {eni}"),
            Self::AttachEni { eni, place } => write!(f, "attach {eni} at {place}"),
            Self::CreateEni {
                pool,
                grant,
                ipv6_prefix,
            } => {
                write!(f, "create an ENI for {pool} with {grant}")?;
                if *ipv6_prefix {
                    write!(f, " and {}", Grant::Ipv6Prefix)?;
                }
                Ok(())
            }
            Self::DeleteEni { eni } => write!(f, "delete {eni}"),
            Self::DetachEni { eni } => write!(f, "detach {eni}"),
            Self::SetDeleteOnTermination { eni } => {
                write!(f, "set DeleteOnTermination of {eni}")
            }
            Self::UnassignAddresses { eni, addresses } => {
                write!(f, "unassign {} addresses of {eni}", addresses.len())
            }
            Self::UnassignIpv6Prefixes { eni, prefixes } => {
                write!(f, "unassign {} IPv6 prefixes of {eni}", prefixes.len())
            }
            Self::UnassignPrefixes { eni, prefixes } => {
                write!(f, "unassign {} prefixes of {eni}", prefixes.len())
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
        address: IpAddr,
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
    /// What may be done with an ENI is no longer what it was.
    #[error("{eni} with {leases} pods {}", consequence(*standing))]
    Standing {
        /// The ENI.
        eni: EniId,
        /// What may be done with it now.
        standing: Standing,
        /// Pods that have addresses of it.
        leases: usize,
    },
    /// An ENI carries its pool's groups again.
    #[error("{eni} carries its pool's groups again: pods get its addresses")]
    GroupsRestored {
        /// The ENI.
        eni: EniId,
    },
}

/// What a new standing means for an ENI.
const fn consequence(standing: Standing) -> &'static str {
    match standing {
        Standing::Serving => "serves pods again",
        Standing::Emptying => "serves no more pods, as configured: it is emptied as they go",
        Standing::Unmanaged => {
            "is marked as unmanaged: no more pods get its addresses, and it is left as it is"
        }
    }
}

impl Notice {
    /// What it is about, in one word for counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AddressMissing { .. } => "address_missing",
            Self::Ec2Failed { .. } => "ec2_failed",
            Self::EniMissing { .. } => "eni_missing",
            Self::EniUnready { .. } => "eni_unready",
            Self::GroupsDiffer { .. } => "groups_differ",
            Self::GroupsRestored { .. } => "groups_restored",
            Self::Standing { .. } => "standing",
        }
    }
}
