//! What EC2 answered.

use std::{net::Ipv4Addr, time::Duration};

use underlay_types::{Class, EniId, PoolKey, Timestamp};

use super::Ipam;
use crate::{
    Action, Ec2Failure, Ec2Op, Ec2Outcome, Grant, Holding, OpId,
    backoff::Backoff,
    eni::{Eni, Slot, Stage},
};

/// How long single addresses are asked for after EC2 had no prefix: pods come and go, and so do
/// the holes they leave.
const FRAGMENTED_FOR: Duration = Duration::from_mins(2);

/// How long a Describe may show what an ENI has no more.
const SHOWN_LATE: Duration = Duration::from_mins(2);

impl Ipam {
    pub(super) fn ec2_ended(&mut self, op: OpId, outcome: Ec2Outcome, out: &mut Vec<Action>) {
        let Some(call) = self.ops.remove(&op) else {
            return;
        };
        if let Some(eni) = call.eni().and_then(|eni| self.enis.get_mut(eni)) {
            eni.op = None;
            eni.expecting = None;
            eni.changed = self.now;
        }
        if matches!(call, Ec2Op::CreateEni { .. }) {
            self.last_creation = Some(self.now);
        }
        self.note_given_back(&call);
        match outcome {
            Ec2Outcome::Failed(failure) => self.failed(call, failure, out),
            Ec2Outcome::Created { eni, holding } => self.created(&call, eni, &holding, out),
            Ec2Outcome::Assigned(given) => self.assigned(&call, &given, out),
            Ec2Outcome::Done => self.done(call, out),
        }
    }

    /// Addresses that were asked back are gone, or may be though EC2 said otherwise in the end: a
    /// client that heard nothing asks again, and is then refused. A Describe may show them for a
    /// while either way.
    fn note_given_back(&mut self, call: &Ec2Op) {
        let mut back = Holding::default();
        let eni = match call {
            Ec2Op::UnassignAddresses { eni, addresses } => {
                back.addresses.clone_from(addresses);
                eni
            }
            Ec2Op::UnassignPrefixes { eni, prefixes } => {
                back.prefixes.clone_from(prefixes);
                eni
            }
            _ => return,
        };
        self.doubt_addresses(eni, back.all_v4());
    }

    /// An ENI has these addresses no more, but may still be shown with them.
    pub(super) fn doubt_addresses(
        &mut self,
        eni: &EniId,
        addresses: impl Iterator<Item = Ipv4Addr>,
    ) {
        let until = self.now + SHOWN_LATE;
        let given_back = self.given_back.entry(eni.clone()).or_default();
        given_back.extend(addresses.map(|address| (address, until)));
    }

    /// Has a look decide over what could not be given back for sure, once no Describe is that late.
    pub(super) fn end_doubts(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let since = std::mem::replace(&mut self.doubts_ended, now);
        let ended = |until: Timestamp| since < until && until <= now;
        let is_left = self.given_back.iter().any(|(id, addresses)| {
            let slots = self.enis.get(id).map(|eni| &eni.slots);
            let is_left = |address: &Ipv4Addr| {
                slots.and_then(|slots| slots.get(*address)) == Some(&Slot::Releasing)
            };
            let mut addresses = addresses.iter();
            addresses.any(|(address, until)| ended(*until) && is_left(address))
        });
        if is_left {
            out.push(Action::Observe);
        }
    }

    fn created(&mut self, call: &Ec2Op, id: EniId, holding: &Holding, out: &mut Vec<Action>) {
        let Ec2Op::CreateEni { pool, .. } = call else {
            return;
        };
        self.growth_succeeded(pool);
        let families = self.config.families;
        let eni = Eni::new(pool.clone(), families, Stage::Detached, self.now);
        self.enis.insert(id.clone(), eni);
        self.add_given(&id, holding, out);
        let serves = self.enis.get(&id).is_some_and(|eni| !self.is_spent(eni));
        if !self.draining && serves && self.slots_free(pool) > 0 {
            self.attach(id, out);
        }
    }

    fn assigned(&mut self, call: &Ec2Op, given: &Holding, out: &mut Vec<Action>) {
        let Some(id) = call.eni() else {
            return;
        };
        if let Some(pool) = self.enis.get(id).map(|eni| eni.pool.clone()) {
            self.add_given(id, given, out);
            self.growth_succeeded(&pool);
            if let Some(eni) = self.enis.get_mut(id) {
                eni.full.succeeded();
            }
        }
    }

    fn growth_succeeded(&mut self, pool: &PoolKey) {
        self.throttle.succeeded();
        self.backoffs.remove(pool);
        self.scarce.remove(pool);
    }

    fn done(&mut self, call: Ec2Op, out: &mut Vec<Action>) {
        self.throttle.succeeded();
        let Some(eni) = call.eni().and_then(|id| self.enis.get_mut(id)) else {
            return;
        };
        eni.backoff.succeeded();
        match call {
            Ec2Op::AttachEni { eni: id, .. } => {
                eni.stage = Stage::Preparing;
                eni.missed = 0;
                let pool = eni.pool.clone();
                self.growth_succeeded(&pool);
                self.start(Ec2Op::SetDeleteOnTermination { eni: id }, out);
            }
            Ec2Op::DetachEni { .. } => {
                eni.stage = Stage::Detached;
                eni.place = None;
            }
            Ec2Op::DeleteEni { eni: id } => {
                self.enis.remove(&id);
            }
            Ec2Op::UnassignAddresses { addresses, .. } => {
                eni.slots.retain(|address, slot| {
                    !(*slot == Slot::Releasing && addresses.contains(&address))
                });
            }
            Ec2Op::UnassignPrefixes { prefixes, .. } => {
                eni.slots.retain(|address, slot| {
                    let within = prefixes.iter().any(|prefix| prefix.contains(&address));
                    !(*slot == Slot::Releasing && within)
                });
                eni.slots
                    .retain_prefixes(|prefix| !prefixes.contains(prefix));
            }
            Ec2Op::Assign { .. }
            | Ec2Op::CreateEni { .. }
            | Ec2Op::SetDeleteOnTermination { .. }
            | Ec2Op::UnassignIpv6Prefixes { .. } => {}
        }
    }

