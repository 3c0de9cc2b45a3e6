//! Which ENI holds an address: one, even while EC2 gives it to another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use underlay_types::{EniId, LeaseKey, Timestamp};

use super::Ipam;
use crate::{Action, Holding, Notice, eni::Slot};

impl Ipam {
    /// Adds the addresses that EC2 has just given an ENI. Where another one held them, it has lost
    /// them. What a pod still uses or cools there stays out until that has ended, and an
    /// observation shows it again.
    pub(super) fn add_given(&mut self, id: &EniId, given: &Holding, out: &mut Vec<Action>) {
        for address in given.all_v4() {
            if let Some(given_back) = self.given_back.get_mut(id) {
                given_back.remove(&address);
            }
            self.lose_elsewhere(id, address, out);
        }
        for prefix in &given.ipv6_prefixes {
            self.lose_prefix_elsewhere(id, *prefix, out);
        }
        for (_, eni) in self.enis.iter_mut().filter(|(other, _)| *other != id) {
            eni.slots
                .retain_prefixes(|prefix| !given.prefixes.contains(prefix));
        }
        self.add_observed(self.now, id, given);
        if let Some(eni) = self.enis.get_mut(id) {
            eni.slots.add_elsewhere(&given.addresses);
        }
    }

    /// Adds the addresses that an ENI has, but for those that another one holds, and those that EC2
    /// may only still have shown to a question of `asked`.
    pub(super) fn add_observed(&mut self, asked: Timestamp, id: &EniId, seen: &Holding) {
        let now = self.now;
        let given_back = self.given_back.get(id);
        let there = |address: &Ipv4Addr| {
            let until = given_back.and_then(|given_back| given_back.get(address));
            until.is_none_or(|until| *until <= asked)
        };
        let mut ipv6_prefixes = seen.ipv6_prefixes.clone();
        ipv6_prefixes.retain(|prefix| {
            let mut others = self.enis.iter().filter(|(other, _)| *other != id);
            !others.any(|(_, eni)| eni.ipv6.prefixes().contains(prefix))
        });
        if let Some(eni) = self.enis.get_mut(id) {
            let there = seen
                .prefixes
                .iter()
                .filter(|prefix| there(&prefix.network()));
            eni.slots.add_prefixes(there.copied());
            eni.ipv6.add_prefixes(ipv6_prefixes);
        }
        for address in seen.all_v4() {
            let mut enis = self.enis.values();
            let held = !there(&address) || enis.any(|eni| eni.slots.get(address).is_some());
            if let Some(eni) = self.enis.get_mut(id).filter(|_| !held) {
                eni.slots.set(address, Slot::Free { since: now });
            }
        }
    }

    /// Places of an ENI are taken also by addresses that pods of another one still have.
    pub(super) fn note_held_elsewhere(&mut self, id: &EniId, addresses: &[Ipv4Addr]) {
        if let Some(eni) = self.enis.get_mut(id) {
            eni.slots.clear_elsewhere();
            eni.slots.add_elsewhere(addresses);
        }
    }

    /// Whether a pod has the IPv6 address, on whichever ENI, or it cools down.
    pub(super) fn is_held(&self, address: Ipv6Addr) -> bool {
        let mut enis = self.enis.values();
        enis.any(|eni| eni.ipv6.get(address).is_some())
    }

    fn lose_elsewhere(&mut self, id: &EniId, address: Ipv4Addr, out: &mut Vec<Action>) {
        let others = self.ids(|eni| eni.slots.get(address).is_some());
        for other in others.into_iter().filter(|other| other != id) {
            self.doubt_addresses(&other, std::iter::once(address));
        }
        for (other, eni) in self.enis.iter_mut().filter(|(other, _)| *other != id) {
            let lost = match eni.slots.get(address).cloned() {
                None => continue,
                Some(Slot::Free { .. } | Slot::Releasing) => {
                    eni.slots.remove(address);
                    continue;
                }
                Some(Slot::Leased { key, missing }) => {
                    if !missing {
                        out.push(address_missing(other, address.into(), &key));
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

    fn lose_prefix_elsewhere(&mut self, id: &EniId, lost: Ipv6Net, out: &mut Vec<Action>) {
        for (other, eni) in self.enis.iter_mut().filter(|(other, _)| *other != id) {
            if !eni.ipv6.prefixes().contains(&lost) {
                continue;
            }
            eni.ipv6.retain_prefixes(|prefix| *prefix != lost);
            let left: Vec<_> = eni.ipv6.prefixes().iter().copied().collect();
            eni.ipv6.audit(
                self.now,
                |address| left.iter().any(|prefix| prefix.contains(&address)),
                |_| false,
                |address, key| out.push(address_missing(other, address.into(), key)),
            );
        }
    }
}

pub(super) fn address_missing(eni: &EniId, address: IpAddr, key: &LeaseKey) -> Action {
    Action::Report(Notice::AddressMissing {
        address,
        eni: eni.clone(),
        key: key.clone(),
    })
}
