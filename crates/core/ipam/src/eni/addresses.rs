//! The addresses of one ENI, counted by state: every input looks at the counts of every ENI.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use underlay_types::{LeaseKey, Timestamp};

use crate::PREFIX_LENGTH;

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

    /// Whether the address can leave the ENI now: no pod has it, and no device that still exists.
    pub(crate) const fn is_unused(&self) -> bool {
        matches!(self, Self::Free { .. } | Self::Cooling { device: None, .. })
    }

    const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Leased { missing: true, .. } | Self::Cooling { missing: true, .. }
        )
    }
}

/// Addresses, one by one, and the delegated prefixes that some of them belong to.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    slots: BTreeMap<Ipv4Addr, Slot>,
    prefixes: BTreeSet<Ipv4Net>,
    /// Single addresses that EC2 gives this ENI while pods of another one still have them.
    elsewhere: BTreeSet<Ipv4Addr>,
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

    /// How many of the ENI's places they take: an address one, a prefix one.
    pub(crate) fn places(&self) -> usize {
        let single = |(address, slot): &(&Ipv4Addr, &Slot)| {
            !slot.is_missing() && self.prefix_of(**address).is_none()
        };
        let single = self.slots.iter().filter(single).count();
        self.prefixes.len() + self.elsewhere.len() + single
    }

    pub(crate) fn get(&self, address: Ipv4Addr) -> Option<&Slot> {
        self.slots.get(&address)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    pub(crate) fn prefixes(&self) -> &BTreeSet<Ipv4Net> {
        &self.prefixes
    }

    /// Notes that these prefixes are delegated, besides those known. Says nothing of their
    /// addresses.
    pub(crate) fn add_prefixes(&mut self, prefixes: impl IntoIterator<Item = Ipv4Net>) {
        self.prefixes.extend(prefixes);
    }

    /// Forgets the prefixes that `keep` refuses. Says nothing of their addresses.
    pub(crate) fn retain_prefixes(&mut self, keep: impl FnMut(&Ipv4Net) -> bool) {
        self.prefixes.retain(keep);
    }

    /// Notes which of the addresses that EC2 gives this ENI are held by another one.
    pub(crate) fn set_elsewhere(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        self.elsewhere = addresses.into_iter().collect();
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
        self.prefixes.clear();
        self.elsewhere.clear();
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

    /// The address that a pod gets next: of the fullest prefix, so that others empty and can be
    /// given back, then of the single ones; there the one that has been free longest.
    pub(crate) fn next_free(&self) -> Option<Ipv4Addr> {
        let fullest = self
            .prefixes
            .iter()
            .map(|prefix| (self.free_of(prefix).count(), prefix))
            .filter(|(free, _)| *free > 0)
            .min();
        match fullest {
            Some((_, prefix)) => self.free_of(prefix).min(),
            None => free_slots(&self.slots).min(),
        }
        .map(|(_, address)| address)
    }

    /// What `allows` lets go: whole prefixes, and single addresses.
    pub(crate) fn unused(&self, allows: fn(&Slot) -> bool) -> Unused {
        let whole = |prefix: &&Ipv4Net| {
            let mut within = self.within(prefix);
            within.all(|(_, slot)| allows(slot)) && self.within(prefix).next().is_some()
        };
        let single = |(address, slot): &(&Ipv4Addr, &Slot)| {
            allows(slot) && !slot.is_missing() && self.prefix_of(**address).is_none()
        };
        Unused {
            addresses: self
                .slots
                .iter()
                .filter(single)
                .map(|(address, _)| *address)
                .collect(),
            prefixes: self.prefixes.iter().filter(whole).copied().collect(),
        }
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

    /// The delegated prefix that an address belongs to.
    fn prefix_of(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        let prefix = Ipv4Net::new(address, PREFIX_LENGTH).ok()?.trunc();
        self.prefixes.contains(&prefix).then_some(prefix)
    }

    fn within(&self, prefix: &Ipv4Net) -> impl Iterator<Item = (&Ipv4Addr, &Slot)> {
        self.slots.range(prefix.network()..=prefix.broadcast())
    }

    fn free_of(&self, prefix: &Ipv4Net) -> impl Iterator<Item = (Timestamp, Ipv4Addr)> {
        free_slots(self.within(prefix))
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

/// What an ENI can give back at once.
#[derive(Debug, Default)]
pub(crate) struct Unused {
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) prefixes: Vec<Ipv4Net>,
}

impl Unused {
    pub(crate) const fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }
}

fn free_slots<'a>(
    slots: impl IntoIterator<Item = (&'a Ipv4Addr, &'a Slot)>,
) -> impl Iterator<Item = (Timestamp, Ipv4Addr)> {
    slots.into_iter().filter_map(|(address, slot)| match slot {
        Slot::Free { since } => Some((*since, *address)),
        Slot::Leased { .. } | Slot::Cooling { .. } | Slot::Releasing => None,
    })
}
