//! One ENI and its addresses.

mod addresses;

use serde::Serialize;
use underlay_types::{EniId, PoolKey, Timestamp};

use crate::{Grant, OpId, Place, backoff::Backoff};
pub(crate) use addresses::{Addresses, Slot, Unused};

/// How far an ENI is on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Exists and is not attached: to be attached, or deleted once no pod has its addresses.
    Detached,
    Attaching,
    /// Attached; the node is making itself route through it.
    Preparing,
    Active,
    /// The node is removing its routes.
    Dropping,
    Detaching,
    Deleting,
    /// EC2 does not report it, but pods have its addresses, or had them lately.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Eni {
    pub(crate) pool: PoolKey,
    pub(crate) primary: bool,
    pub(crate) place: Option<Place>,
    pub(crate) stage: Stage,
    /// Its groups are not the pool's: no address is handed out.
    pub(crate) suspended: bool,
    pub(crate) slots: Addresses,
    /// What it will be once the node has dropped it.
    pub(crate) dropped_to: Stage,
    /// The node has been asked to use or drop it and has not answered.
    pub(crate) awaited: bool,
    /// The one EC2 call under way for it.
    pub(crate) op: Option<OpId>,
    /// What that call will bring.
    pub(crate) expecting: Option<Grant>,
    pub(crate) backoff: Backoff,
    /// Since when it has neither leases nor cooling addresses.
    pub(crate) idle_since: Option<Timestamp>,
    /// When this side last changed something: older observations are not judged.
    pub(crate) changed: Timestamp,
    /// Consecutive observations without it, or that show it unattached while it is in use.
    pub(crate) missed: u8,
}

impl Eni {
    pub(crate) fn new(pool: PoolKey, stage: Stage, now: Timestamp) -> Self {
        Self {
            pool,
            primary: false,
            place: None,
            stage,
            suspended: false,
            slots: Addresses::default(),
            dropped_to: Stage::Detaching,
            awaited: false,
            op: None,
            expecting: None,
            backoff: Backoff::default(),
            idle_since: None,
            changed: now,
            missed: 0,
        }
    }

    /// Addresses that the call under way will bring.
    pub(crate) fn expected_addresses(&self) -> usize {
        self.expecting.map_or(0, |grant| grant.addresses().into())
    }

    /// Neither pods nor cooling addresses keep it.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.leased() == 0 && self.slots.cooling() == 0
    }

    /// The node routes through it, or is about to.
    pub(crate) const fn is_used(&self) -> bool {
        matches!(self.stage, Stage::Preparing | Stage::Active)
    }

    /// Takes a device slot of the instance.
    pub(crate) const fn takes_slot(&self) -> bool {
        matches!(
            self.stage,
            Stage::Attaching
                | Stage::Preparing
                | Stage::Active
                | Stage::Dropping
                | Stage::Detaching
        )
    }

    /// Its free addresses serve pods now or soon.
    pub(crate) const fn supplies(&self) -> bool {
        !self.suspended
            && matches!(
                self.stage,
                Stage::Attaching | Stage::Preparing | Stage::Active
            )
    }

    /// EC2 can add addresses that will serve pods.
    pub(crate) const fn is_attached(&self) -> bool {
        !self.suspended && self.is_used()
    }

    pub(crate) const fn leaves(&self) -> bool {
        matches!(self.stage, Stage::Dropping | Stage::Detaching)
    }

    /// Neither the node nor EC2 is at work on it: it may be sent away.
    pub(crate) const fn is_settled(&self) -> bool {
        self.is_used() && self.op.is_none() && !self.awaited
    }

    pub(crate) fn serves(&self, pool: &PoolKey) -> bool {
        self.pool == *pool && self.stage == Stage::Active && !self.suspended
    }
}

/// Sorts a map's ENIs: the primary one first, then the fullest, then by id.
pub(crate) fn packing_order(
    (left_id, left): &(&EniId, &Eni),
    (right_id, right): &(&EniId, &Eni),
) -> std::cmp::Ordering {
    (right.primary, right.slots.leased())
        .cmp(&(left.primary, left.slots.leased()))
        .then_with(|| left_id.cmp(right_id))
}
