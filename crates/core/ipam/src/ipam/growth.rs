//! Filling pools: addresses on attached ENIs first, then ENIs that exist, then new ones.

use underlay_types::{EniId, Families, Family, PoolKey};

use super::{Ipam, outcome::is_shortage};
use crate::{
    Action, Delegation, Ec2Op, Grant, IPV6_PREFIX_SIZE, Place,
    backoff::Backoff,
    eni::{Eni, Stage, packing_order},
};

/// What a pool lacks.
#[derive(Clone, Copy)]
struct Lack {
    /// Addresses until waiters and the warm target are served.
    all: usize,
    /// Of these, addresses that pods wait for: worth the last slot, and another pool's idle ENI.
    waited_for: usize,
}

impl Lack {
    fn at_most(self, most: usize) -> Self {
        Self {
            all: self.all.min(most),
            waited_for: self.waited_for.min(most),
        }
    }

    const fn met(&mut self, count: usize) {
        self.all = self.all.saturating_sub(count);
        self.waited_for = self.waited_for.saturating_sub(count);
    }
}

impl Ipam {
    /// Pools with waiters first, by the oldest request: they compete for slots.
    pub(super) fn grow_all(&mut self, out: &mut Vec<Action>) {
        self.prepare_attached(out);
        self.assign_ipv6(out);
        for pool in self.pools() {
            let lack = self.lack(&pool).filter(|_| self.may_grow(&pool));
            if let Some(lack) = lack.filter(|_| !self.awaits_crowd(&pool)) {
                self.grow(&pool, lack, out);
            }
        }
        self.end_crowds();
    }

    fn grow(&mut self, pool: &PoolKey, mut lack: Lack, out: &mut Vec<Action>) {
        // What the subnet is asked for.
        let mut asked = lack.at_most(self.share(pool));
        let before = asked.all;
        self.assign_to_attached(pool, &mut asked, out);
        // A subnet that was short may be so again: what exists does not wait for that.
        if !self.is_short(pool) {
            lack.met(before - asked.all);
        }
        let before = lack.all;
        self.attach_existing(pool, &mut lack, out);
        asked.met(before - lack.all);
        self.create(pool, &mut asked, out);
        self.claim_idle(pool, &asked, out);
    }

    /// What a pool lacks, if that is enough to act on: a pod waits, half the warm target is used,
    /// or the pool is below its minimum; and no more than the node may still hold.
    fn lack(&self, pool: &PoolKey) -> Option<Lack> {
        let waiters = self.waiters(pool);
        if pool.is_whole() {
            // None is held ahead of need, and none counts as an address held.
            let all = waiters.saturating_sub(self.supply(pool));
            let waited_for = all;
            return (all > 0).then_some(Lack { all, waited_for });
        }
        let warm = self.warm_target(pool);
        let supply = self.supply(pool);
        let trigger = waiters + warm.div_ceil(2).max(self.below_minimum(pool));
        let lack = Lack {
            all: (waiters + self.free_target(pool)).saturating_sub(supply),
            waited_for: waiters.saturating_sub(supply),
        };
        let lack = lack.at_most(self.headroom());
        (supply < trigger && lack.all > 0).then_some(lack)
    }

    /// Whether the last that EC2 said of the pool's subnet is that it has not enough.
    fn is_short(&self, pool: &PoolKey) -> bool {
        let last = self.backoffs.get(pool).and_then(Backoff::last);
        self.scarce.contains_key(pool) || last.is_some_and(is_shortage)
    }

    /// Addresses that the pool's subnet may have left, as far as EC2's refusals tell.
    fn share(&self, pool: &PoolKey) -> usize {
        let unit = usize::from(self.delegation(pool).per_place());
        let scarce = self.scarce.get(pool);
        scarce.map_or(usize::MAX, |places| usize::from(*places) * unit)
    }

    /// Free addresses that a pool should hold.
    pub(super) fn free_target(&self, pool: &PoolKey) -> usize {
        self.warm_target(pool).max(self.below_minimum(pool))
    }

    /// Free addresses without which the pool holds less than its minimum.
    fn below_minimum(&self, pool: &PoolKey) -> usize {
        if !pool.is_default() {
            return 0;
        }
        let numbers = self.numbers(pool);
        usize::from(self.config.minimum).saturating_sub(numbers.leased + numbers.cooling)
    }

