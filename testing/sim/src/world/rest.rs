//! After the busy time: faults end, everything settles, and what is left must be what should be.

use std::{collections::BTreeMap, time::Duration};

use underlay_ipam::{ADDRESSES_PER_PREFIX, Delegation, Place, Report};
use underlay_types::{EniId, Family};
use underlay_vpc_model::Eni;

use super::{Event, World};
use crate::{
    agent::{AUDIT_MAX, AUDIT_MIN},
    cloud::holding,
};

/// Single free addresses beyond the target that are not worth a call.
const TOLERATED: usize = 2;

impl World {
    /// Lets everything end, checks what is left, and that nothing moves any more.
    pub(super) fn come_to_rest(&mut self) {
        self.end_outside();
        self.run_for(Self::SETTLES);
        let release = self.setting.config.idle_release + self.setting.config.cooldown;
        self.run_for(release * 3 + AUDIT_MAX * 4);
        let before = (self.books.changes_sent, self.books.looks_sent);
        let time = release + AUDIT_MAX * 2;
        self.run_for(time);
        let sent = self.books.changes_sent - before.0;
        let looks = self.books.looks_sent - before.1;
        // Where the subnet is spent, each pool asks once in a while, for each ENI with a place, whether it still is.
        let patience = if self.is_scarce() {
            (time.as_secs() / 50 + 8)
                * u64::from(self.setting.instance_type.max_enis)
                * u64::from(self.setting.subnets)
        } else {
            0
        };
        self.require(sent <= patience, |_| format!("{sent} calls at rest"));
        // A look asks twice: for what is attached, and for what is ours. A refusal is followed by one.
        let audits = time.as_secs() / AUDIT_MIN.as_secs() + 1;
        self.require(looks <= (audits + sent) * 2, |_| {
            format!("{looks} requests of looks at rest, in {time:?}")
        });
        self.check_rest();
        self.check_liveness();
    }

    /// Whether the subnet has less left than a pool may want.
    fn is_scarce(&self) -> bool {
        let config = &self.setting.config;
        let wanted = config
            .warm_default
            .max(config.minimum)
            .max(ADDRESSES_PER_PREFIX * 2);
        self.cloud.free().any(|free| free <= u32::from(wanted))
    }

    fn report(&mut self) -> Option<Report> {
        if self.agent.is_none() {
            self.violate(|_| "no agent came back".to_owned());
        }
        self.agent.as_ref().map(|agent| agent.ipam.report())
    }

    /// Everything in EC2 is known, and there is not more of it than there should be.
    fn check_rest(&mut self) {
        let Some(report) = self.report().filter(|_| !self.is_violated()) else {
            return;
        };
        let leased = report.leases.len();
        let up = self.kernel.wired().count();
        self.require(leased == up, |_| {
            format!("{leased} leases, {up} pods: {report:?}")
        });
        self.require(report.waiting.is_empty(), |_| {
            format!("somebody waits: {report:?}")
        });
        let known: BTreeMap<EniId, usize> = report
            .enis
            .iter()
            .map(|eni| (eni.eni.clone(), eni.total))
            .collect();
        let there: BTreeMap<EniId, usize> = self
            .cloud
            .ours()
            .map(|eni| (eni.id.clone(), addresses_of(eni)))
            .collect();
        let known_v6: BTreeMap<EniId, usize> = report
            .enis
            .iter()
            .map(|eni| (eni.eni.clone(), eni.ipv6_prefixes))
            .collect();
        let there_v6: BTreeMap<EniId, usize> = self
            .cloud
            .ours()
            .map(|eni| (eni.id.clone(), eni.addresses.v6_prefixes.len()))
            .collect();
        let held_elsewhere = report.leases.iter().any(|lease| lease.missing);
        self.require(held_elsewhere || known_v6 == there_v6, |_| {
            format!("the allocator knows {known_v6:?} of IPv6, in EC2 are {there_v6:?}")
        });
        let held_elsewhere = held_elsewhere || !self.setting.config.families.has(Family::V4);
        self.require(held_elsewhere || known == there, |_| {
            format!("the allocator knows {known:?}, in EC2 are {there:?}")
        });
        for eni in &report.enis {
            self.require(eni.free + eni.leased + eni.cooling == eni.total, |_| {
                format!("{eni:?}")
            });
            self.require(eni.cooling == 0, |_| format!("still cooling: {eni:?}"));
        }
        self.check_pods_attached();
        let has_pods = |eni: &EniId| self.kernel.wired().any(|(_, device)| device.eni == *eni);
        let loose: Vec<EniId> = self
            .cloud
            .ours()
            .filter(|eni| !eni.is_attached() && !has_pods(&eni.id))
            .map(|eni| eni.id.clone())
            .collect();
        self.require(loose.is_empty(), |_| {
            format!("not attached, and not deleted: {loose:?}; {report:?}")
        });
        self.check_waste(&report);
        self.check_supply(&report);
    }

