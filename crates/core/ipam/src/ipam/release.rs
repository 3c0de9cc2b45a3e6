//! Giving ENIs and addresses back.

use underlay_types::{EniId, PoolGroups, Timestamp};

use super::Ipam;
use crate::{
    Action, Ec2Op,
    eni::{Eni, Slot, Stage},
};

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
        }
        self.detach_dropped(out);
    }

    fn should_leave(&self, eni: &Eni) -> bool {
        if eni.primary || !eni.is_settled() {
            return false;
        }
        if self.draining {
            return only_without_devices(eni);
        }
        let Some(since) = eni.idle_since else {
            return false;
        };
        if eni.suspended {
            return true;
        }
        let idled = since + self.config.idle_release <= self.now;
        idled && self.waiters(&eni.pool) == 0 && self.spares(eni)
    }

    /// Whether the pool's warm target holds without this ENI.
    fn spares(&self, eni: &Eni) -> bool {
        let free = self.numbers(&eni.pool).free;
        match eni.pool.groups {
            PoolGroups::Exactly(_) => true,
            PoolGroups::Default => {
                free.saturating_sub(eni.slots.free()) >= usize::from(self.config.warm_default)
            }
        }
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
        let leaves = |eni: &Eni| eni.stage == Stage::Detaching && eni.slots.leased() == 0;
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
            let wanted = !self.draining && !eni.suspended && self.would_attach(&eni.pool);
            let held = if self.draining {
                !only_without_devices(eni)
            } else {
                !eni.is_idle()
            };
            if !wanted && !held && !eni.primary && !self.is_throttled() {
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
        for id in self.ids(|eni| eni.primary && eni.stage == Stage::Active && eni.may_act(now)) {
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
            let mut addresses = Vec::new();
            eni.slots.update(|address, slot| {
                if matches!(slot, Slot::Free { .. } | Slot::Cooling { device: None, .. }) {
                    *slot = Slot::Releasing;
                    addresses.push(address);
                }
            });
            if !addresses.is_empty() {
                self.start(Ec2Op::UnassignAddresses { eni: id, addresses }, out);
            }
        }
    }

    pub(super) fn ids(&self, matches: impl Fn(&Eni) -> bool) -> Vec<EniId> {
        let matching = self.enis.iter().filter(|(_, eni)| matches(eni));
        matching.map(|(id, _)| id.clone()).collect()
    }
}

impl Eni {
    /// No call is under way and no pause either.
    fn may_act(&self, now: Timestamp) -> bool {
        self.op.is_none() && !self.backoff.pauses(now)
    }
}

/// A draining node does not wait for cooldowns: the addresses leave it. It does wait for devices.
fn only_without_devices(eni: &Eni) -> bool {
    eni.slots.values().all(|slot| {
        matches!(
            slot,
            Slot::Free { .. } | Slot::Releasing | Slot::Cooling { device: None, .. }
        )
    })
}
