//! Which ENI holds an address: one, even while EC2 gives it to another.

use std::net::Ipv4Addr;

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
        addresses: Vec<Ipv4Addr>,
        out: &mut Vec<Action>,
    ) {
        for address in &addresses {
            self.lose_elsewhere(id, *address, out);
        }
        self.add_observed(id, addresses);
    }

    /// Adds the addresses that an ENI has, but for those that another one holds.
    pub(super) fn add_observed(&mut self, id: &EniId, addresses: Vec<Ipv4Addr>) {
        let now = self.now;
        for address in addresses {
            let held = self
                .enis
                .values()
                .any(|eni| eni.slots.get(address).is_some());
            if let Some(eni) = self.enis.get_mut(id).filter(|_| !held) {
                eni.slots.set(address, Slot::Free { since: now });
            }
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