    /// Pods have the ENI that their addresses are of, where it is now: one that somebody else
    /// detached is attached again, if there is a slot for it and it has no more than it may.
    fn check_pods_attached(&mut self) {
        let limits = self.setting.config.limits.clone();
        let attached = self.cloud.model.enis_of(&self.cloud.instance);
        let full = attached.len() >= limits.max_enis();
        let mut lost = Vec::new();
        for (key, device) in self.kernel.wired() {
            let Some(eni) = self.cloud.model.eni(&device.eni) else {
                continue;
            };
            let own = &eni.addresses;
            let fits = own.secondary.len() + own.prefixes.len() <= limits.places_per_eni().into();
            match place_of(eni) {
                Some(place) if place == device.place => {}
                Some(place) => lost.push(format!("{key} by {}, its ENI at {place}", device.place)),
                None if full || !fits => {}
                None => lost.push(format!("{key}: {} is not attached", eni.id)),
            }
        }
        self.require(lost.is_empty(), |world| {
            let report = world.agent.as_ref().map(|agent| agent.ipam.report());
            format!("pods without their network: {lost:?}; {report:?}")
        });
    }

    /// At most 2 addresses, or one prefix, more than configured.
    fn check_waste(&mut self, report: &Report) {
        let config = self.setting.config.clone();
        if !config.families.has(Family::V4) {
            return;
        }
        for pool in &report.pools {
            if pool.pool.is_whole() {
                let idle = pool.numbers.free;
                self.require(idle == 0, |_| format!("ENIs of no pod: {report:?}"));
                continue;
            }
            let default = pool.pool == self.cloud.pool(0);
            let target = if default {
                let minimum = usize::from(config.minimum);
                minimum
                    .saturating_sub(pool.numbers.leased)
                    .max(config.warm_default.into())
            } else if pool.numbers.leased > 0 {
                usize::from(config.warm_explicit)
            } else {
                0
            };
            let surplus = pool.numbers.free.saturating_sub(target);
            let prefix = usize::from(ADDRESSES_PER_PREFIX);
            let spare = self.spare_prefixes(&pool.pool.to_string(), report);
            let wasted = match config.delegation {
                Delegation::Addresses if spare == 0 => surplus > TOLERATED && !self.has_prefixes(),
                Delegation::Addresses | Delegation::Prefixes => surplus >= prefix && spare > 0,
            };
            self.require(!wasted, |_| {
                format!("{surplus} more than {target}: {report:?}")
            });
        }
    }

    /// Where the default pool can grow it has half of its warm target, and its minimum.
    fn check_supply(&mut self, report: &Report) {
        let config = &self.setting.config;
        let attached = self.cloud.model.enis_of(&self.cloud.instance);
        let has_free = |eni: &Eni| self.cloud.model.available_addresses(&eni.subnet) >= 40;
        // The warm target never takes the last slot.
        let has_slots = attached.len() + 1 < config.limits.max_enis();
        let has_places = |eni: &Eni| {
            let mut known = report.enis.iter();
            let known = known.find(|known| known.eni == eni.id);
            let taken = eni.addresses.secondary.len() + eni.addresses.prefixes.len();
            known.is_some_and(|known| known.pool == "default" && !known.suspended)
                && taken < config.limits.places_per_eni().into()
        };
        let has_slots = has_slots && self.cloud.free().any(|free| free >= 40);
        let grows = has_slots || attached.iter().any(|eni| has_places(eni) && has_free(eni));
        if !grows || config.maximum.is_some() {
            return;
        }
        let pool = report
            .pools
            .iter()
            .find(|pool| pool.pool == self.cloud.pool(0));
        let numbers = pool.map(|pool| pool.numbers).unwrap_or_default();
        let minimum = usize::from(config.minimum).saturating_sub(numbers.leased);
        let least = usize::from(config.warm_default.div_ceil(2)).max(minimum);
        self.require(numbers.free >= least, |_| {
            format!("less than {least} free: {report:?}")
        });
    }

