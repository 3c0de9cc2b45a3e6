//! The addresses of one ENI, counted by state: every input looks at the counts of every ENI.

use std::{collections::BTreeMap, net::Ipv4Addr};

use underlay_types::{LeaseKey, Timestamp};

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
        /// EC2 no longer reports it: no pod gets it any more.
        missing: bool,
    },
    /// An `UnassignAddresses` is under way.
    Releasing,
}

impl Slot {
    /// Whether a cooldown is over, and the old device gone.
    pub(crate) fn has_cooled(&self, now: Timestamp) -> bool {
        matches!(self, Self::Cooling { until, device: None, .. } if *until <= now)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Addresses {
    slots: BTreeMap<Ipv4Addr, Slot>,
    free: usize,
    leased: usize,
    cooling: usize,
    releasing: usize,
}

impl Addresses {
    pub(crate) const fn free(&self) -> usize {
        self.free
    }

    pub(crate) const fn leased(&self) -> usize {
        self.leased
    }

    pub(crate) const fn cooling(&self) -> usize {
        self.cooling
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn get(&self, address: Ipv4Addr) -> Option<&Slot> {
        self.slots.get(&address)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    pub(crate) fn set(&mut self, address: Ipv4Addr, slot: Slot) {
        *self.count_mut(&slot) += 1;
        if let Some(old) = self.slots.insert(address, slot) {
            *self.count_mut(&old) -= 1;
        }
    }

    pub(crate) fn remove(&mut self, address: Ipv4Addr) {
        if let Some(old) = self.slots.remove(&address) {
            *self.count_mut(&old) -= 1;
        }
    }

    /// Lets `change` change every address.
    pub(crate) fn update(&mut self, mut change: impl FnMut(Ipv4Addr, &mut Slot)) {
        for (address, slot) in &mut self.slots {
            change(*address, slot);
        }
        self.recount();
    }

    /// EC2 has none of them any more: what pods and cooldowns hold is missing, the rest forgotten.
    pub(crate) fn lose(&mut self) {
        self.update(|_, slot| {
            if let Slot::Leased { missing, .. } | Slot::Cooling { missing, .. } = slot {
                *missing = true;
            }
        });
        self.retain(|_, slot| matches!(slot, Slot::Leased { .. } | Slot::Cooling { .. }));
    }

    /// Forgets the addresses that `keep` refuses.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Ipv4Addr, &Slot) -> bool) {
        self.slots.retain(|address, slot| keep(*address, slot));
        self.recount();
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

    /// When each cooldown ends at the earliest.
    pub(crate) fn cooling_ends(&self) -> impl Iterator<Item = Timestamp> {
        let slots = (self.cooling > 0).then_some(&self.slots);
        slots
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|slot| match slot {
                Slot::Cooling { until, .. } => Some(*until),
                Slot::Free { .. } | Slot::Leased { .. } | Slot::Releasing => None,
            })
    }

    /// When each cooling address serves pods again at the earliest.
    pub(crate) fn next_frees(&self) -> impl Iterator<Item = Timestamp> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Cooling {
                until,
                missing: false,
                ..
            } => Some(*until),
            Slot::Cooling { .. } | Slot::Free { .. } | Slot::Leased { .. } | Slot::Releasing => {
                None
            }
        })
    }

    fn recount(&mut self) {
        let count =
            |matches: fn(&Slot) -> bool| self.slots.values().filter(|slot| matches(slot)).count();
        (self.free, self.leased, self.cooling, self.releasing) = (
            count(|slot| matches!(slot, Slot::Free { .. })),
            count(|slot| matches!(slot, Slot::Leased { .. })),
            count(|slot| matches!(slot, Slot::Cooling { .. })),
            count(|slot| matches!(slot, Slot::Releasing)),
        );
    }

    fn count_mut(&mut self, slot: &Slot) -> &mut usize {
        match slot {
            Slot::Free { .. } => &mut self.free,
            Slot::Leased { .. } => &mut self.leased,
            Slot::Cooling { .. } => &mut self.cooling,
            Slot::Releasing => &mut self.releasing,
        }
    }
}