    /// Addresses that EC2 may still be asked for.
    pub(super) fn headroom(&self) -> usize {
        let Some(maximum) = self.config.maximum else {
            return usize::MAX;
        };
        usize::from(maximum).saturating_sub(self.held())
    }

    /// Addresses on ENIs of ours, or asked for.
    pub(super) fn held(&self) -> usize {
        let there = |eni: &Eni| eni.slots.len() + eni.expected_addresses();
        let shared = self.enis.values().filter(|eni| !eni.pool.is_whole());
        let enis: usize = shared.map(there).sum();
        let created = self.creating().map(|(_, grant)| grant.addresses());
        enis + created.map(usize::from).sum::<usize>()
    }

    /// What a pool asks EC2 for.
    pub(super) fn delegation(&self, pool: &PoolKey) -> Delegation {
        let fragmented = self.fragmented.get(pool);
        let fragmented = fragmented.is_some_and(|until| *until > self.now);
        if fragmented || !self.config.limits.prefixes {
            Delegation::Addresses
        } else {
            self.config.delegation
        }
    }

    /// What to ask for `addresses` on an ENI with `places` left; `None` when nothing fits.
    fn grant(&self, pool: &PoolKey, addresses: usize, places: usize) -> Option<Grant> {
        let delegation = self.delegation(pool);
        let unit = usize::from(delegation.per_place());
        let wanted = addresses.div_ceil(unit).min(self.headroom() / unit);
        let most = self.scarce.get(pool).copied().unwrap_or(u16::MAX);
        let count = u16::try_from(wanted.min(places)).unwrap_or(u16::MAX);
        let count = count.min(most);
        (count > 0).then(|| Grant::new(delegation, count))
    }

    /// Whether an unattached ENI of this pool is worth keeping.
    pub(super) fn would_attach(&self, pool: &PoolKey) -> bool {
        self.lack(pool)
            .is_some_and(|lack| self.may_take_slot(pool, &lack))
    }

    pub(super) fn warm_target(&self, pool: &PoolKey) -> usize {
        if pool.is_default() {
            return usize::from(self.config.warm_default);
        }
        let is_used = |eni: &Eni| eni.pool == *pool && eni.leased() > 0;
        let wanted = self.waiters(pool) > 0 || self.enis.values().any(is_used);
        if wanted && !pool.is_whole() {
            usize::from(self.config.warm_explicit)
        } else {
            0
        }
    }

    /// Addresses that are free, or will be once what is under way is done.
    fn supply(&self, pool: &PoolKey) -> usize {
        let enis = self
            .enis
            .values()
            .filter(|eni| eni.pool == *pool && eni.supplies());
        let attached: usize = enis.map(Eni::supply).sum();
        let created: usize = self
            .creating()
            .filter(|(creating, _)| *creating == pool)
            .map(|(_, grant)| match self.config.families {
                _ if pool.is_whole() => 1,
                Families::V4 | Families::Dual => usize::from(grant.addresses()),
                Families::V6 => IPV6_PREFIX_SIZE,
            })
            .sum();
        attached + created
    }

    /// Places of an ENI that are left when `taken` are.
    pub(super) fn places_left(&self, taken: usize) -> usize {
        usize::from(self.config.limits.places_per_eni()).saturating_sub(taken)
    }

    /// Addresses of this pool that fit where `taken` places are.
    fn capacity(&self, pool: &PoolKey, taken: usize) -> usize {
        match self.config.families {
            _ if pool.is_whole() => 1,
            Families::V4 | Families::Dual => {
                self.places_left(taken) * usize::from(self.delegation(pool).per_place())
            }
            Families::V6 => IPV6_PREFIX_SIZE,
        }
    }

    /// Asks for an IPv6 prefix for every ENI that serves no pod without one.
    fn assign_ipv6(&mut self, out: &mut Vec<Action>) {
        let lacks = |eni: &Eni| eni.lacks_ipv6() && eni.is_attached() && eni.op.is_none();
        for id in self.ids(lacks) {
            let Some(pool) = self.enis.get(&id).map(|eni| eni.pool.clone()) else {
                continue;
            };
            if self.may_grow(&pool) {
                self.assign(id, Grant::Ipv6Prefix, out);
            }
        }
    }

    fn assign(&mut self, eni: EniId, grant: Grant, out: &mut Vec<Action>) {
        if let Some(state) = self.enis.get_mut(&eni) {
            state.expecting = Some(grant);
        }
        self.start(Ec2Op::Assign { eni, grant }, out);
    }

