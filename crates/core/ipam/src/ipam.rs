//! The allocator: state, dispatch of inputs, and what every part of it needs to ask.

mod attachment;
mod crowds;
mod growth;
mod holding;
mod observe;
mod outcome;
mod pods;
mod release;
mod stranded;
mod waiting;

use std::{collections::BTreeMap, net::Ipv4Addr};

use underlay_types::{EniId, LeaseKey, PodAddresses, PoolKey, SecurityGroupSet, Timestamp};

pub(crate) use self::attachment::OBSERVATIONS_UNTIL_BELIEVED;
use self::crowds::Crowd;
use crate::{
    Action, Config, Ec2Failure, Ec2Op, Grant, Input, Notice, Numbers, OpId, Place, RequestId,
    backoff::Backoff,
    eni::{Eni, Slot, Stage},
};

/// The allocator of one node.
///
/// Feed it every [`Input`] through [`Ipam::handle`], and a [`Input::Tick`] at
/// [`Ipam::next_deadline`]; carry out the actions in order. A pod may be tried with
/// [`Ipam::lease_at_once`] first.
#[derive(Debug)]
pub struct Ipam {
    pub(crate) config: Config,
    pub(crate) now: Timestamp,
    pub(crate) enis: BTreeMap<EniId, Eni>,
    pub(crate) leases: BTreeMap<LeaseKey, (EniId, PodAddresses)>,
    pub(crate) waiting: Vec<Waiter>,
    pub(crate) ops: BTreeMap<OpId, Ec2Op>,
    pub(crate) draining: bool,
    next_op: u64,
    /// Why and until when each pool does not grow.
    pub(crate) backoffs: BTreeMap<PoolKey, Backoff>,
    /// Until when each pool asks for single addresses, as its subnet had no prefix left.
    pub(crate) fragmented: BTreeMap<PoolKey, Timestamp>,
    /// What each pool asks for at most, in places, as its subnet had not enough for more.
    pub(crate) scarce: BTreeMap<PoolKey, u16>,
    /// Pods that have just come, of each pool.
    pub(crate) crowds: BTreeMap<PoolKey, Crowd>,
    /// Addresses that EC2 has taken back, or may have, by the ENI that had them, and until when it
    /// may still show them there. It may give them to another ENI meanwhile.
    pub(crate) given_back: BTreeMap<EniId, BTreeMap<Ipv4Addr, Timestamp>>,
    /// ENIs that an earlier run was detaching, and until when that may still come to pass.
    parting: BTreeMap<EniId, Timestamp>,
    /// Until when the ends of these have been acted on.
    doubts_ended: Timestamp,
    /// Since when each pool has more free addresses than it should.
    pub(crate) surplus_since: BTreeMap<PoolKey, Timestamp>,
    /// EC2 asked for fewer calls of any kind.
    throttle: Backoff,
    /// Until EC2 has been asked once, nobody knows what there is: nothing is changed.
    observed: bool,
    /// What the default pool's ENIs must carry, unless configured.
    primary_groups: Option<SecurityGroupSet>,
    /// Attached ENIs that are not ours, with their place.
    foreign: BTreeMap<EniId, Place>,
    /// When a `CreateEni` last ended: an older observation may or may not show its ENI.
    last_creation: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) request: RequestId,
    pub(crate) key: LeaseKey,
    pub(crate) pool: PoolKey,
    pub(crate) since: Timestamp,
    pub(crate) deadline: Timestamp,
}

// === impl Ipam ===

