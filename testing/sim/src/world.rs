//! One schedule: the node, EC2, the runtime and somebody else, in simulated time.

mod checks;
mod kernel;
mod outside;
mod rest;
mod runtime;

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use underlay_ipam::Input;
use underlay_types::{EniId, LeaseKey, Timestamp};
use underlay_vpc_model::Treatment;

pub(crate) use self::runtime::Wish;
use self::{checks::Books, kernel::Kernel, runtime::Pod};
use crate::{
    agent::{Agent, Disk, Starting, Task},
    cloud::{Cloud, Failure, Reply},
    queue::Queue,
    setting::Setting,
    tally::Tally,
};

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client of this run sends a call, or sends it again.
    Send(u64),
    /// It is carried out. Its answer takes the duration.
    Arrive(u64, Treatment, Duration),
    /// The client hears of it.
    Answer(u64, Result<Reply, Failure>),
    /// The agent of this run has something to do at a time of its own.
    Wake(u32),
    /// The agent of this run sees to what follows from a lease.
    Settle(u32),
    /// The kernel tries to use an ENI, for the agent of this run, since when.
    UseEni(u32, EniId, Timestamp),
    /// The kernel stops using an ENI.
    DropEni(u32, EniId),
    /// The kernel wires a pod.
    Wire(u32, usize),
    /// The kernel unwires a pod.
    Unwire(u32, usize),
    /// The agent of this run looks for DELs that came while none was there.
    Bury(u32),
    /// A retired device goes.
    Reap(LeaseKey),
    /// A new agent starts.
    Start,
    /// The agent, if one runs, is killed.
    Kill,
    /// The node stands still.
    Freeze(Duration),
    /// The wall clock is set, by so many seconds.
    SetWallClock(i64),
    /// The runtime wants a pod.
    PodAdd(usize),
    /// The runtime ends a pod.
    PodDel(usize),
    /// The network namespace of a pod dies unseen.
    PodDies(usize),
    /// Somebody else changes EC2.
    Outside,
    /// Somebody else attaches an ENI that they detached.
    AttachOutside(EniId),
}

/// One schedule, as far as it came.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) rng: Rng,
    /// Time since boot, and EC2's.
    pub(crate) now: Timestamp,
    /// The wall clock's lead over the time since boot.
    wall_lead_ms: i64,
    /// Until when nothing on the node moves.
    frozen_until: Timestamp,
    pub(crate) queue: Queue<Event>,
    pub(crate) cloud: Cloud,
    pub(crate) kernel: Kernel,
    pub(crate) disk: Disk,
    /// Runs of the agent so far: who comes from an earlier one is not heard.
    pub(crate) life: u32,
    pub(crate) agent: Option<Agent>,
    pub(crate) starting: Option<Starting>,
    pub(crate) tasks: BTreeMap<u64, Task>,
    pub(crate) last_task: u64,
    pub(crate) pods: Vec<Pod>,
    /// DELs that came while no agent was there.
    pub(crate) tombstones: Vec<usize>,
    pub(crate) draining: bool,
    pub(crate) books: Books,
    pub(crate) tally: Tally,
    trace: Option<Vec<String>>,
    violation: Option<String>,
}

/// What became of a schedule.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) trace: Vec<String>,
    pub(crate) violation: Option<String>,
}

