//! How ENIs are created, as `bins/agent/src/engine/subnets.rs` does it: in the subnet with the most
//! free addresses first.

use std::collections::VecDeque;

use underlay_ipam::{Grant, Input, OpId};
use underlay_journal::{Change, Creation};
use underlay_types::{PoolKey, SubnetId};

use super::{super::Recorded, Goal, Step, journal_full};
use crate::{
    cloud::{Failure, NewEni, Reply, Request},
    world::World,
};

impl World {
    /// The call that creates an ENI, its intent recorded; `None` if that is impossible.
    pub(super) fn creation(
        &mut self,
        op: OpId,
        pool: PoolKey,
        grant: Grant,
        ipv6_prefix: bool,
    ) -> Option<(Request, Step)> {
        let token = format!("{}-{}", self.life, op.0);
        let intent = Creation {
            token: token.clone(),
            pool: pool.clone(),
            addresses: grant.addresses(),
        };
        match self.record(Change::Creating(intent)) {
            Recorded::Yes => {}
            Recorded::Dead => return None,
            Recorded::Refused => {
                let outcome = journal_full();
                self.feed(Input::Ec2 { op, outcome });
                return None;
            }
        }
        let new = Box::new(NewEni {
            pool,
            subnet: self.cloud.subnets[0].clone(),
            grant,
            ipv6_prefix,
            token,
        });
        let now = self.now;
        if self.living().subnets.is_stale(now) {
            return Some((Request::DescribeSubnets, Step::Choosing(new)));
        }
        Some(self.create_in_order(new))
    }

    /// In the subnet with the most free addresses first.
    pub(super) fn create_in_order(&mut self, mut new: Box<NewEni>) -> (Request, Step) {
        let now = self.now;
        let mut order = VecDeque::from(self.living().subnets.in_order(now));
        if let Some(first) = order.pop_front() {
            new.subnet = first;
        }
        (
            Request::Create((*new).clone()),
            Step::Creating(new, order, None),
        )
    }

    /// Each subnet has a request of its own: EC2 refuses a token with other parameters.
    pub(super) fn created(
        &mut self,
        op: OpId,
        mut new: Box<NewEni>,
        mut order: VecDeque<SubnetId>,
        told: Option<Failure>,
        result: Result<Reply, Failure>,
    ) {
        let mut result = result;
        let (now, whole) = (self.now, new.pool.is_whole());
        let subnets = &mut self.living().subnets;
        match &result {
            Ok(_) => subnets.gave(&new.subnet, u32::from(new.grant.addresses()) + 1),
            Err(Failure::Refused(refusal)) if refusal.is_subnet_exhausted() => {
                subnets.refuses(now, &new.subnet);
                let last = Failure::Refused(refusal.clone()).told();
                let told = told.filter(|told| last.after(Some(told.told())) == told.told());
                result = told.map_or(result, Err);
                if let Some(next) = order.pop_front() {
                    self.tally.add("next subnets");
                    let token = format!("{}-{}", new.token, order.len());
                    let request = NewEni {
                        subnet: next.clone(),
                        token,
                        ..(*new).clone()
                    };
                    new.subnet = next;
                    let step = Step::Creating(new, order, result.err());
                    return self.begin(Goal::Op(op, step), Request::Create(request));
                }
            }
            Err(_) => {}
        }
        if whole && result.is_ok() {
            self.tally.add("whole ENIs");
        }
        // The intent stays if this cannot be recorded: one more look after the next start.
        if self.record(Change::Created(new.token)) != Recorded::Dead {
            self.ended(op, result);
        }
    }
}
