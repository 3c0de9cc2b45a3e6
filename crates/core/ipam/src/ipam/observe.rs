//! What EC2 reports of this instance, and what an earlier run left.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::{EniId, PoolKey, Timestamp};

use super::{Ipam, holding::all_addresses};
use crate::{
    Action, Attachment, Cooldown, Ec2Op, EniOwner, Lease, Notice, ObservedEni,
    eni::{Eni, Slot, Stage},
};

impl Ipam {
    /// Leases and cooldowns stand on ENIs that are lost until an observation shows them.
    pub(super) fn restore(&mut self, leases: Vec<Lease>, cooldowns: Vec<Cooldown>) {
        for lease in leases {
            let eni = Self::lost(&mut self.enis, &lease.eni, &lease.pool, self.now);
            let slot = Slot::Leased {
                key: lease.key.clone(),
                missing: false,
            };
            if let Some(address) = lease.addresses.v4() {
                eni.slots.set(address, slot);
            }
            self.leases.insert(lease.key, (lease.eni, lease.addresses));
        }
        for cooldown in cooldowns {
            let Cooldown {
                addresses,
                eni,
                until,
                device,
            } = cooldown;
            let pool = PoolKey::default_pool();
            let eni = Self::lost(&mut self.enis, &eni, &pool, self.now);
            if let Some(address) = addresses.v4()
                && !matches!(eni.slots.get(address), Some(Slot::Leased { .. }))
            {
                let cooling = Slot::Cooling {
                    until,
                    device,
                    missing: false,
                };
                eni.slots.set(address, cooling);
            }
        }
    }

    pub(super) fn lost<'a>(
        enis: &'a mut BTreeMap<EniId, Eni>,
        id: &EniId,
        pool: &PoolKey,
        now: Timestamp,
    ) -> &'a mut Eni {
        let new = || Eni::new(pool.clone(), Stage::Lost, now);
        enis.entry(id.clone()).or_insert_with(new)
    }

    pub(super) fn observed(
        &mut self,
        asked: Timestamp,
        observed: Vec<ObservedEni>,
        out: &mut Vec<Action>,
    ) {
        let seen: BTreeSet<EniId> = observed.iter().map(|eni| eni.id.clone()).collect();
        self.observed = true;
        let now = self.now;
        self.given_back.retain(|_, until| *until > now);
        self.foreign.clear();
        let primary = observed.iter().find(|eni| eni.owner == EniOwner::Primary);
        if let Some(primary) = primary {
            self.primary_groups = Some(primary.groups.clone());
        }
        let mut judged = Vec::new();
        for eni in observed {
            let (pool, primary) = match &eni.owner {
                EniOwner::Primary => (PoolKey::default_pool(), true),
                EniOwner::Ours(pool) => (pool.clone(), false),
                EniOwner::Foreign => {
                    if let Attachment::Attached { place } | Attachment::Detaching { place } =
                        eni.attachment
                    {
                        self.foreign.insert(eni.id, place);
                    }
                    continue;
                }
            };
            if self.see(asked, &eni, &pool, primary, out) {
                judged.push(eni);
            }
        }
        self.miss(asked, &seen, out);
        // Last: what moved between ENIs has left the old one by now.
        for eni in &judged {
            self.add_observed(&eni.id, &eni.addresses, &eni.prefixes);
        }
        for eni in judged {
            self.note_held_elsewhere(&eni.id, &eni.addresses);
        }
    }

    /// Whether the observation of this ENI is newer than what is known of it.
    fn see(
        &mut self,
        asked: Timestamp,
        seen: &ObservedEni,
        pool: &PoolKey,
        primary: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let known = self
            .enis
            .get(&seen.id)
            .is_some_and(|eni| eni.stage != Stage::Lost);
        let judged = if known {
            self.enis
                .get(&seen.id)
                .is_some_and(|eni| eni.op.is_none() && !eni.awaited && eni.changed < asked)
        } else {
            primary || !self.may_be_created(asked)
        };
        if !known && !judged {
            return false;
        }
        if !known {
            self.adopt(seen, pool, primary, out);
        } else if judged {
            self.audit_stage(seen, out);
        }
        if judged {
            self.audit_addresses(seen, out);
        }
        self.audit_groups(seen, out);
        self.audit_termination(seen, out);
        judged
    }

    /// An unknown ENI may be one whose creation has not been answered yet.
    fn may_be_created(&self, asked: Timestamp) -> bool {
        self.creating().next().is_some() || self.last_creation.is_some_and(|end| end >= asked)
    }

    /// A lease is never taken away: the pod's packets are dropped by the VPC, and people are told.
    /// A cooldown goes on too, as EC2 may give the same address again before it ends.
    fn audit_addresses(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        let there: BTreeSet<_> = all_addresses(&seen.addresses, &seen.prefixes).collect();
        eni.slots
            .retain_prefixes(|prefix| seen.prefixes.contains(prefix));
        let now = self.now;
        eni.slots.update(|address, slot| {
            let gone = !there.contains(&address);
            match slot {
                Slot::Leased { key, missing } => {
                    if gone && !*missing {
                        out.push(Action::Report(Notice::AddressMissing {
                            address,
                            eni: seen.id.clone(),
                            key: key.clone(),
                        }));
                    }
                    *missing = gone;
                }
                Slot::Cooling { missing, .. } => *missing = gone,
                // Giving it back has failed.
                Slot::Releasing => *slot = Slot::Free { since: now },
                Slot::Free { .. } => {}
            }
        });
        eni.slots.retain(|address, slot| {
            there.contains(&address) || matches!(slot, Slot::Leased { .. } | Slot::Cooling { .. })
        });
    }

    fn audit_groups(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let Some(pool) = self.enis.get(&seen.id).map(|eni| eni.pool.clone()) else {
            return;
        };
        let Some(expected) = self.expected_groups(&pool).cloned() else {
            return;
        };
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        let differs = expected != seen.groups;
        if differs != eni.suspended {
            eni.suspended = differs;
            let id = seen.id.clone();
            out.push(Action::Report(if differs {
                Notice::GroupsDiffer {
                    eni: id,
                    expected,
                    found: seen.groups.clone(),
                }
            } else {
                Notice::GroupsRestored { eni: id }
            }));
        }
    }

    fn audit_termination(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let wants = self.enis.get(&seen.id).is_some_and(|eni| {
            let settled = matches!(eni.stage, Stage::Preparing | Stage::Active);
            !eni.primary && settled && eni.op.is_none() && !eni.backoff.pauses(self.now)
        });
        if wants && !seen.delete_on_termination && !self.is_throttled() {
            self.start(
                Ec2Op::SetDeleteOnTermination {
                    eni: seen.id.clone(),
                },
                out,
            );
        }
    }
}
