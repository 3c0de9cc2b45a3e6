//! The addresses of one ENI, counted by state: every input looks at the counts of every ENI.

mod v4;
mod v6;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{LeaseKey, Timestamp};

pub(crate) use v4::Unused;

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

/// What EC2 delegates of a family.
pub(crate) trait Prefix: Copy + Ord + fmt::Debug {
    type Address: Copy + Ord + fmt::Debug;
}

impl Prefix for Ipv4Net {
    type Address = Ipv4Addr;
}

impl Prefix for Ipv6Net {
    type Address = Ipv6Addr;
}

/// Addresses of one family, and the delegated prefixes that some of them belong to. Of IPv4 every
/// address has its slot; of IPv6, where a prefix has 2^48, only those that are leased or cool down.
#[derive(Debug)]
pub(crate) struct Addresses<P: Prefix> {
    slots: BTreeMap<P::Address, Slot>,
    prefixes: BTreeSet<P>,
    /// Single addresses that EC2 gives this ENI while pods of another one still have them.
    elsewhere: BTreeSet<P::Address>,
    free: usize,
    leased: usize,
    cooling: usize,
    releasing: usize,
}

impl<P: Prefix> Default for Addresses<P> {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            prefixes: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            free: 0,
            leased: 0,
            cooling: 0,
            releasing: 0,
        }
    }
}

impl<P: Prefix> Addresses<P> {
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

    pub(crate) fn get(&self, address: P::Address) -> Option<&Slot> {
        self.slots.get(&address)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    pub(crate) fn prefixes(&self) -> &BTreeSet<P> {
        &self.prefixes
    }

    /// Notes that these prefixes are delegated, besides those known. Says nothing of their
    /// addresses.
    pub(crate) fn add_prefixes(&mut self, prefixes: impl IntoIterator<Item = P>) {
        self.prefixes.extend(prefixes);
    }

    /// Forgets the prefixes that `keep` refuses. Says nothing of their addresses.
    pub(crate) fn retain_prefixes(&mut self, keep: impl FnMut(&P) -> bool) {
        self.prefixes.retain(keep);
    }

    /// How many of the addresses that EC2 gives this ENI are held by another one.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere.len()
    }

    /// Forgets which addresses are held by another ENI.
    pub(crate) fn clear_elsewhere(&mut self) {
        self.elsewhere.clear();
    }

    /// Notes which of these, that EC2 gives this ENI, are held by another one: those that are not
    /// here.
    pub(crate) fn add_elsewhere(&mut self, given: &[P::Address]) {
        let given = given.iter().copied();
        let elsewhere = given.filter(|address| !self.slots.contains_key(address));
        self.elsewhere.extend(elsewhere);
    }

    pub(crate) fn set(&mut self, address: P::Address, slot: Slot) {
        *self.count_mut(&slot) += 1;
        if let Some(old) = self.slots.insert(address, slot) {
            *self.count_mut(&old) -= 1;
        }
    }

    pub(crate) fn remove(&mut self, address: P::Address) {
        if let Some(old) = self.slots.remove(&address) {
            *self.count_mut(&old) -= 1;
        }
    }

    /// A pod gets an address.
    pub(crate) fn lease(&mut self, address: P::Address, key: LeaseKey) {
        let missing = false;
        self.set(address, Slot::Leased { key, missing });
    }

    /// An address that `key` held cools down. One that is another pod's by now stays.
    pub(crate) fn cool(&mut self, address: P::Address, key: &LeaseKey, until: Timestamp) {
        if let Some(Slot::Leased {
            key: holder,
            missing,
        }) = self.slots.get(&address)
            && holder == key
        {
            let cooling = Slot::Cooling {
                until,
                device: Some(key.clone()),
                missing: *missing,
            };
            self.set(address, cooling);
        }
    }

    /// An address goes on cooling down, if no pod has it.
    pub(crate) fn cool_again(
        &mut self,
        address: P::Address,
        until: Timestamp,
        device: Option<LeaseKey>,
    ) {
        if !matches!(self.slots.get(&address), Some(Slot::Leased { .. })) {
            let cooling = Slot::Cooling {
                until,
                device,
                missing: false,
            };
            self.set(address, cooling);
        }
    }

    /// The device of `gone` no longer keeps its addresses from being used.
    pub(crate) fn device_gone(&mut self, gone: &LeaseKey) {
        if self.cooling == 0 {
            return;
        }
        self.update(|_, slot| {
            if let Slot::Cooling { device, .. } = slot
                && device.as_ref() == Some(gone)
            {
                *device = None;
            }
        });
    }

    /// EC2 reports the addresses for which `is_there` holds. `newly_missing` hears of leased ones
    /// that are not, once. Cooldowns go on, as EC2 may give the same address again. What was asked
    /// back may still be shown though it is gone: as long as `is_doubtful`, no pod gets it.
    pub(crate) fn audit(
        &mut self,
        now: Timestamp,
        is_there: impl Fn(P::Address) -> bool,
        is_doubtful: impl Fn(P::Address) -> bool,
        mut newly_missing: impl FnMut(P::Address, &LeaseKey),
    ) {
        self.update(|address, slot| {
            let gone = !is_there(address);
            match slot {
                Slot::Leased { key, missing } => {
                    if gone && !*missing {
                        newly_missing(address, key);
                    }
                    *missing = gone;
                }
                Slot::Cooling { missing, .. } => *missing = gone,
                // Giving it back has failed.
                Slot::Releasing if !is_doubtful(address) => *slot = Slot::Free { since: now },
                Slot::Releasing | Slot::Free { .. } => {}
            }
        });
        self.retain(|address, slot| {
            is_there(address) || matches!(slot, Slot::Leased { .. } | Slot::Cooling { .. })
        });
    }

    /// Lets `change` change every address.
    pub(crate) fn update(&mut self, mut change: impl FnMut(P::Address, &mut Slot)) {
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
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(P::Address, &Slot) -> bool) {
        self.slots.retain(|address, slot| keep(*address, slot));
        self.recount();
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