impl Ipam {
    /// An allocator that knows no ENI yet: feed `Restore`, then `Observed`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            next_op: config.first_op,
            config,
            now: Timestamp::ZERO,
            enis: BTreeMap::new(),
            leases: BTreeMap::new(),
            waiting: Vec::new(),
            ops: BTreeMap::new(),
            draining: false,
            backoffs: BTreeMap::new(),
            fragmented: BTreeMap::new(),
            scarce: BTreeMap::new(),
            crowds: BTreeMap::new(),
            given_back: BTreeMap::new(),
            parting: BTreeMap::new(),
            doubts_ended: Timestamp::ZERO,
            surplus_since: BTreeMap::new(),
            throttle: Backoff::default(),
            observed: false,
            primary_groups: None,
            foreign: BTreeMap::new(),
            last_creation: None,
        }
    }

    /// Takes one input, and appends what is to be done to `out`, in order.
    ///
    /// Idempotence: a repeated `PodAdd` of a leased key gets the same lease; unknown keys, requests
    /// and operations are ignored.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Action>) {
        self.now = now;
        match input {
            Input::PodAdd(add) => self.pod_add(add, out),
            Input::Cancel(request) => self.waiting.retain(|waiter| waiter.request != request),
            Input::PodDel(key) | Input::WireFailed(key) => self.pod_del(key),
            Input::DeviceGone(key) => self.device_gone(&key),
            Input::Ec2 { op, outcome } => self.ec2_ended(op, outcome, out),
            Input::EniReady(eni) => self.eni_ready(&eni),
            Input::EniUnready { eni, reason } => self.eni_unready(&eni, reason, out),
            Input::EniDropped(eni) => self.eni_dropped(&eni),
            Input::Observed { asked, enis } => self.observed(asked, enis, out),
            Input::Restore {
                leases,
                cooldowns,
                partings,
                places,
            } => {
                self.restore(leases, cooldowns, places);
                self.restore_partings(partings);
            }
            Input::Drain => self.draining = true,
            Input::Resume => self.draining = false,
            Input::Tick => {}
        }
        self.end_cooldowns();
        self.end_doubts(out);
        self.serve_waiting(out);
        if self.observed {
            self.enis
                .retain(|_, eni| eni.stage != Stage::Lost || !eni.is_idle());
            self.note_idle();
            self.attach_stranded(out);
            self.release(out);
            self.grow_all(out);
            self.discard_detached(out);
        }
        self.settle_waiting(out);
    }

    /// When to call again with [`Input::Tick`] if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waiters = self.waiting.iter().map(|waiter| waiter.deadline);
        let backoffs = self.backoffs.values().map(Backoff::until);
        let enis = self.enis.values().flat_map(|eni| {
            let idle = eni.idle_since.map(|since| since + self.config.idle_release);
            eni.cooling_ends()
                .chain(idle)
                .chain([eni.backoff.until(), eni.full.until()])
        });
        let surplus = self.surplus_since.values();
        let surplus = surplus.map(|since| *since + self.config.idle_release);
        let given_back = self.given_back.values().flat_map(BTreeMap::values).copied();
        waiters
            .chain(backoffs)
            .chain(given_back)
            .chain(surplus)
            .chain(enis)
            .chain(self.crowds_end())
            .chain([self.throttle.until()])
            .filter(|deadline| *deadline > self.now)
            .min()
    }

    /// Whether everything is being given back, and no pod taken.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether every ENI but the primary one is gone, and the primary one has no pod addresses.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let empty = |eni: &Eni| match eni.stage {
            // EC2 does not know it: there is nothing to give back.
            Stage::Lost => eni.leased() == 0,
            // It stays whatever it has.
            _ if eni.is_unmanaged() => eni.leased() == 0,
            _ => eni.primary && eni.slots.is_empty() && self.gave_ipv6_back(eni),
        };
        self.ops.is_empty() && self.enis.values().all(empty)
    }

    /// A pool in numbers.
    #[must_use]
    pub fn numbers(&self, pool: &PoolKey) -> Numbers {
        let mut numbers = Numbers::default();
        for eni in self
            .enis
            .values()
            .filter(|eni| eni.pool == *pool && eni.takes_slot())
        {
            if eni.serves(pool) {
                numbers.free += eni.free();
            }
            numbers.leased += eni.in_use();
            numbers.cooling += eni.at_rest();
            numbers.total += eni.total();
            numbers.enis += 1;
        }
        numbers
    }

    /// The call under way with this id.
    #[must_use]
    pub fn call(&self, op: OpId) -> Option<&Ec2Op> {
        self.ops.get(&op)
    }

    /// Whether the allocator counts on this ENI, or on its leases.
    #[must_use]
    pub fn knows(&self, eni: &EniId) -> bool {
        self.enis.contains_key(eni)
    }

    /// The groups of the default pool: those configured, or the primary ENI's as last observed.
    #[must_use]
    pub fn default_groups(&self) -> Option<&SecurityGroupSet> {
        let configured = self.config.default_groups.as_ref();
        configured.or(self.primary_groups.as_ref())
    }

    /// Starts an EC2 call and remembers it until its outcome.
    fn start(&mut self, op: Ec2Op, out: &mut Vec<Action>) {
        let id = OpId(self.next_op);
        self.next_op += 1;
        if let Some(eni) = op.eni().and_then(|eni| self.enis.get_mut(eni)) {
            eni.op = Some(id);
            eni.changed = self.now;
        }
        self.ops.insert(id, op.clone());
        out.push(Action::Ec2(id, op));
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.throttle.pauses(self.now)
    }

    fn may_grow(&self, pool: &PoolKey) -> bool {
        !self.draining
            && !self.is_throttled()
            && !self
                .backoffs
                .get(pool)
                .is_some_and(|backoff| backoff.pauses(self.now))
    }

    /// ENIs that take a slot now, or will: once created, or attached again for their pods.
    fn slots_taken(&self) -> usize {
        let attached = self.enis.values().filter(|eni| eni.takes_slot()).count();
        let coming = self.creating().count() + self.coming_back().count();
        attached + self.foreign.len() + coming
    }

    /// Slots that an ENI of the pool may have.
    fn slots_free(&self, pool: &PoolKey) -> usize {
        let (taken, max) = (self.slots_taken(), self.config.limits.max_enis());
        let free = max.saturating_sub(taken);
        pool.card.map_or(free, |card| {
            let (taken, max) = self.slots_of_card(card);
            free.min(max.saturating_sub(taken))
        })
    }

    /// ENIs that take a slot of a network card, or will, and how many it has.
    fn slots_of_card(&self, card: u8) -> (usize, usize) {
        let ours = self.enis.values().filter(|eni| eni.takes_slot());
        let places = ours.filter_map(|eni| {
            if eni.primary {
                Some(Place::PRIMARY)
            } else {
                eni.place
            }
        });
        let there = places.chain(self.foreign.values().copied());
        let there = there.filter(|place| place.card == card).count();
        let coming = self.creating().filter(|(pool, _)| pool.card == Some(card));
        let back = self.coming_back();
        let back = back.filter(|eni| eni.former_card() == Some(card));
        (
            there + coming.count() + back.count(),
            self.config.limits.enis_of_card(card),
        )
    }

    /// Whether a slot of this ENI is one that an ENI of the pool could have.
    fn makes_room(&self, eni: &Eni, pool: &PoolKey) -> bool {
        pool.card.is_none_or(|card| {
            let (taken, max) = self.slots_of_card(card);
            taken < max || eni.place.is_some_and(|place| place.card == card)
        })
    }

    /// The `CreateEni` calls under way.
    fn creating(&self) -> impl Iterator<Item = (&PoolKey, Grant)> {
        self.ops.values().filter_map(|op| match op {
            Ec2Op::CreateEni { pool, grant, .. } => Some((pool, *grant)),
            _ => None,
        })
    }

    /// Every pool: those with waiters first, by the oldest request.
    fn pools(&self) -> Vec<PoolKey> {
        let mut pools: Vec<PoolKey> = Vec::new();
        let waiting = self.waiting.iter().map(|waiter| &waiter.pool);
        for pool in waiting.chain(self.enis.values().map(|eni| &eni.pool)) {
            if !pools.contains(pool) {
                pools.push(pool.clone());
            }
        }
        pools
    }

    fn waiters(&self, pool: &PoolKey) -> usize {
        self.waiting
            .iter()
            .filter(|waiter| waiter.pool == *pool)
            .count()
    }

    /// Frees what has cooled down, and forgets it where EC2 no longer reports it.
    fn end_cooldowns(&mut self) {
        let now = self.now;
        for eni in self.enis.values_mut() {
            if !eni.cooling_ends().any(|until| until <= now) {
                continue;
            }
            eni.ipv6.retain(|_, slot| !slot.has_cooled(now));
            let lost = eni.stage == Stage::Lost;
            eni.slots.retain(|_, slot| {
                let forgets = slot.has_cooled(now)
                    && (lost || matches!(slot, Slot::Cooling { missing: true, .. }));
                !forgets
            });
            eni.slots.update(|_, slot| {
                if slot.has_cooled(now) {
                    *slot = Slot::Free { since: now };
                }
            });
        }
    }

    fn note_idle(&mut self) {
        for eni in self.enis.values_mut() {
            eni.idle_since = eni.is_idle().then(|| eni.idle_since.unwrap_or(self.now));
        }
    }

    /// The groups that ENIs of `pool` must carry, once known.
    fn expected_groups<'a>(&'a self, pool: &'a PoolKey) -> Option<&'a SecurityGroupSet> {
        pool.explicit_set().or_else(|| self.default_groups())
    }

    fn report_failure(what: String, failure: Ec2Failure, out: &mut Vec<Action>) {
        out.push(Action::Report(Notice::Ec2Failed { what, failure }));
    }
}