    fn assign_to_attached(&mut self, pool: &PoolKey, lack: &mut Lack, out: &mut Vec<Action>) {
        if self.config.families == Families::V6 || pool.is_whole() {
            return;
        }
        let mut candidates: Vec<_> = self
            .enis
            .iter()
            .filter(|(_, eni)| eni.pool == *pool && eni.is_attached() && eni.op.is_none())
            .filter(|(_, eni)| !eni.full.pauses(self.now))
            .collect();
        candidates.sort_by(packing_order);
        let room: Vec<(EniId, usize)> = candidates
            .into_iter()
            .map(|(id, eni)| (id.clone(), self.places_left(eni.slots.places())))
            .collect();
        for (eni, places) in room {
            let Some(grant) = self.grant(pool, lack.all, places) else {
                continue;
            };
            lack.met(grant.addresses().into());
            self.assign(eni, grant, out);
        }
    }

    /// ENIs that an earlier attempt or run left unattached.
    fn attach_existing(&mut self, pool: &PoolKey, lack: &mut Lack, out: &mut Vec<Action>) {
        let detached: Vec<EniId> = self
            .enis
            .iter()
            .filter(|(_, eni)| eni.pool == *pool && eni.stage == Stage::Detached)
            .filter(|(_, eni)| eni.op.is_none() && eni.is_open())
            .filter(|(_, eni)| self.fits(eni) && !self.is_spent(eni) && !eni.is_stranded())
            // One that a pod owned serves nobody before it has rested.
            .filter(|(_, eni)| !pool.is_whole() || eni.free() > 0 || eni.lacks_ipv6())
            .map(|(id, _)| id.clone())
            .collect();
        for id in detached {
            if self.may_take_slot(pool, lack) {
                lack.met(self.enis.get(&id).map_or(0, Eni::free));
                self.attach(id, out);
            }
        }
    }

    /// EC2 attaches no ENI with more addresses than the instance type lets it have; one that was
    /// detached behind our back may have been given more.
    pub(super) fn fits(&self, eni: &Eni) -> bool {
        eni.slots.places() <= self.config.limits.places_per_eni().into()
    }

    /// Whether pods of other ENIs still have all that an ENI got or can get. Until another one is
    /// created it keeps these addresses, so that the other one gets others.
    pub(super) fn is_spent(&self, eni: &Eni) -> bool {
        let places = match self.config.families {
            Families::V6 => return false,
            _ if eni.pool.is_whole() => 1,
            Families::V4 | Families::Dual => self.config.limits.places_per_eni().into(),
        };
        eni.slots.is_empty() && eni.slots.elsewhere() >= places
    }

    /// The first free place on a card that takes another ENI; on `card`, where that is asked for.
    /// Where ENIs with pods were comes last: until these are back, their pods are wired so.
    fn free_place(&self, card: Option<u8>) -> Option<Place> {
        let stranded = self.enis.values().filter(|eni| eni.is_stranded());
        let former: Vec<Place> = stranded.filter_map(|eni| eni.former).collect();
        let free = || self.free_places(card);
        free()
            .find(|place| !former.contains(place))
            .or_else(|| free().next())
    }

    fn free_places(&self, card: Option<u8>) -> impl Iterator<Item = Place> {
        let limits = &self.config.limits;
        let ours = self.enis.values().filter_map(|eni| eni.place);
        let taken: Vec<Place> = ours.chain(self.foreign.values().copied()).collect();
        limits.places().filter(move |place| {
            // Somebody else's may be at an index that no ENI of ours gets.
            let on_card = taken.iter().filter(|taken| taken.card == place.card);
            card.is_none_or(|card| place.card == card)
                && !taken.contains(place)
                && on_card.count() < limits.enis_on(place.card)
        })
    }

    /// Attaches where the ENI's pods have it if it has some, else at the first free place. Without
    /// one, the ENI stays detached.
    pub(super) fn attach(&mut self, id: EniId, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get(&id) else {
            return;
        };
        let card = eni.pool.card;
        let former = eni.former.filter(|_| eni.leased() > 0);
        let mut free = self.free_places(card);
        let former = former.filter(|former| free.any(|place| place == *former));
        drop(free);
        let Some(place) = former.or_else(|| self.free_place(card)) else {
            return;
        };
        if let Some(eni) = self.enis.get_mut(&id) {
            eni.stage = Stage::Attaching;
            eni.place = Some(place);
            self.start(Ec2Op::AttachEni { eni: id, place }, out);
        }
    }

