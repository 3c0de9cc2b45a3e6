//! Which ENI holds an address: one, even while EC2 gives it to another.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use underlay_types::EniId;

use super::Ipam;
use crate::{Action, Notice, eni::Slot};

impl Ipam {
    /// Adds the addresses that EC2 has just given an ENI. Where another one held them, it has lost
    /// them. What a pod still uses or cools there stays out until that has ended, and an
    /// observation shows it again.
    pub(super) fn add_given(
        &mut self,
        id: &EniId,
        addresses: &[Ipv4Addr],
        prefixes: &[Ipv4Net],
        out: &mut Vec<Action>,
    ) {
        for address in all_addresses(addresses, prefixes) {
            self.given_back.remove(&address);
            self.lose_elsewhere(id, address, out);
        }
        for (_, eni) in self.enis.iter_mut().filter(|(other, _)| *other != id) {
            eni.slots
                .retain_prefixes(|prefix| !prefixes.contains(prefix));
        }
        self.add_observed(id, addresses, prefixes);
    }

    /// Adds the addresses that an ENI has, but for those that another one holds, and those that EC2
    /// may only still show.
    pub(super) fn add_observed(
        &mut self,
        id: &EniId,
        addresses: &[Ipv4Addr],
        prefixes: &[Ipv4Net],
    ) {
        let now = self.now;
        let there = |address: &Ipv4Addr| {
            self.given_back
                .get(address)
                .is_none_or(|until| *until <= now)
        };
        if let Some(eni) = self.enis.get_mut(id) {
            let there = prefixes.iter().filter(|prefix| there(&prefix.network()));
            eni.slots.add_prefixes(there.copied());
        }
        for address in all_addresses(addresses, prefixes) {
            let held = self
                .given_back
                .get(&address)
                .is_some_and(|until| *until > now)
                || self
                    .enis
                    .values()
                    .any(|eni| eni.slots.get(address).is_some());
            if let Some(eni) = self.enis.get_mut(id).filter(|_| !held) {
                eni.slots.set(address, Slot::Free { since: now });
            }
        }
    }

    /// Places of an ENI are taken also by addresses that pods of another one still have.
    pub(super) fn note_held_elsewhere(&mut self, id: &EniId, addresses: &[Ipv4Addr]) {
        if let Some(eni) = self.enis.get_mut(id) {
            let elsewhere = addresses.iter().copied();
            let elsewhere = elsewhere.filter(|address| eni.slots.get(*address).is_none());
            let elsewhere: Vec<_> = elsewhere.collect();
            eni.slots.set_elsewhere(elsewhere);
        }
    }

    fn lose_elsewhere(&mut self, id: &EniId, address: Ipv4Addr, out: &mut Vec<Action>) {
        for (other, eni) in self.enis.iter_mut().filter(|(other, _)| *other != id) {
            let lost = match eni.slots.get(address).cloned() {
                None => continue,
                Some(Slot::Free { .. } | Slot::Releasing) => {
                    eni.slots.remove(address);
                    continue;
                }
                Some(Slot::Leased { key, missing }) => {
                    if !missing {
                        out.push(Action::Report(Notice::AddressMissing {
                            address,
                            eni: other.clone(),
                            key: key.clone(),
                        }));
                    }
                    Slot::Leased { key, missing: true }
                }
                Some(Slot::Cooling { until, device, .. }) => Slot::Cooling {
                    until,
                    device,
                    missing: true,
                },
            };
            eni.slots.set(address, lost);
        }
    }
}

/// What EC2 gave in addresses: single ones, and all of each prefix.
pub(super) fn all_addresses(
    addresses: &[Ipv4Addr],
    prefixes: &[Ipv4Net],
) -> impl Iterator<Item = Ipv4Addr> {
    // `hosts` would leave out the first and the last, which pods may have.
    let within = prefixes.iter().flat_map(|prefix| {
        let (first, last) = (prefix.network(), prefix.broadcast());
        (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from)
    });
    addresses.iter().copied().chain(within)
}
