//! EC2 calls as the agent makes them: one request or several, repeated as its client repeats them.

mod creation;

use std::{collections::VecDeque, time::Duration};

use underlay_ipam::{Ec2Op, Ec2Outcome, Grant, Input, OpId};
use underlay_journal::{Change, PARTS_FOR, Parting};
use underlay_types::{AttachmentId, EniId, SubnetId, Timestamp};
use underlay_vpc_model::Treatment;

use super::{AUDIT_INTERVAL, Recorded};
use crate::{
    cloud::{Failure, NewEni, Reply, Request, Seen},
    world::{Event, World},
};

/// How long one attempt may take, and a call with all its attempts (`Ec2Config::new`).
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long an ENI may take to leave the instance.
const DETACH_DEADLINE: Duration = Duration::from_secs(60);

/// Something the agent has under way with EC2.
#[derive(Debug)]
pub(crate) struct Task {
    life: u32,
    goal: Goal,
    request: Request,
    /// When its present request was first sent.
    begun: Timestamp,
    attempts: u32,
}

#[derive(Debug, Clone)]
enum Goal {
    /// An operation of the allocator's.
    Op(OpId, Step),
    /// One half of a look, asked when.
    Look(Timestamp),
    /// One half of a start's look.
    Start,
}

/// Where an operation of several requests is.
#[derive(Debug, Clone)]
enum Step {
    Only,
    /// Where subnets are chosen from, they are asked for first.
    Choosing(Box<NewEni>),
    /// In the subnets that are left after this one, if it has no room; and what those before said.
    Creating(Box<NewEni>, VecDeque<SubnetId>, Option<Failure>),
    /// Its attachment is asked for first.
    Detach(EniId),
    SetDelete(EniId),
    Detaching(EniId),
    /// Until EC2 shows the ENI as available, or this time; with growing pauses.
    Left(EniId, Timestamp, Duration),
}

impl Task {
    /// Whether it takes a slot of the instance once it is done.
    pub(crate) const fn brings_an_eni(&self) -> bool {
        matches!(self.goal, Goal::Op(_, Step::Choosing(_)))
            || matches!(self.request, Request::Create(_) | Request::Attach { .. })
    }

    /// The ENI that it attaches.
    pub(crate) const fn attaches(&self) -> Option<&EniId> {
        match &self.request {
            Request::Attach { eni, .. } => Some(eni),
            _ => None,
        }
    }

    /// What it asks EC2 for, if the agent of this run does.
    pub(crate) const fn grant(&self, life: u32) -> Option<Grant> {
        match &self.request {
            _ if self.life != life => None,
            Request::Assign { grant, .. } => Some(*grant),
            Request::Create(new) => Some(new.grant),
            _ => match &self.goal {
                Goal::Op(_, Step::Choosing(new)) => Some(new.grant),
                _ => None,
            },
        }
    }
}

