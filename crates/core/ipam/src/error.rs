//! Why a pod got no address.

use std::{fmt, time::Duration};

use serde::Serialize;
use underlay_types::{Class, PoolKey};

use crate::Ec2Failure;

/// A pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Numbers {
    /// Addresses a pod could get now.
    pub free: usize,
    /// Addresses in use by pods.
    pub leased: usize,
    /// Released addresses that may not be used yet.
    pub cooling: usize,
    /// All pod addresses assigned to the pool's attached ENIs.
    pub total: usize,
    /// Attached ENIs.
    pub enis: usize,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            free,
            total,
            enis,
            cooling,
            ..
        } = self;
        let plural = if *enis == 1 { "" } else { "s" };
        write!(f, "{free} of {total} free on {enis} ENI{plural}")?;
        if *cooling > 0 {
            write!(f, " ({cooling} cooling down)")?;
        }
        Ok(())
    }
}

/// Why a pod got no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pool {pool}: {numbers}, {reason}")]
pub struct AllocError {
    /// The pool that was asked.
    pub pool: PoolKey,
    /// The pool at that moment.
    pub numbers: Numbers,
    /// Why it could not grow.
    pub reason: Reason,
}

/// Why a pool could not grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The key holds an address of another pool.
    OtherPool(PoolKey),
    /// An earlier request of the same key still waits.
    AlreadyWaiting,
    /// Growth was under way, and not done in time.
    Deadline {
        /// How long the request waited.
        waited: Duration,
        /// What it waited for.
        waited_for: String,
    },
    /// The node is being drained.
    Draining,
    /// The node holds as many addresses as it may.
    Maximum {
        /// How many it holds, or has asked for.
        held: usize,
        /// How many it may.
        maximum: u16,
    },
    /// EC2 refused to let it grow.
    Refused(Ec2Failure),
    /// Every ENI the instance can have is attached and in use, and the pool's are full.
    NoSlot {
        /// ENIs attached, or on their way.
        attached: usize,
        /// ENIs the instance type allows.
        max: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherPool(pool) => write!(f, "the interface has an address of pool {pool}"),
            Self::AlreadyWaiting => f.write_str("an earlier ADD of this interface still waits"),
            Self::Deadline { waited, waited_for } => {
                let seconds = waited.as_secs_f32();
                write!(f, "not filled within {seconds:.1} s: {waited_for}")
            }
            Self::Draining => f.write_str("the node is being drained"),
            Self::Maximum { held, maximum } => {
                write!(f, "and the node holds {held} addresses, {maximum} at most")
            }
            Self::Refused(failure) => {
                write!(
                    f,
                    "growth refused by EC2: {} ({})",
                    failure.code, failure.message
                )
            }
            Self::NoSlot { attached, max } => {
                write!(
                    f,
                    "and no ENI slot for it: {attached} of {max} attached and in use"
                )
            }
        }
    }
}

impl Reason {
    /// What people can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OtherPool(_) => "delete the pod first",
            Self::AlreadyWaiting | Self::Deadline { .. } => "`underlay node status` says more",
            Self::Draining => "`underlay node resume` ends that",
            Self::Maximum { .. } => "raise maximum_target, or move pods to other nodes",
            Self::Refused(failure) if failure.code == "InsufficientFreeAddressesInSubnet" => {
                "give addresses of the subnet back, or name more subnets in [enis]"
            }
            Self::Refused(failure) => match failure.class {
                Class::Denied => "allow it to the node's role (README, IAM policy)",
                Class::Throttled { .. } | Class::Retry | Class::Conflict | Class::NotFound => {
                    "the agent tries again"
                }
                Class::Bug | Class::Invalid => "`underlay node status` says more",
            },
            Self::NoSlot { .. } => "move pods to other nodes, or use a larger instance type",
        }
    }
}

impl AllocError {
    /// What the caller can do about it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match &self.reason {
            Reason::OtherPool(_) | Reason::AlreadyWaiting => Class::Conflict,
            Reason::Deadline { .. }
            | Reason::Draining
            | Reason::Maximum { .. }
            | Reason::NoSlot { .. } => Class::Retry,
            Reason::Refused(failure) => failure.class,
        }
    }
}
