//! Requests that got no address yet: when to go on waiting, and what to say when not.

use underlay_types::{Families, PoolKey, Timestamp};

use super::{Ipam, Waiter};
use crate::{
    Action, AllocError, Ec2Failure, Ec2Op, Reason,
    backoff::Backoff,
    eni::{Eni, Stage},
};

impl Ipam {
    /// Refuses those whose time is up, and those for whom nothing is under way nor can be.
    pub(super) fn settle_waiting(&mut self, out: &mut Vec<Action>) {
        for waiter in std::mem::take(&mut self.waiting) {
            if self.now < waiter.deadline && self.has_hope(&waiter.pool, waiter.deadline) {
                self.waiting.push(waiter);
            } else {
                let Waiter {
                    request,
                    pool,
                    since,
                    deadline,
                    ..
                } = waiter;
                let reason = self.why_not(&pool, since, deadline);
                out.push(Action::Reply(request, Err(self.refusal(pool, reason))));
            }
        }
    }

    /// Whether a pod that asks now may get an address of `pool` by `deadline`.
    ///
    /// # Errors
    /// What it would be told.
    pub fn prospects(&self, pool: &PoolKey, deadline: Timestamp) -> Result<(), Box<AllocError>> {
        let free = self
            .enis
            .values()
            .any(|eni| eni.serves(pool) && eni.free() > 0);
        let grows = self.may_grow(pool) && self.has_room(pool);
        if !self.draining && (free || grows) || self.has_hope(pool, deadline) {
            Ok(())
        } else {
            Err(self.refusal(pool.clone(), self.why_not(pool, self.now, deadline)))
        }
    }

    /// Whether an address may come free before `deadline`.
    fn has_hope(&self, pool: &PoolKey, deadline: Timestamp) -> bool {
        !self.draining
            && (!self.observed
                || self.grows(pool)
                || self.gathers(pool) && self.has_room(pool)
                || self.pause_ends_before(pool, deadline)
                || self.enis.values().any(|eni| {
                    let leaves = eni.leaves() && self.makes_room(eni, pool);
                    leaves || cools_before(eni, pool, deadline)
                })
                || self.may_claim_soon(pool))
    }

    /// Whether another pool's ENI may leave once what is under way for it has ended.
    fn may_claim_soon(&self, pool: &PoolKey) -> bool {
        self.enis.values().any(|eni| {
            let idle = eni.may_leave() && eni.pool != *pool && eni.is_idle();
            let idle = idle && self.makes_room(eni, pool);
            idle && eni.is_used() && !eni.is_settled() && self.waiters(&eni.pool) == 0
        })
    }

    /// Whether growth of the pool is under way.
    fn grows(&self, pool: &PoolKey) -> bool {
        self.creating().any(|(creating, _)| creating == pool)
            || self.enis.values().any(|eni| {
                eni.pool == *pool
                    && eni.is_open()
                    && (matches!(eni.stage, Stage::Attaching | Stage::Preparing)
                        || eni.stage == Stage::Active && eni.op.is_some())
            })
    }

    fn pause_ends_before(&self, pool: &PoolKey, deadline: Timestamp) -> bool {
        let throttled = self.is_throttled() && self.throttle.may_pass_by(deadline);
        let paused = |backoff: &Backoff| backoff.pauses(self.now) && backoff.may_pass_by(deadline);
        (throttled || self.backoffs.get(pool).is_some_and(paused)) && self.has_room(pool)
    }

    fn has_room(&self, pool: &PoolKey) -> bool {
        let has_places = |eni: &Eni| {
            let left = match self.config.families {
                _ if pool.is_whole() => 0,
                Families::V4 | Families::Dual => self.places_left(eni.slots.places()),
                Families::V6 => 0,
            };
            let takes = left > 0 && !eni.full.pauses(self.now);
            eni.pool == *pool && eni.is_attached() && (takes || eni.lacks_ipv6())
        };
        if self.is_at_maximum(pool) {
            return false;
        }
        self.slots_free(pool) > 0
            || self.enis.values().any(has_places)
            || self
                .enis
                .values()
                .filter(|eni| self.makes_room(eni, pool))
                .any(|eni| eni.may_leave() && eni.pool != *pool && eni.is_idle())
    }

    /// Whether not even one place more may be filled.
    fn is_at_maximum(&self, pool: &PoolKey) -> bool {
        !pool.is_whole() && self.headroom() < self.delegation(pool).per_place().into()
    }

    fn why_not(&self, pool: &PoolKey, since: Timestamp, deadline: Timestamp) -> Reason {
        let failure = self
            .backoffs
            .get(pool)
            .and_then(Backoff::last)
            .or_else(|| self.throttle.last().filter(|_| self.is_throttled()))
            .or_else(|| self.full_subnet(pool));
        if self.draining {
            Reason::Draining
        } else if let Some(failure) = failure.filter(|_| !self.grows(pool)) {
            Reason::Refused(failure.clone())
        } else if self.now >= deadline {
            let waited = self.now.saturating_since(since);
            Reason::Deadline {
                waited,
                waited_for: self.under_way(pool),
            }
        } else if let Some(maximum) = self.config.maximum.filter(|_| self.is_at_maximum(pool)) {
            Reason::Maximum {
                held: self.held(),
                maximum,
            }
        } else {
            let of_node = (self.slots_taken(), self.config.limits.max_enis());
            let of_card = pool.card.map(|card| self.slots_of_card(card));
            let full = of_card.filter(|(taken, max)| taken >= max);
            let (attached, max) = full.unwrap_or(of_node);
            Reason::NoSlot { attached, max }
        }
    }

    /// What EC2 said last of a subnet that has nothing more for an ENI of this pool.
    fn full_subnet(&self, pool: &PoolKey) -> Option<&Ec2Failure> {
        let full = |eni: &&Eni| eni.pool == *pool && eni.full.pauses(self.now);
        self.enis.values().find(full)?.full.last()
    }

    /// What is under way for a pool, in words; also for the node's status.
    pub(crate) fn under_way(&self, pool: &PoolKey) -> String {
        let mut parts: Vec<String> = self
            .ops
            .values()
            .filter(|op| match op {
                Ec2Op::CreateEni { pool: creating, .. } => creating == pool,
                op => op
                    .eni()
                    .and_then(|eni| self.enis.get(eni))
                    .is_some_and(|eni| eni.pool == *pool || eni.leaves()),
            })
            .map(ToString::to_string)
            .collect();
        for (id, eni) in &self.enis {
            match eni.stage {
                Stage::Preparing if eni.pool == *pool => {
                    parts.push(format!("the device of {id} to be set up"));
                }
                Stage::Dropping => parts.push(format!("{id} to be dropped by the node")),
                _ => {}
            }
        }
        if parts.is_empty() && self.numbers(pool).cooling > 0 {
            parts.push("addresses to cool down".to_owned());
        }
        if parts.is_empty() {
            parts.push("a slot to come free".to_owned());
        }
        parts.join(", ")
    }
}

/// Whether a cooling address of the own pool comes free, or another pool's ENI may leave.
fn cools_before(eni: &Eni, pool: &PoolKey, deadline: Timestamp) -> bool {
    let until = if eni.serves(pool) && pool.is_whole() {
        eni.cooling_ends().max()
    } else if eni.serves(pool) {
        eni.slots.next_frees().min()
    } else if eni.may_leave() && eni.pool != *pool && eni.leased() == 0 {
        eni.cooling_ends().max()
    } else {
        None
    };
    until.is_some_and(|until| until < deadline)
}
