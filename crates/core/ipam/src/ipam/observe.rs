//! What EC2 reports of this instance, and what an earlier run left.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::{EniId, PoolKey, Timestamp};

use super::{Ipam, holding::address_missing};
use crate::{
    Action, Attachment, Cooldown, Ec2Op, EniOwner, Holding, Lease, Notice, ObservedEni, Parting,
    Place, Standing,
    eni::{Eni, Stage},
};

impl Ipam {
    /// Leases and cooldowns stand on ENIs that are lost until an observation shows them.
    pub(super) fn restore(
        &mut self,
        leases: Vec<Lease>,
        cooldowns: Vec<Cooldown>,
        places: BTreeMap<EniId, Place>,
    ) {
        for lease in leases {
            let eni = self.lost(&lease.eni, &lease.pool);
            if let Some(address) = lease.addresses.v4() {
                eni.slots.lease(address, lease.key.clone());
            }
            if let Some(address) = lease.addresses.v6() {
                eni.ipv6.lease(address, lease.key.clone());
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
            let eni = self.lost(&eni, &pool);
            if let Some(address) = addresses.v4() {
                eni.slots.cool_again(address, until, device.clone());
            }
            if let Some(address) = addresses.v6() {
                eni.ipv6.cool_again(address, until, device);
            }
        }
        for (id, place) in places {
            if let Some(eni) = self.enis.get_mut(&id) {
                eni.former = Some(place);
            }
        }
    }

    /// What an earlier run asked back is not given to pods, whatever the first looks show.
    pub(super) fn restore_partings(&mut self, partings: Vec<Parting>) {
        for parting in partings {
            let until = parting.until;
            let back = Holding {
                addresses: parting.addresses,
                prefixes: parting.prefixes,
                ..Holding::default()
            };
            if back == Holding::default() {
                self.parting.insert(parting.eni, until);
            } else {
                let given_back = self.given_back.entry(parting.eni).or_default();
                given_back.extend(back.all_v4().map(|address| (address, until)));
            }
        }
    }

    /// The ENI, noted as lost if it is new.
    pub(super) fn lost(&mut self, id: &EniId, pool: &PoolKey) -> &mut Eni {
        let (families, now) = (self.config.families, self.now);
        let new = || Eni::new(pool.clone(), families, Stage::Lost, now);
        self.enis.entry(id.clone()).or_insert_with(new)
    }

    pub(super) fn observed(
        &mut self,
        asked: Timestamp,
        observed: Vec<ObservedEni>,
        out: &mut Vec<Action>,
    ) {
        let seen: BTreeSet<EniId> = observed.iter().map(|eni| eni.id.clone()).collect();
        self.observed = true;
        self.given_back.retain(|_, addresses| {
            addresses.retain(|_, until| *until > asked);
            !addresses.is_empty()
        });
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
            self.add_observed(asked, &eni.id, &eni.holding);
        }
        for eni in judged {
            self.note_held_elsewhere(&eni.id, &eni.holding.addresses);
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
        let fresh = self
            .enis
            .get(&seen.id)
            .is_some_and(|eni| eni.op.is_none() && eni.changed < asked);
        let judged = if known {
            fresh && self.enis.get(&seen.id).is_some_and(|eni| !eni.awaited)
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
        } else {
            self.suspect(fresh, seen);
        }
        if judged {
            self.audit_addresses(asked, seen, out);
        }
        self.audit_standing(seen, out);
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
    fn audit_addresses(&mut self, asked: Timestamp, seen: &ObservedEni, out: &mut Vec<Action>) {
        let (now, given_back) = (self.now, self.given_back.get(&seen.id));
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        let Holding {
            prefixes,
            ipv6_prefixes,
            ..
        } = &seen.holding;
        let there: BTreeSet<_> = seen.holding.all_v4().collect();
        eni.slots
            .retain_prefixes(|prefix| prefixes.contains(prefix));
        eni.slots.audit(
            now,
            |address| there.contains(&address),
            |address| {
                let until = given_back.and_then(|given_back| given_back.get(&address));
                until.is_some_and(|until| *until > asked)
            },
            |address, key| out.push(address_missing(&seen.id, address.into(), key)),
        );
        eni.ipv6
            .retain_prefixes(|prefix| ipv6_prefixes.contains(prefix));
        eni.ipv6.audit(
            now,
            |address| ipv6_prefixes.iter().any(|prefix| prefix.contains(&address)),
            |_| false,
            |address, key| out.push(address_missing(&seen.id, address.into(), key)),
        );
    }

    /// Somebody, or the configuration, wants it otherwise than before.
    fn audit_standing(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        let (differs, leases) = (eni.standing != seen.standing, eni.leased());
        eni.standing = seen.standing;
        // What is configured so is no news, unless pods stand in the way.
        if differs && (leases > 0 || seen.standing != Standing::Emptying) {
            out.push(Action::Report(Notice::Standing {
                eni: seen.id.clone(),
                standing: seen.standing,
                leases,
            }));
        }
    }

    fn audit_groups(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let Some(pool) = self.enis.get(&seen.id).map(|eni| eni.pool.clone()) else {
            return;
        };
        let Some(expected) = self.expected_groups(&pool).cloned() else {
            return;
        };
        let configured = self.config.default_groups.is_some();
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        // The primary ENI's are the node's affair, and pods get none of its addresses.
        if eni.primary && configured {
            return;
        }
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
            eni.may_leave() && eni.is_used() && eni.op.is_none() && !eni.backoff.pauses(self.now)
        });
        let wants = wants && matches!(seen.attachment, Attachment::Attached { .. });
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