impl World {
    /// Starts a call of the allocator's.
    pub(super) fn call(&mut self, op: OpId, call: Ec2Op) {
        self.check_call(&call);
        self.note(|_| format!("call {}: {call}", op.0));
        match self.record_parting(&call) {
            Recorded::Yes => {}
            Recorded::Dead => return,
            Recorded::Refused => {
                let outcome = journal_full();
                return self.feed(Input::Ec2 { op, outcome });
            }
        }
        if !self.survives() {
            return;
        }
        let attachment = |world: &Self, eni: &EniId| {
            let agent = world.agent.as_ref()?;
            agent.enis.get(eni)?.attachment.clone()
        };
        let (request, step) = match call {
            Ec2Op::Assign { eni, grant } => (Request::Assign { eni, grant }, Step::Only),
            Ec2Op::AttachEni { eni, place } => {
                if let Some(facts) = self.living().enis.get_mut(&eni) {
                    facts.place = Some(place);
                }
                (Request::Attach { eni, place }, Step::Only)
            }
            Ec2Op::CreateEni {
                pool,
                grant,
                ipv6_prefix,
            } => match self.creation(op, pool, grant, ipv6_prefix) {
                Some(creation) => creation,
                None => return,
            },
            Ec2Op::DeleteEni { eni } => (Request::Delete(eni), Step::Only),
            Ec2Op::DetachEni { eni } => match attachment(self, &eni) {
                Some(known) => (Request::Detach(known), Step::Detaching(eni)),
                None => (Request::DescribeOne(eni.clone()), Step::Detach(eni)),
            },
            Ec2Op::SetDeleteOnTermination { eni } => match attachment(self, &eni) {
                Some(attachment) => {
                    let request = Request::SetDeleteOnTermination { eni, attachment };
                    (request, Step::Only)
                }
                None => (Request::DescribeOne(eni.clone()), Step::SetDelete(eni)),
            },
            Ec2Op::UnassignAddresses { eni, addresses } => {
                let prefixes = Vec::new();
                (unassign(eni, addresses, prefixes), Step::Only)
            }
            Ec2Op::UnassignPrefixes { eni, prefixes } => {
                (unassign(eni, Vec::new(), prefixes), Step::Only)
            }
            Ec2Op::UnassignIpv6Prefixes { eni, prefixes } => {
                (Request::UnassignIpv6 { eni, prefixes }, Step::Only)
            }
        };
        self.memory_begins(op);
        self.begin(Goal::Op(op, step), request);
    }

    /// Records what a call asks back: it may be carried out when this process is no more.
    fn record_parting(&mut self, call: &Ec2Op) -> Recorded {
        let Some(parting) = underlay_ipam::Parting::of(call) else {
            return Recorded::Yes;
        };
        let lasts_ms = u64::try_from(PARTS_FOR.as_millis()).unwrap_or(u64::MAX);
        self.record(Change::Parting(Parting {
            eni: parting.eni,
            addresses: parting.addresses,
            prefixes: parting.prefixes,
            until_wall_ms: self.wall_ms() + lasts_ms,
            until_boot: self.now + PARTS_FOR,
        }))
    }

    /// Asks EC2 what this instance has.
    pub(super) fn look(&mut self) {
        let now = self.now;
        let agent = self.living();
        agent.look_under_way = true;
        agent.memory.asks();
        agent.halves.clear();
        self.begin(Goal::Look(now), Request::DescribeAttached);
        self.begin(Goal::Look(now), Request::DescribeTagged);
    }

    pub(super) fn look_for_start(&mut self) {
        self.begin(Goal::Start, Request::DescribeAttached);
        self.begin(Goal::Start, Request::DescribeTagged);
    }

    fn begin(&mut self, goal: Goal, request: Request) {
        self.last_task += 1;
        let task = Task {
            life: self.life,
            goal,
            request,
            begun: self.now,
            attempts: 0,
        };
        self.tasks.insert(self.last_task, task);
        self.send(self.last_task);
    }

    /// Sends a request, for the first time or again.
    pub(crate) fn send(&mut self, id: u64) {
        let life = self.life;
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if task.life != life || self.agent.is_none() && self.starting.is_none() {
            self.tasks.remove(&id);
            return;
        }
        task.attempts += 1;
        self.tally.add(task.request.action());
        match task.goal {
            Goal::Op(..) => self.books.changes_sent += 1,
            Goal::Look(_) | Goal::Start => self.books.looks_sent += 1,
        }
        let fate = self.cloud.admit(&task.request, self.now);
        let half = fate.latency / 2;
        let back = half + fate.late;
        self.after(fate.hold + half, Event::Arrive(id, fate.treatment, back));
    }