    /// Creates ENIs for what will not fit on those the pool has or is getting. Each comes with the
    /// warm target's addresses at least, as more pods tend to follow the one that made it needed.
    fn create(&mut self, pool: &PoolKey, lack: &mut Lack, out: &mut Vec<Action>) {
        lack.met(self.room_to_come(pool));
        let most = self.capacity(pool, 0);
        while self.may_take_slot(pool, lack) {
            let wanted = lack.all.max(self.warm_target(pool));
            let grant = match self.config.families {
                _ if pool.is_whole() => Some(Grant::Addresses(0)),
                Families::V4 | Families::Dual => self.grant(pool, wanted, self.places_left(0)),
                Families::V6 => Some(Grant::Addresses(0)),
            };
            let Some(grant) = grant else { break };
            lack.met(most);
            let create = Ec2Op::CreateEni {
                pool: pool.clone(),
                grant,
                ipv6_prefix: self.config.families.has(Family::V6),
            };
            self.start(create, out);
        }
    }

    /// Addresses that busy ENIs of the pool can be asked for once their calls have ended.
    fn room_to_come(&self, pool: &PoolKey) -> usize {
        if pool.is_whole() {
            return 0;
        }
        let busy = self
            .enis
            .values()
            .filter(|eni| eni.pool == *pool && eni.supplies() && eni.op.is_some())
            .filter(|eni| !eni.full.pauses(self.now));
        if self.config.families == Families::V6 {
            let prefix_to_come =
                |eni: &&Eni| eni.lacks_ipv6() && eni.expecting != Some(Grant::Ipv6Prefix);
            return busy.filter(prefix_to_come).count() * IPV6_PREFIX_SIZE;
        }
        let busy = busy.map(|eni| {
            let expected = eni.expecting.map_or(0, Grant::places);
            self.capacity(pool, eni.slots.places() + usize::from(expected))
        });
        let creating = self
            .creating()
            .filter(|(creating, _)| *creating == pool)
            .map(|(_, grant)| self.capacity(pool, grant.places().into()));
        busy.chain(creating).sum()
    }

    /// The warm target of the default pool never takes the last slot, and an explicit pool's is
    /// never a reason for an ENI.
    fn may_take_slot(&self, pool: &PoolKey, lack: &Lack) -> bool {
        let free = self.slots_free(pool);
        if lack.waited_for > 0 {
            free > 0
        } else {
            lack.all > 0 && free > 1 && pool.is_default()
        }
    }

    /// Sends idle ENIs of other pools away, as many as waiting pods of `pool` need slots.
    fn claim_idle(&mut self, pool: &PoolKey, lack: &Lack, out: &mut Vec<Action>) {
        let needed = lack.waited_for.div_ceil(self.capacity(pool, 0).max(1));
        let leaving = self.enis.values().filter(|eni| eni.leaves());
        let leaving = leaving.filter(|eni| self.makes_room(eni, pool)).count();
        let missing = needed.saturating_sub(leaving + self.slots_free(pool));
        let idle: Vec<EniId> = self
            .enis
            .iter()
            .filter(|(_, eni)| eni.pool != *pool && eni.may_leave() && eni.is_idle())
            .filter(|(_, eni)| eni.is_settled() && self.waiters(&eni.pool) == 0)
            .filter(|(_, eni)| self.makes_room(eni, pool))
            .map(|(id, _)| id.clone())
            .take(missing)
            .collect();
        for id in idle {
            self.leave(&id, Stage::Detaching, out);
        }
    }

    /// Has the node use what is attached; again after a failure, with pauses.
    fn prepare_attached(&mut self, out: &mut Vec<Action>) {
        for (id, eni) in &mut self.enis {
            // One that is left alone is used for pods that it has already.
            let left_alone = eni.is_unmanaged() && eni.leased() == 0 && !eni.primary;
            // While EC2 may not have it attached, the next look decides.
            let wants = eni.stage == Stage::Preparing && !eni.awaited && eni.missed == 0;
            let wants = wants && !left_alone;
            if wants && !eni.backoff.pauses(self.now) {
                eni.awaited = true;
                out.push(Action::UseEni(id.clone()));
            }
        }
    }
}