    /// Undoes what the call stood for; growth pauses for its pool, giving back for its ENI. The
    /// world may differ from what was thought, or the call may have worked all the same: look.
    fn failed(&mut self, call: Ec2Op, failure: Ec2Failure, out: &mut Vec<Action>) {
        let now = self.now;
        let gone = failure.class == Class::NotFound;
        if matches!(failure.class, Class::Throttled { .. }) {
            self.throttle.failed(now, failure.clone());
        } else {
            out.push(Action::Observe);
        }
        if let Ec2Op::CreateEni { pool, .. } = &call {
            self.growth_failed(pool.clone(), &call, &failure);
        }
        if let Some((id, eni)) = call.eni().and_then(|id| Some((id, self.enis.get_mut(id)?))) {
            match &call {
                // Its pods' affair, and none of those who wait for addresses.
                Ec2Op::AttachEni { .. } if eni.leased() > 0 => {
                    eni.stage = Stage::Detached;
                    eni.leave_place();
                    eni.backoff.failed(now, failure.clone());
                }
                Ec2Op::Assign { .. } | Ec2Op::AttachEni { .. } => {
                    let pool = eni.pool.clone();
                    if matches!(call, Ec2Op::AttachEni { .. }) {
                        eni.stage = Stage::Detached;
                        eni.place = None;
                    }
                    self.growth_failed(pool, &call, &failure);
                }
                Ec2Op::DeleteEni { .. } if gone => {
                    self.enis.remove(id);
                }
                Ec2Op::DeleteEni { .. } => {
                    eni.stage = Stage::Detached;
                    eni.backoff.failed(now, failure.clone());
                }
                Ec2Op::UnassignAddresses { .. }
                | Ec2Op::UnassignPrefixes { .. }
                | Ec2Op::UnassignIpv6Prefixes { .. } => {
                    // It may have worked all the same: an observation tells what is still there.
                    eni.backoff.failed(now, failure.clone());
                    out.push(Action::Observe);
                }
                Ec2Op::CreateEni { .. }
                | Ec2Op::DetachEni { .. }
                | Ec2Op::SetDeleteOnTermination { .. } => {
                    eni.backoff.failed(now, failure.clone());
                }
            }
        }
        Self::report_failure(call.to_string(), failure, out);
    }

    /// EC2 gives all that is asked for or nothing: a subnet that has not enough may have less, and
    /// one without a whole prefix may have single addresses. Those are asked for at once.
    fn growth_failed(&mut self, pool: PoolKey, call: &Ec2Op, failure: &Ec2Failure) {
        let asked = match call {
            Ec2Op::Assign { grant, .. } | Ec2Op::CreateEni { grant, .. } => Some(*grant),
            _ => None,
        };
        let lacking = asked.filter(|_| is_shortage(failure));
        if let Some(places @ 2..) = lacking.map(Grant::places) {
            self.scarce.insert(pool, places / 2);
        } else if matches!(lacking, Some(Grant::Prefixes(_))) && failure.is_fragmentation() {
            self.fragmented.insert(pool, self.now + FRAGMENTED_FOR);
        } else if let Some(id) = self.full_eni(call, failure)
            && let Some(eni) = self.enis.get_mut(&id)
        {
            // The next one is created in another subnet, with all that is wanted, unless no other
            // one had anything lately.
            eni.full.failed(self.now, failure.clone());
            let last = self.backoffs.get(&pool).and_then(Backoff::last);
            if !last.is_some_and(is_shortage) {
                self.scarce.remove(&pool);
            }
        } else {
            let backoff = self.backoffs.entry(pool).or_default();
            backoff.failed(self.now, failure.clone());
        }
    }
}

impl Ipam {
    /// The ENI that a call was for whose subnet has nothing more, where another subnet may.
    fn full_eni(&self, call: &Ec2Op, failure: &Ec2Failure) -> Option<EniId> {
        match call {
            Ec2Op::Assign {
                eni,
                grant: Grant::Addresses(_) | Grant::Prefixes(_),
            } if self.config.several_subnets && is_shortage(failure) => Some(eni.clone()),
            _ => None,
        }
    }
}

/// How EC2 says that the subnet has not as much as was asked for.
pub(super) fn is_shortage(failure: &Ec2Failure) -> bool {
    failure.code == "InsufficientFreeAddressesInSubnet" || failure.is_fragmentation()
}

impl Ec2Failure {
    /// What is told of a subnet without room where `earlier` is told of those before: if one of them
    /// only had no prefix, that, as single addresses may be left there.
    #[must_use]
    pub fn after(self, earlier: Option<Self>) -> Self {
        let earlier = earlier.filter(Self::is_fragmentation);
        earlier.unwrap_or(self)
    }

    /// How EC2 says that no aligned block of addresses is free: assigning and creating differ.
    fn is_fragmentation(&self) -> bool {
        self.code == "InsufficientCidrBlocks"
            || self.code == "InvalidParameterValue"
                && self
                    .message
                    .contains("sufficient free Ipv4 addresses or prefixes")
    }
}