    pub(crate) fn arrive(&mut self, id: u64, treatment: &Treatment, back: Duration) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let result = self.cloud.carry_out(&task.request, treatment, self.now);
        if self.is_traced() {
            let line = format!("EC2 {id}: {:?} {treatment:?} -> {result:?}", task.request);
            self.note(|_| line);
        }
        // Whoever waits longer gives up, and does not know what came of it.
        let (back, result) = if back > ATTEMPT_TIMEOUT {
            (ATTEMPT_TIMEOUT, Err(Failure::NoAnswer))
        } else {
            (back, result)
        };
        self.after(back, Event::Answer(id, result));
    }

    pub(crate) fn answered(&mut self, id: u64, result: Result<Reply, Failure>) {
        let (life, now) = (self.life, self.now);
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        if task.life != life {
            self.tasks.remove(&id);
            return;
        }
        if let Err(failure) = &result {
            let pause = failure.first_pause(task.request.is_repeatable());
            let pause = pause.map(|first| {
                let doubled = first.saturating_mul(1 << task.attempts.min(16).saturating_sub(1));
                doubled.min(PAUSE_MAX)
            });
            if let Some(pause) = pause.filter(|pause| now + *pause < task.begun + CALL_TIMEOUT) {
                return self.after(pause, Event::Send(id));
            }
        }
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        self.tally.add(if result.is_ok() {
            "answers"
        } else {
            "refusals"
        });
        match task.goal {
            Goal::Op(op, step) if self.agent.is_some() => self.go_on(op, step, result),
            Goal::Look(asked) if self.agent.is_some() => self.looked(asked, task.request, result),
            Goal::Start if self.starting.is_some() => self.start_looked(task.request, result),
            Goal::Op(..) | Goal::Look(_) | Goal::Start => {}
        }
    }

    /// An operation's request has ended: the next, or the end.
    fn go_on(&mut self, op: OpId, step: Step, result: Result<Reply, Failure>) {
        let class = result.as_ref().err().map(Failure::class);
        let gone = class == Some(underlay_types::Class::NotFound);
        match (step, result) {
            (Step::Detach(eni), Ok(Reply::Seen(seen))) => match attachment_of(seen) {
                Some(known) => {
                    self.begin(Goal::Op(op, Step::Detaching(eni)), Request::Detach(known));
                }
                None => self.wait_until_left(op, eni),
            },
            (Step::Detach(eni), Err(_)) if gone => self.wait_until_left(op, eni),
            (Step::SetDelete(eni), Ok(Reply::Seen(seen))) => match attachment_of(seen) {
                Some(attachment) => {
                    let request = Request::SetDeleteOnTermination { eni, attachment };
                    self.begin(Goal::Op(op, Step::Only), request);
                }
                None => self.ended(op, Ok(Reply::Done)),
            },
            (Step::SetDelete(_), Err(_)) if gone => self.ended(op, Ok(Reply::Done)),
            (Step::Detaching(eni), Ok(_)) => self.wait_until_left(op, eni),
            (Step::Detaching(eni), Err(_)) if gone => self.wait_until_left(op, eni),
            (Step::Left(eni, until, pause), Ok(Reply::Seen(seen))) => {
                let left = seen.first().is_none_or(|eni| eni.available);
                if left || self.now > until {
                    self.ended(op, Ok(Reply::Done));
                } else {
                    let next = (pause * 2).min(Duration::from_secs(2));
                    self.look_whether_left(op, eni, until, pause, next);
                }
            }
            (Step::Left(..), Err(_)) if gone => self.ended(op, Ok(Reply::Done)),
            (Step::Choosing(new), Ok(Reply::Subnets(subnets))) => {
                let now = self.now;
                self.living().subnets.learn(now, &subnets);
                let (request, step) = self.create_in_order(new);
                self.begin(Goal::Op(op, step), request);
            }
            (Step::Choosing(new), result) => {
                if self.record(Change::Created(new.token)) != Recorded::Dead {
                    self.ended(op, result);
                }
            }
            (Step::Creating(new, order, told), result) => {
                self.created(op, new, order, told, result);
            }
            (_, result) => self.ended(op, result),
        }
    }

    fn wait_until_left(&mut self, op: OpId, eni: EniId) {
        let until = self.now + DETACH_DEADLINE;
        let pause = Duration::from_millis(50);
        self.look_whether_left(op, eni, until, Duration::ZERO, pause);
    }

    fn look_whether_left(
        &mut self,
        op: OpId,
        eni: EniId,
        until: Timestamp,
        pause: Duration,
        next: Duration,
    ) {
        let request = Request::DescribeOne(eni.clone());
        self.last_task += 1;
        let task = Task {
            life: self.life,
            goal: Goal::Op(op, Step::Left(eni, until, next)),
            request,
            begun: self.now + pause,
            attempts: 0,
        };
        self.tasks.insert(self.last_task, task);
        self.after(pause, Event::Send(self.last_task));
    }

    /// Tells the allocator; now and then twice, as no answer may be believed to come once.
    fn ended(&mut self, op: OpId, result: Result<Reply, Failure>) {
        self.memory_ended(op, result.as_ref().ok());
        let outcome = match result {
            Ok(Reply::Assigned(given)) => Ec2Outcome::Assigned(given),
            Ok(Reply::Attached(attachment)) => {
                let agent = self.living();
                if let Some(Ec2Op::AttachEni { eni, .. }) = agent.ipam.call(op)
                    && let Some(facts) = agent.enis.get_mut(eni)
                {
                    facts.attachment = Some(attachment);
                }
                Ec2Outcome::Done
            }
            Ok(Reply::Created(seen)) => {
                let id = seen.observed.id.clone();
                let holding = seen.observed.holding.clone();
                self.read(vec![*seen]);
                Ec2Outcome::Created { eni: id, holding }
            }
            Ok(Reply::Done | Reply::Seen(_) | Reply::Subnets(_)) => {
                self.forget_place(op);
                Ec2Outcome::Done
            }
            Err(failure) => {
                let told = failure.told();
                self.books.refused_with.insert(told.code.clone());
                Ec2Outcome::Failed(told)
            }
        };
        let twice = self.books.faulty && self.chance(self.setting.fault_rate);
        if twice {
            self.tally.add_fault("answer told twice", 1);
            let outcome = outcome.clone();
            self.feed(Input::Ec2 { op, outcome });
        }
        self.feed(Input::Ec2 { op, outcome });
    }

    /// Half of a look is there; with the other half, the allocator is told.
    fn looked(&mut self, asked: Timestamp, request: Request, result: Result<Reply, Failure>) {
        let now = self.now;
        let next = self.rng.f64().mul_add(0.4, 0.8);
        let agent = self.living();
        agent.halves.push((request, result));
        if agent.halves.len() < 2 {
            return;
        }
        let halves = std::mem::take(&mut agent.halves);
        agent.look_under_way = false;
        agent.look_at = now + AUDIT_INTERVAL.mul_f64(next);
        if let Some(seen) = merged(halves) {
            self.observed(asked, seen);
        }
        self.sleep();
    }
}