    /// Prefixes of a pool's ENIs that no pod has an address of.
    fn spare_prefixes(&self, pool: &str, report: &Report) -> usize {
        let of_pool = |eni: &&Eni| {
            let known = report.enis.iter().find(|known| known.eni == eni.id);
            known.is_some_and(|known| known.pool == pool && !known.suspended)
        };
        let prefixes = self.cloud.ours().filter(of_pool);
        let prefixes = prefixes.flat_map(|eni| &eni.addresses.prefixes);
        let unused = prefixes.filter(|prefix| {
            let mut wired = self.kernel.wired();
            !wired.any(|(_, device)| {
                let mut used = device.addresses.v4().into_iter();
                used.any(|used| prefix.contains(&used))
            })
        });
        unused.count()
    }

    fn has_prefixes(&self) -> bool {
        self.cloud
            .ours()
            .any(|eni| !eni.addresses.prefixes.is_empty())
    }

    /// With nothing in the way, a pod gets its address.
    fn check_liveness(&mut self) {
        let Some(report) = self.report().filter(|_| !self.is_violated()) else {
            return;
        };
        let limits = &self.setting.config.limits;
        let suspended = report
            .enis
            .iter()
            .any(|eni| eni.suspended || eni.place.is_none());
        let full = self.cloud.model.enis_of(&self.cloud.instance).len() >= limits.max_enis();
        let crowded = self.cloud.free().all(|free| free < 20);
        if suspended || full || crowded || self.setting.config.maximum.is_some() {
            return;
        }
        let before = self.tally.of("ADDs with an address");
        let pool = self.cloud.pool(0);
        let pod = self.put_pod(pool, 0);
        self.after(Duration::ZERO, Event::PodAdd(pod));
        let wait = self.setting.add_wait;
        self.run_for(wait + Duration::from_secs(1));
        let served = self.tally.of("ADDs with an address") > before;
        // Attaching may take longer than a short wait.
        self.require(served || wait < Duration::from_secs(40), |_| {
            "a pod got no address although nothing was in its way".to_owned()
        });
        self.tally.add("ADDs after all faults");
    }

    /// A drain gives everything back.
    pub(super) fn drain(&mut self) {
        if self.is_violated() {
            return;
        }
        self.draining = true;
        self.delete_all_pods();
        self.feed(underlay_ipam::Input::Drain);
        self.run_for(self.setting.config.cooldown * 2 + AUDIT_MAX * 5);
        let drained = self
            .agent
            .as_ref()
            .is_some_and(|agent| agent.ipam.is_drained());
        self.require(drained, |world| {
            let report = world.agent.as_ref().map(|agent| agent.ipam.report());
            format!("not drained: {report:?}")
        });
        let primary = self.cloud.primary.clone();
        let left: Vec<String> = self
            .cloud
            .ours()
            .filter(|eni| {
                let held = addresses_of(eni) + eni.addresses.v6_prefixes.len();
                eni.id != primary || held > 0
            })
            .map(|eni| format!("{} {:?}", eni.id, eni.addresses))
            .collect();
        self.require(left.is_empty(), |_| format!("left after a drain: {left:?}"));
        let model = &self.cloud.model;
        let born = &self.cloud.born;
        let subnets = self.cloud.subnets.iter();
        let others = subnets.flat_map(|subnet| model.enis_in(subnet));
        let others = others.filter(|eni| eni.id != primary && Some(&eni.id) != born.as_ref());
        let others: usize = others.map(|eni| 1 + addresses_of(eni)).sum();
        let free: u32 = self.cloud.free().sum();
        let all = usize::try_from(free).unwrap_or(0) + others;
        let first = usize::try_from(self.cloud.free_at_first).unwrap_or(0);
        self.require(left.is_empty() && all == first, |_| {
            format!("{free} addresses are free and {others} taken by others, of {first}")
        });
    }
}

fn place_of(eni: &Eni) -> Option<Place> {
    let attachment = eni.attachment.as_ref()?;
    Some(Place {
        card: u8::try_from(attachment.network_card).ok()?,
        index: u8::try_from(attachment.device_index).ok()?,
    })
}

fn addresses_of(eni: &Eni) -> usize {
    let held = holding(eni);
    let within = held.prefixes.len() * usize::from(ADDRESSES_PER_PREFIX);
    held.addresses.len() + within
}
