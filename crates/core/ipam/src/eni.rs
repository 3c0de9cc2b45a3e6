//! One ENI and its addresses.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;
use underlay_types::{EniId, LeaseKey, PoolKey, Timestamp};

use crate::{OpId, backoff::Backoff};

/// The state of one address. There is no other place that holds addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Free {
        since: Timestamp,
    },
    Leased {
        key: LeaseKey,
        /// EC2 no longer reports it; said once.
        missing: bool,
    },
    Cooling {
        until: Timestamp,
        /// The lease whose device may still exist; the address stays while this is set.
        device: Option<LeaseKey>,
    },
    /// An `UnassignAddresses` is under way.
    Releasing,
}

/// How far an ENI is on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Exists and is not attached: to be attached, or deleted.
    Detached,
    Attaching,
    /// Attached; the node is making itself route through it.
    Preparing,
    Active,
    /// The node is removing its routes.
    Dropping,
    Detaching,
    Deleting,
    /// EC2 does not report it as attached, but pods have its addresses.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Eni {
    pub(crate) pool: PoolKey,
    pub(crate) primary: bool,
    pub(crate) index: Option<u16>,
    pub(crate) stage: Stage,
    /// Its groups are not the pool's: no address is handed out.
    pub(crate) suspended: bool,
    pub(crate) slots: BTreeMap<Ipv4Addr, Slot>,
    /// The node has been asked to use or drop it and has not answered.
    pub(crate) awaited: bool,
    /// The one EC2 call under way for it.
    pub(crate) op: Option<OpId>,
    /// Addresses that call will bring.
    pub(crate) expecting: u16,
    pub(crate) backoff: Backoff,
    /// Since when it has neither leases nor cooling addresses.
    pub(crate) idle_since: Option<Timestamp>,
    /// When this side last changed something: older observations are not judged.
    pub(crate) changed: Timestamp,
    /// Consecutive observations without it.
    pub(crate) missed: u8,
}

impl Eni {
    pub(crate) fn new(pool: PoolKey, stage: Stage, now: Timestamp) -> Self {
        Self {
            pool,
            primary: false,
            index: None,
            stage,
            suspended: false,
            slots: BTreeMap::new(),
            awaited: false,
            op: None,
            expecting: 0,
            backoff: Backoff::default(),
            idle_since: None,
            changed: now,
            missed: 0,
        }
    }

    pub(crate) fn add_free(
        &mut self,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
        now: Timestamp,
    ) {
        for address in addresses {
            self.slots
                .entry(address)
                .or_insert(Slot::Free { since: now });
        }
    }

    pub(crate) fn count(&self, matches: fn(&Slot) -> bool) -> usize {
        self.slots.values().filter(|slot| matches(slot)).count()
    }

    pub(crate) fn free(&self) -> usize {
        self.count(|slot| matches!(slot, Slot::Free { .. }))
    }

    pub(crate) fn leased(&self) -> usize {
        self.count(|slot| matches!(slot, Slot::Leased { .. }))
    }

    pub(crate) fn cooling(&self) -> usize {
        self.count(|slot| matches!(slot, Slot::Cooling { .. }))
    }

    /// Neither pods nor cooling addresses keep it.
    pub(crate) fn is_idle(&self) -> bool {
        self.leased() == 0 && self.cooling() == 0
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
        !self.suspended && matches!(self.stage, Stage::Preparing | Stage::Active)
    }

    pub(crate) const fn leaves(&self) -> bool {
        matches!(self.stage, Stage::Dropping | Stage::Detaching)
    }

    pub(crate) fn serves(&self, pool: &PoolKey) -> bool {
        self.pool == *pool && self.stage == Stage::Active && !self.suspended
    }

    /// The address that has been free longest.
    pub(crate) fn oldest_free(&self) -> Option<Ipv4Addr> {
        self.slots
            .iter()
            .filter_map(|(address, slot)| match slot {
                Slot::Free { since } => Some((*since, *address)),
                Slot::Leased { .. } | Slot::Cooling { .. } | Slot::Releasing => None,
            })
            .min()
            .map(|(_, address)| address)
    }

    /// When each cooling address may be used at the earliest.
    pub(crate) fn cooling_ends(&self) -> impl Iterator<Item = Timestamp> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Cooling { until, .. } => Some(*until),
            Slot::Free { .. } | Slot::Leased { .. } | Slot::Releasing => None,
        })
    }
}

/// Sorts a map's ENIs: the primary one first, then the fullest, then by id.
pub(crate) fn packing_order(
    (left_id, left): &(&EniId, &Eni),
    (right_id, right): &(&EniId, &Eni),
) -> std::cmp::Ordering {
    (right.primary, right.leased())
        .cmp(&(left.primary, left.leased()))
        .then_with(|| left_id.cmp(right_id))
}