/// Half of a look: what was asked, and the answer.
pub(super) type Half = (Request, Result<Reply, Failure>);

/// The ENIs of both halves; the one that tells what is attached goes before.
pub(super) fn merged(mut halves: Vec<Half>) -> Option<Vec<Seen>> {
    halves.sort_by_key(|(request, _)| !matches!(request, Request::DescribeAttached));
    let mut all: Vec<Seen> = Vec::new();
    for (_, half) in halves {
        let Ok(Reply::Seen(seen)) = half else {
            return None;
        };
        all.extend(seen);
    }
    all.sort_by(|left, right| left.observed.id.cmp(&right.observed.id));
    all.dedup_by(|left, right| left.observed.id == right.observed.id);
    Some(all)
}

fn attachment_of(seen: Vec<Seen>) -> Option<AttachmentId> {
    seen.into_iter().next()?.attachment
}

const fn unassign(
    eni: EniId,
    addresses: Vec<std::net::Ipv4Addr>,
    prefixes: Vec<ipnet::Ipv4Net>,
) -> Request {
    Request::Unassign {
        eni,
        addresses,
        prefixes,
    }
}

fn journal_full() -> Ec2Outcome {
    Ec2Outcome::Failed(underlay_ipam::Ec2Failure {
        code: "Journal".to_owned(),
        message: "no space left".to_owned(),
        class: underlay_types::Class::Retry,
    })
}
