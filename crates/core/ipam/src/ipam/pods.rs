//! Pods come and go: leases out of free addresses, and back into cooldown.

use underlay_types::{EniId, Families, LeaseKey, PodAddresses, PoolKey, Timestamp};

use super::{Ipam, Waiter};
use crate::{
    Action, AllocError, Lease, PodAdd, Reason,
    eni::{Eni, packing_order},
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

    /// The addresses of a key's lease and the ENI that holds them, if it has one.
    #[must_use]
    pub fn leased_to(&self, key: &LeaseKey) -> Option<(&EniId, PodAddresses)> {
        let (eni, addresses) = self.leases.get(key)?;
        Some((eni, *addresses))
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
            self.join_crowd(&pool);
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

    /// The lease of a pod that need not wait, if there is one; otherwise nothing has changed, and
    /// [`Ipam::handle`] takes its [`PodAdd`](crate::Input::PodAdd). What follows from the lease, such
    /// as growth, is left to the next input: feed one soon, if only a [`Tick`](crate::Input::Tick).
    pub fn lease_at_once(
        &mut self,
        now: Timestamp,
        key: &LeaseKey,
        pool: &PoolKey,
    ) -> Option<Lease> {
        if self.draining || !self.waiting.is_empty() || self.leases.contains_key(key) {
            return None;
        }
        self.now = now;
        let lease = self.take(key, pool)?;
        self.join_crowd(pool);
        Some(lease)
    }

    /// Ends a lease.
    pub(super) fn pod_del(&mut self, key: LeaseKey) {
        let until = self.now + self.config.cooldown;
        let Some((id, addresses)) = self.leases.remove(&key) else {
            return;
        };
        let Some(eni) = self.enis.get_mut(&id) else {
            return;
        };
        if let Some(address) = addresses.v4() {
            eni.slots.cool(address, &key, until);
        }
        if let Some(address) = addresses.v6() {
            eni.ipv6.cool(address, &key, until);
        }
    }

    pub(super) fn device_gone(&mut self, key: &LeaseKey) {
        for eni in self.enis.values_mut() {
            eni.slots.device_gone(key);
            eni.ipv6.device_gone(key);
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

    /// Leases addresses of the fullest ENI, so that the emptiest drain; one of each family, both of
    /// the same ENI: its groups and its subnet's routes are the pod's.
    fn take(&mut self, key: &LeaseKey, pool: &PoolKey) -> Option<Lease> {
        let (id, addresses) = self
            .enis
            .iter()
            .filter(|(_, eni)| eni.serves(pool) && eni.free() > 0)
            .min_by(packing_order)
            .and_then(|(id, eni)| Some((id.clone(), self.next_free(eni)?)))?;
        let eni = self.enis.get_mut(&id)?;
        if let Some(address) = addresses.v4() {
            eni.slots.lease(address, key.clone());
        }
        if let Some(address) = addresses.v6() {
            eni.ipv6.lease(address, key.clone());
        }
        self.leases.insert(key.clone(), (id.clone(), addresses));
        Some(Lease {
            key: key.clone(),
            addresses,
            eni: id,
            pool: pool.clone(),
        })
    }

    /// The addresses that a pod gets next of an ENI.
    fn next_free(&self, eni: &Eni) -> Option<PodAddresses> {
        let families = self.config.families;
        let v4 = match families {
            Families::V4 | Families::Dual => Some(eni.slots.next_free()?),
            Families::V6 => None,
        };
        let v6 = match families {
            Families::V6 | Families::Dual => {
                Some(eni.ipv6.next_free(|address| self.is_held(address))?)
            }
            Families::V4 => None,
        };
        PodAddresses::new(v4, v6)
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
