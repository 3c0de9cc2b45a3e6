//! Pods come and go: leases out of free addresses, and back into cooldown.

use underlay_types::{LeaseKey, PodAddresses, PoolKey};

use super::{Ipam, Waiter};
use crate::{
    Action, AllocError, Lease, PodAdd, Reason,
    eni::{Slot, packing_order},
};

impl Ipam {
    /// The lease of a key, if it has one.
    #[must_use]
    pub fn lease(&self, key: &LeaseKey) -> Option<Lease> {
        let (eni, addresses) = self.leases.get(key)?;
        let pool = self.enis.get(eni)?.pool.clone();
        Some(Lease {
            key: key.clone(),
            addresses: *addresses,
            eni: eni.clone(),
            pool,
        })
    }

    pub(super) fn pod_add(&mut self, add: PodAdd, out: &mut Vec<Action>) {
        let PodAdd {
            request,
            key,
            pool,
            deadline,
        } = add;
        let answer = if let Some(lease) = self.lease(&key) {
            if lease.pool == pool {
                Ok(lease)
            } else {
                Err(self.refusal(pool, Reason::OtherPool(lease.pool)))
            }
        } else if self.waiting.iter().any(|waiter| waiter.key == key) {
            Err(self.refusal(pool, Reason::AlreadyWaiting))
        } else if self.draining {
            Err(self.refusal(pool, Reason::Draining))
        } else {
            let since = self.now;
            self.waiting.push(Waiter {
                request,
                key,
                pool,
                since,
                deadline,
            });
            return;
        };
        out.push(Action::Reply(request, answer));
    }

    /// Ends a lease. An old record may name an address that is another pod's by now: that stays.
    pub(super) fn pod_del(&mut self, key: LeaseKey) {
        let until = self.now + self.config.cooldown;
        let Some((id, addresses)) = self.leases.remove(&key) else {
            return;
        };
        let Some(eni) = self.enis.get_mut(&id) else {
            return;
        };
        if let Some(address) = addresses.v4()
            && let Some(Slot::Leased {
                key: holder,
                missing,
            }) = eni.slots.get(address)
            && *holder == key
        {
            let cooling = Slot::Cooling {
                until,
                device: Some(key),
                missing: *missing,
            };
            eni.slots.set(address, cooling);
        }
    }

    pub(super) fn device_gone(&mut self, key: &LeaseKey) {
        for eni in self.enis.values_mut().filter(|eni| eni.slots.cooling() > 0) {
            eni.slots.update(|_, slot| {
                if let Slot::Cooling { device, .. } = slot
                    && device.as_ref() == Some(key)
                {
                    *device = None;
                }
            });
        }
    }

    /// Gives free addresses to those who wait, in the order they came.
    pub(super) fn serve_waiting(&mut self, out: &mut Vec<Action>) {
        for waiter in std::mem::take(&mut self.waiting) {
            match self.take(&waiter.key, &waiter.pool) {
                Some(lease) => out.push(Action::Reply(waiter.request, Ok(lease))),
                None => self.waiting.push(waiter),
            }
        }
    }

    /// Leases an address of the fullest ENI, so that the emptiest drain.
    fn take(&mut self, key: &LeaseKey, pool: &PoolKey) -> Option<Lease> {
        let (id, address) = self
            .enis
            .iter()
            .filter(|(_, eni)| eni.serves(pool) && eni.slots.free() > 0)
            .min_by(packing_order)
            .and_then(|(id, eni)| Some((id.clone(), eni.slots.next_free()?)))?;
        let eni = self.enis.get_mut(&id)?;
        eni.slots.set(
            address,
            Slot::Leased {
                key: key.clone(),
                missing: false,
            },
        );
        let addresses = PodAddresses::from(address);
        self.leases.insert(key.clone(), (id.clone(), addresses));
        Some(Lease {
            key: key.clone(),
            addresses,
            eni: id,
            pool: pool.clone(),
        })
    }

    pub(super) fn refusal(&self, pool: PoolKey, reason: Reason) -> Box<AllocError> {
        let numbers = self.numbers(&pool);
        Box::new(AllocError {
            pool,
            numbers,
            reason,
        })
    }
}