/// More events than any schedule needs: it does not come to rest.
const STEPS_MAX: u64 = 40_000;
const BEGIN: Timestamp = Timestamp::from_secs(1_000);
/// 2026, in milliseconds since 1970.
const WALL_LEAD_MS: i64 = 1_790_000_000_000;

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let setting = Setting::of(seed);
        let cloud = Cloud::new(&setting, BEGIN);
        Self {
            rng: Rng::with_seed(seed ^ 0x776f_726c_6400),
            now: BEGIN,
            wall_lead_ms: WALL_LEAD_MS,
            frozen_until: Timestamp::ZERO,
            queue: Queue::new(),
            cloud,
            kernel: Kernel::default(),
            disk: Disk::default(),
            life: 0,
            agent: None,
            starting: None,
            tasks: BTreeMap::new(),
            last_task: 0,
            pods: Vec::new(),
            tombstones: Vec::new(),
            draining: false,
            books: Books::default(),
            tally: Tally::default(),
            trace: trace.then(Vec::new),
            violation: None,
            setting,
        }
    }

    /// Runs the schedule to its end, or to the first violation.
    pub(crate) fn run(mut self) -> Outcome {
        self.note(|world| format!("{:?}", world.setting));
        self.queue.put(self.now, Event::Start);
        self.plan_pods();
        self.plan_accidents();
        let busy = self.setting.busy;
        self.run_for(busy);
        self.come_to_rest();
        self.drain();
        if self.violation.is_none() {
            self.tally.schedules = 1;
        }
        Outcome {
            tally: self.tally,
            trace: self.trace.unwrap_or_default(),
            violation: self.violation,
        }
    }

    /// Handles what happens within `time`.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.violation.is_none()
            && let Some((at, event)) = self.queue.take_until(end)
        {
            self.now = self.now.max(at);
            if self.is_of_the_node(&event) && self.now < self.frozen_until {
                self.queue.put(self.frozen_until, event);
                continue;
            }
            self.tally.steps += 1;
            self.handle(event);
            self.after_each_step();
            if self.tally.steps > STEPS_MAX {
                self.violate(|_| format!("no rest after {STEPS_MAX} steps"));
            }
        }
        self.now = self.now.max(end);
    }

    const fn is_of_the_node(&self, event: &Event) -> bool {
        !matches!(
            event,
            Event::Arrive(..)
                | Event::AttachOutside(_)
                | Event::Freeze(_)
                | Event::Outside
                | Event::SetWallClock(_)
        )
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Send(task) => self.send(task),
            Event::Arrive(task, treatment, back) => self.arrive(task, &treatment, back),
            Event::Answer(task, result) => self.answered(task, result),
            Event::Wake(life) if self.lives(life) => self.woken(),
            Event::Settle(life) if self.lives(life) => self.feed(Input::Tick),
            Event::UseEni(life, eni, since) if self.lives(life) => self.try_use_eni(eni, since),
            Event::DropEni(life, eni) if self.lives(life) => self.eni_dropped(eni),
            Event::Wire(life, pod) if self.lives(life) => self.wire(pod),
            Event::Unwire(life, pod) if self.lives(life) => self.unwire(pod),
            Event::Bury(life) if self.lives(life) => self.bury(),
            Event::Wake(_)
            | Event::Settle(_)
            | Event::Bury(_)
            | Event::UseEni(..)
            | Event::DropEni(..)
            | Event::Wire(..)
            | Event::Unwire(..) => {}
            Event::Reap(key) => self.reap(&key),
            Event::Start => self.start(),
            Event::Kill => self.crash("killed"),
            Event::Freeze(time) => {
                self.tally.add_fault("node stands still", 1);
                self.note(|_| format!("the node stands still for {time:?}"));
                self.frozen_until = self.now + time;
            }
            Event::SetWallClock(by) => {
                self.tally.add_fault("wall clock set", 1);
                self.note(|_| format!("the wall clock is set by {by} s"));
                self.wall_lead_ms += by * 1_000;
            }
            Event::PodAdd(pod) => self.pod_add(pod),
            Event::PodDel(pod) => self.pod_del(pod),
            Event::PodDies(pod) => self.pod_dies(pod),
            Event::Outside => self.change_outside(),
            Event::AttachOutside(eni) => self.attach_outside(&eni),
        }
    }

    fn lives(&self, life: u32) -> bool {
        self.agent.is_some() && self.life == life
    }

    /// Has something happen after `time`.
    pub(crate) fn after(&mut self, time: Duration, event: Event) {
        self.queue.put(self.now + time, event);
    }

    /// Milliseconds since 1970, by the node's clock.
    pub(crate) fn wall_ms(&self) -> u64 {
        let since_boot = i64::try_from(self.now.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        u64::try_from(since_boot.saturating_add(self.wall_lead_ms)).unwrap_or(0)
    }

    /// Any time between two.
    pub(crate) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    /// Writes a line of the trace, if one is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let at = Duration::from_nanos(self.now.as_nanos() - BEGIN.as_nanos());
            let line = format!("{:>10.3}  {}", at.as_secs_f64(), line(self));
            self.trace.get_or_insert_default().push(line);
        }
    }

    /// What must hold does not: the schedule ends here.
    pub(crate) fn violate(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.violation.is_none() {
            let what = what(self);
            self.note(|_| format!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    /// Notes a violation unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, otherwise: impl FnOnce(&Self) -> String) {
        if !holds {
            self.violate(otherwise);
        }
    }

    pub(crate) const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) const fn is_violated(&self) -> bool {
        self.violation.is_some()
    }
}
