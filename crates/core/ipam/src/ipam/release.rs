//! Giving ENIs and addresses back.

use underlay_types::{EniId, Family, PoolKey, Timestamp};

use super::Ipam;
use crate::{
    ADDRESSES_PER_PREFIX, Action, Delegation, Ec2Op, Standing,
    eni::{Eni, Slot, Stage, Unused, packing_order},
};

/// Single free addresses beyond the target that are not worth a call.
const TOLERATED_SURPLUS: u16 = 2;

impl Ipam {
    pub(super) fn release(&mut self, out: &mut Vec<Action>) {
        let leaving: Vec<EniId> = self
            .enis
            .iter()
            .filter(|(_, eni)| self.should_leave(eni))
            .map(|(id, _)| id.clone())
            .collect();
        for id in leaving {
            self.leave(&id, Stage::Detaching, out);
        }
        if self.draining {
            self.empty_primary(out);
        } else {
            self.empty_retired_primary(out);
            self.give_back_surplus(out);
        }
        self.detach_dropped(out);
    }

    fn should_leave(&self, eni: &Eni) -> bool {
        if !eni.may_leave() || !eni.is_settled() {
            return false;
        }
        if self.draining {
            return only_without_devices(eni);
        }
        let Some(since) = eni.idle_since else {
            return false;
        };
        if !eni.is_open() {
            return true;
        }
        let idled = since + self.config.idle_release <= self.now;
        idled && self.waiters(&eni.pool) == 0 && self.spares(eni)
    }

    /// Whether the pool has what it should without this ENI.
    fn spares(&self, eni: &Eni) -> bool {
        let free = self.numbers(&eni.pool).free;
        !eni.pool.is_default() || free.saturating_sub(eni.free()) >= self.free_target(&eni.pool)
    }

    /// First the node stops using it, then it goes on from stage `next`: usually it is detached,
    /// then deleted.
    pub(super) fn leave(&mut self, id: &EniId, next: Stage, out: &mut Vec<Action>) {
        if let Some(eni) = self.enis.get_mut(id) {
            eni.stage = Stage::Dropping;
            eni.dropped_to = next;
            eni.awaited = true;
            eni.changed = self.now;
            out.push(Action::DropEni(id.clone()));
        }
    }

    fn detach_dropped(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let leaves =
            |eni: &Eni| eni.stage == Stage::Detaching && eni.leased() == 0 && eni.may_leave();
        for eni in self.ids(|eni| leaves(eni) && eni.may_act(now)) {
            if !self.is_throttled() {
                self.start(Ec2Op::DetachEni { eni }, out);
            }
        }
    }

    /// Deletes unattached ENIs that no pool wants now, once their pods' addresses have cooled down.
    pub(super) fn discard_detached(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        for id in self.ids(|eni| eni.stage == Stage::Detached && eni.may_act(now)) {
            let Some(eni) = self.enis.get(&id) else {
                continue;
            };
            let wanted = if self.is_spent(eni) {
                self.gathers(&eni.pool) || self.creating().any(|(pool, _)| *pool == eni.pool)
            } else {
                eni.is_open() && self.fits(eni) && self.would_attach(&eni.pool)
            };
            let wanted = wanted && !self.draining;
            let held = if self.draining {
                !only_without_devices(eni)
            } else {
                !eni.is_idle()
            };
            if !wanted && !held && eni.may_leave() && !self.is_throttled() {
                if let Some(eni) = self.enis.get_mut(&id) {
                    eni.stage = Stage::Deleting;
                }
                self.start(Ec2Op::DeleteEni { eni: id }, out);
            }
        }
    }

    /// Gives the primary ENI's addresses back, but for those that pods or old devices still hold.
    fn empty_primary(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        if self.is_throttled() {
            return;
        }
        let empties = |eni: &Eni| eni.primary && !eni.is_unmanaged();
        for id in self.ids(|eni| empties(eni) && eni.stage == Stage::Active && eni.may_act(now)) {
            let Some(eni) = self.enis.get_mut(&id) else {
                continue;
            };
            // There is nothing to give back of what EC2 no longer reports.
            eni.slots.retain(|_, slot| {
                !matches!(
                    slot,
                    Slot::Cooling {
                        device: None,
                        missing: true,
                        ..
                    }
                )
            });
            let unused = eni.slots.unused(Slot::is_unused);
            if unused.is_empty() {
                self.unassign_ipv6(id, out);
            } else {
                self.unassign(id, unused, out);
            }
        }
    }

    /// Gives the primary ENI's addresses back where it serves no pods any more: those that rest may
    /// not leave before their time, as EC2 would give them to the next ENI.
    fn empty_retired_primary(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        if self.is_throttled() {
            return;
        }
        let empties = |eni: &Eni| eni.primary && eni.standing == Standing::Emptying;
        for id in self.ids(|eni| empties(eni) && eni.stage == Stage::Active && eni.may_act(now)) {
            let Some(eni) = self.enis.get(&id) else {
                continue;
            };
            let unused = eni.slots.unused(|slot| matches!(slot, Slot::Free { .. }));
            if unused.is_empty() {
                self.unassign_ipv6(id, out);
            } else {
                self.unassign(id, unused, out);
            }
        }
    }

