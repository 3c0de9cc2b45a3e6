//! IPv4: single addresses and /28 prefixes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use underlay_types::Timestamp;

use super::{Addresses, Slot};
use crate::PREFIX_LENGTH;

impl Addresses<Ipv4Net> {
    /// How many of the ENI's places they take: an address one, a prefix one. What pods of another
    /// ENI still have takes its place here all the same.
    pub(crate) fn places(&self) -> usize {
        let single = |(address, slot): &(&Ipv4Addr, &Slot)| {
            !slot.is_missing() && self.prefix_of(**address).is_none()
        };
        let single = self.slots.iter().filter(single).count();
        self.prefixes.len() + self.elsewhere.len() + single
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