    /// Gives back what a pool has held beyond its target for `idle_release`, of its emptiest ENIs.
    fn give_back_surplus(&mut self, out: &mut Vec<Action>) {
        let pools = self.pools();
        self.surplus_since.retain(|pool, _| pools.contains(pool));
        for pool in pools {
            let spare = self.spare(&pool);
            if spare.is_empty() {
                self.surplus_since.remove(&pool);
                continue;
            }
            let since = *self.surplus_since.entry(pool).or_insert(self.now);
            if since + self.config.idle_release > self.now || self.is_throttled() {
                continue;
            }
            for (id, unused) in spare {
                self.unassign(id, unused, out);
            }
        }
    }

    /// What of each ENI a pool can do without: whole prefixes, and single addresses if it holds
    /// more than a few too many.
    fn spare(&self, pool: &PoolKey) -> Vec<(EniId, Unused)> {
        if pool.is_whole() {
            // A primary address goes with its ENI.
            return Vec::new();
        }
        let free = self.numbers(pool).free;
        let mut surplus = free.saturating_sub(self.free_target(pool));
        let tolerated = match self.config.delegation {
            Delegation::Addresses => TOLERATED_SURPLUS,
            Delegation::Prefixes => ADDRESSES_PER_PREFIX - 1,
        };
        if surplus <= tolerated.into() || self.waiters(pool) > 0 {
            return Vec::new();
        }
        let serving = self.enis.iter().filter(|(_, eni)| eni.serves(pool));
        let mut enis: Vec<_> = serving.collect();
        enis.sort_by(packing_order);
        let mut spare = Vec::new();
        for (id, eni) in enis.into_iter().rev() {
            if !eni.is_settled() || eni.backoff.pauses(self.now) {
                continue;
            }
            let mut unused = eni.slots.unused(|slot| matches!(slot, Slot::Free { .. }));
            let prefix = usize::from(ADDRESSES_PER_PREFIX);
            unused.prefixes.truncate(surplus / prefix);
            surplus -= unused.prefixes.len() * prefix;
            unused.addresses.truncate(surplus);
            surplus -= unused.addresses.len();
            if !unused.is_empty() {
                spare.push((id.clone(), unused));
            }
        }
        spare
    }

    /// Takes an ENI's IPv6 prefixes from it, once no pod and no device has an address of them. With
    /// pods of IPv4 alone they are not ours.
    fn unassign_ipv6(&mut self, id: EniId, out: &mut Vec<Action>) {
        let ours = self.config.families.has(Family::V6);
        let Some(eni) = self.enis.get_mut(&id).filter(|_| ours) else {
            return;
        };
        let prefixes: Vec<_> = eni.ipv6.prefixes().iter().copied().collect();
        if prefixes.is_empty() || !eni.ipv6.values().all(Slot::is_unused) {
            return;
        }
        eni.ipv6.retain_prefixes(|_| false);
        self.start(Ec2Op::UnassignIpv6Prefixes { eni: id, prefixes }, out);
    }

    /// Whether a drained ENI has nothing of IPv6 left to give back.
    pub(super) fn gave_ipv6_back(&self, eni: &Eni) -> bool {
        let ours = self.config.families.has(Family::V6);
        let none = eni.ipv6.prefixes().is_empty();
        (none || !ours) && eni.ipv6.values().all(Slot::is_unused)
    }

    /// Takes prefixes from an ENI or, once it has none to give, addresses: one call at a time.
    fn unassign(&mut self, id: EniId, unused: Unused, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(&id) else {
            return;
        };
        let Unused {
            addresses,
            prefixes,
        } = unused;
        let op = if !prefixes.is_empty() {
            eni.slots.update(|address, slot| {
                if prefixes.iter().any(|prefix| prefix.contains(&address)) {
                    *slot = Slot::Releasing;
                }
            });
            Ec2Op::UnassignPrefixes { eni: id, prefixes }
        } else if !addresses.is_empty() {
            for address in &addresses {
                eni.slots.set(*address, Slot::Releasing);
            }
            Ec2Op::UnassignAddresses { eni: id, addresses }
        } else {
            return;
        };
        self.start(op, out);
    }

    pub(super) fn ids(&self, matches: impl Fn(&Eni) -> bool) -> Vec<EniId> {
        let matching = self.enis.iter().filter(|(_, eni)| matches(eni));
        matching.map(|(id, _)| id.clone()).collect()
    }
}

impl Eni {
    /// No call is under way and no pause either.
    pub(super) fn may_act(&self, now: Timestamp) -> bool {
        self.op.is_none() && !self.backoff.pauses(now)
    }
}

/// A draining node does not wait for cooldowns: the addresses leave it. It does wait for devices.
fn only_without_devices(eni: &Eni) -> bool {
    eni.all_slots().all(|slot| {
        matches!(
            slot,
            Slot::Free { .. } | Slot::Releasing | Slot::Cooling { device: None, .. }
        )
    })
}
