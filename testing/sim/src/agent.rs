//! The agent: the allocator and the journal, joined as `bins/agent/src/engine/actor` joins them.
//!
//! What dies with the process is in [`Agent`], what outlives it in [`Disk`] and the kernel. Before
//! each effect the process may be killed.

mod calls;
mod memory;
mod pods;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use underlay_ipam::{
    Action, Ec2Op, EniOwner, Input, Ipam, ObservedEni, OpId, Place, RequestId, Subnets,
};
use underlay_journal::{Change, LeaseRecord, State, encode, encode_header};
use underlay_types::{AttachmentId, EniId, LeaseKey, Timestamp};

use self::{calls::Half, memory::Memory};
pub(crate) use self::{calls::Task, start::Starting};
use crate::{
    cloud::Seen,
    world::{Event, World},
};

/// How often EC2 is asked what it knows, give or take a fifth.
const AUDIT_INTERVAL: Duration = Duration::from_secs(300);
/// The shortest between two looks that nothing asks for.
pub(crate) const AUDIT_MIN: Duration = Duration::from_secs(240);
/// The longest between two looks.
pub(crate) const AUDIT_MAX: Duration = AUDIT_INTERVAL.saturating_mul(2);
/// How soon EC2 is asked after a call that ended oddly.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often the kernel is asked about devices that must go.
const DEVICE_POLL: Duration = Duration::from_millis(250);

/// The journal's file.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    /// Beside it: what EC2 last said, while that is sure.
    pub(crate) noted: Option<Vec<Seen>>,
}

/// What the agent knows of an ENI besides its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    place: Option<Place>,
    attachment: Option<AttachmentId>,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) ipam: Ipam,
    /// What the journal says.
    pub(crate) state: State,
    enis: BTreeMap<EniId, Facts>,
    memory: Memory,
    subnets: Subnets,
    /// ADDs that wait for their address.
    pub(crate) requests: BTreeMap<RequestId, usize>,
    last_request: u64,
    /// Keys whose device may still exist after their lease.
    retired: BTreeSet<LeaseKey>,
    /// Keys whose device was missing at the last audit.
    vanished: BTreeSet<LeaseKey>,
    /// The allocator or the journal may have changed since they were compared.
    pub(crate) touched: bool,
    look_under_way: bool,
    /// Of a look: what has been answered.
    halves: Vec<Half>,
    look_at: Timestamp,
    poll_at: Option<Timestamp>,
    /// When it wakes by itself.
    wake_at: Option<Timestamp>,
    /// Effects until it is killed.
    effects_left: Option<u32>,
}

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recorded {
    Yes,
    /// The disk is full.
    Refused,
    /// The process was killed meanwhile.
    Dead,
}

impl Agent {
    /// It is not killed any more.
    pub(crate) const fn spare(&mut self) {
        self.effects_left = None;
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            bytes: encode_header(),
            noted: None,
        }
    }
}

impl World {
    /// The agent, which lives.
    pub(crate) const fn living(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("asked only while it lives")
    }

    /// Whether the process lives on to the next effect.
    pub(crate) fn survives(&mut self) -> bool {
        match self.agent.as_mut().map(|agent| &mut agent.effects_left) {
            None => false,
            Some(None) => true,
            Some(Some(0)) => {
                self.crash("killed at an effect");
                false
            }
            Some(Some(left)) => {
                *left -= 1;
                true
            }
        }
    }

    /// The process is gone. Its calls go on, and so does the kernel; the supervisor starts another.
    pub(crate) fn crash(&mut self, how: &'static str) {
        if self.agent.take().is_none() && self.starting.take().is_none() {
            return;
        }
        self.starting = None;
        self.tally.add("crashes");
        self.note(|_| format!("agent {how}"));
        self.books.agent_died();
        self.agent_is_gone();
        let pause = if self.chance(0.2) {
            self.millis(5_000..90_000)
        } else {
            self.millis(100..3_000)
        };
        self.after(pause, Event::Start);
    }

    /// Feeds the allocator and carries out what it wants; what fails at once is fed back.
    pub(crate) fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now;
            let Some(agent) = &mut self.agent else { return };
            let mut actions = Vec::new();
            agent.touched = true;
            agent.ipam.handle(now, input, &mut actions);
            for action in actions {
                if self.is_violated() || self.agent.is_none() {
                    return;
                }
                match action {
                    Action::Reply(request, answer) => inputs.extend(self.reply(request, answer)),
                    Action::Ec2(op, call) => self.call(op, call),
                    Action::UseEni(eni) => {
                        if self.record_place(&eni) == Recorded::Refused {
                            let reason = "the journal cannot be written".to_owned();
                            inputs.push_back(Input::EniUnready { eni, reason });
                            continue;
                        }
                        let life = self.life;
                        let pause = self.millis(1..30);
                        self.after(pause, Event::UseEni(life, eni, now));
                    }
                    Action::DropEni(eni) => {
                        self.check_drop(&eni);
                        let life = self.life;
                        let pause = self.millis(1..30);
                        self.after(pause, Event::DropEni(life, eni));
                    }
                    Action::Observe => {
                        let agent = self.living();
                        agent.look_at = agent.look_at.min(now + LOOK_AGAIN);
                    }
                    Action::Report(notice) => {
                        self.tally.add(notice.kind());
                        self.note(|_| format!("notice: {notice}"));
                    }
                }
            }
        }
        self.sleep();
    }

    /// Has the agent wake when it is due.
    fn sleep(&mut self) {
        let (now, life) = (self.now, self.life);
        let Some(agent) = &mut self.agent else { return };
        let look = (!agent.look_under_way).then_some(agent.look_at);
        let due = agent.ipam.next_deadline().into_iter();
        let Some(due) = due.chain(look).chain(agent.poll_at).min() else {
            return;
        };
        let due = due.max(now);
        if agent.wake_at.is_none_or(|at| due < at) {
            agent.wake_at = Some(due);
            self.queue.put(due, Event::Wake(life));
        }
    }

    pub(crate) fn woken(&mut self) {
        let now = self.now;
        let agent = self.living();
        if agent.wake_at.is_some_and(|at| at <= now) {
            agent.wake_at = None;
        }
        if agent.ipam.next_deadline().is_some_and(|at| at <= now) {
            self.feed(Input::Tick);
        }
        if self
            .agent
            .as_ref()
            .is_some_and(|agent| agent.poll_at.is_some_and(|at| at <= now))
        {
            self.poll_devices();
        }
        let due = |agent: &Agent| !agent.look_under_way && agent.look_at <= now;
        if self.agent.as_ref().is_some_and(due) {
            self.look();
        }
        self.sleep();
    }

    /// Records a change. The process may die with a part of it written.
    fn record(&mut self, change: Change) -> Recorded {
        let bytes = encode(&change);
        if !self.survives() {
            let part = self.rng.usize(..=bytes.len());
            self.disk.bytes.extend(&bytes[..part]);
            return Recorded::Dead;
        }
        let rate = self.setting.fault_rate / 10.0;
        if self.books.faulty && self.chance(rate) {
            self.tally.add_fault("journal refused", 1);
            return Recorded::Refused;
        }
        if let Change::Lease(record) = &change {
            self.check_record(record);
        }
        self.disk.bytes.extend(bytes);
        let agent = self.living();
        agent.touched = true;
        agent.state.apply(change);
        Recorded::Yes
    }

    /// Tells the allocator which old devices are gone.
    fn poll_devices(&mut self) {
        let kernel = &self.kernel;
        let Some(agent) = &mut self.agent else { return };
        agent.poll_at = None;
        let gone = |key: &&LeaseKey| !kernel.is_retiring(key);
        let gone: Vec<LeaseKey> = agent.retired.iter().filter(gone).cloned().collect();
        for key in gone {
            if let Some(agent) = &mut self.agent {
                agent.retired.remove(&key);
            }
            self.feed(Input::DeviceGone(key));
        }
    }

    /// The kernel has deleted a device: the agent sees it at its next poll.
    pub(crate) fn device_is_gone(&mut self) {
        let at = self.now + DEVICE_POLL;
        if let Some(agent) = &mut self.agent {
            agent.poll_at.get_or_insert(at);
            self.sleep();
        }
    }

    /// Reads what EC2 shows, and remembers what the kernel will have to know.
    fn read(&mut self, seen: Vec<Seen>) -> Vec<ObservedEni> {
        let agent = self.living();
        let mut observed = Vec::new();
        for Seen {
            observed: eni,
            attachment,
            ..
        } in seen
        {
            let known = agent.enis.get(&eni.id).cloned();
            // An answer may be older than an attach. Only a detach of ours ends a place.
            let facts = Facts {
                place: place_of(&eni).or_else(|| known.as_ref()?.place),
                attachment: attachment.or_else(|| known.as_ref()?.attachment.clone()),
            };
            if !matches!(eni.owner, EniOwner::Foreign) {
                agent.enis.insert(eni.id.clone(), facts);
            }
            observed.push(eni);
        }
        observed
    }

    fn observed(&mut self, asked: Timestamp, seen: Vec<Seen>) {
        self.tally.add("looks");
        self.memory_observed(&seen);
        let seen = self.read(seen);
        let shown: BTreeSet<EniId> = seen.iter().map(|eni| eni.id.clone()).collect();
        self.note(|_| format!("observed, asked at {}: {}", asked.as_nanos(), brief(&seen)));
        let counted_on = self.counted_on(&seen);
        self.feed(Input::Observed { asked, enis: seen });
        self.check_counted_on(counted_on);
        self.check_leaks();
        let (wall_ms, now, cooldown) = (self.wall_ms(), self.now, self.setting.config.cooldown);
        if let Some(agent) = &mut self.agent {
            let ipam = &agent.ipam;
            agent
                .enis
                .retain(|id, _| shown.contains(id) || ipam.knows(id));
            agent.state.forget_cooled(wall_ms, now, cooldown);
            self.end_vanished();
        }
    }

    /// Records where an ENI is now for each of its leases.
    fn record_place(&mut self, eni: &EniId) -> Recorded {
        let Some(agent) = &self.agent else {
            return Recorded::Dead;
        };
        let Some(place) = agent.enis.get(eni).and_then(|facts| facts.place) else {
            return Recorded::Yes;
        };
        let leases = agent.state.leases.values();
        let moved = leases.filter(|lease| lease.eni == *eni && lease.place != place);
        for lease in moved.cloned().collect::<Vec<_>>() {
            self.tally.add("leases moved");
            let recorded = self.record(Change::Lease(LeaseRecord { place, ..lease }));
            if recorded != Recorded::Yes {
                return recorded;
            }
        }
        Recorded::Yes
    }

    fn forget_place(&mut self, op: OpId) {
        let agent = self.living();
        match agent.ipam.call(op).cloned() {
            Some(Ec2Op::DetachEni { eni }) => {
                if let Some(facts) = agent.enis.get_mut(&eni) {
                    facts.place = None;
                    facts.attachment = None;
                }
            }
            Some(Ec2Op::DeleteEni { eni }) => {
                agent.enis.remove(&eni);
            }
            _ => {}
        }
    }
}

const fn place_of(eni: &ObservedEni) -> Option<Place> {
    match eni.attachment {
        underlay_ipam::Attachment::Attached { place }
        | underlay_ipam::Attachment::Detaching { place } => Some(place),
        underlay_ipam::Attachment::None => None,
    }
}

/// For the trace.
fn brief(enis: &[ObservedEni]) -> String {
    let one = |eni: &ObservedEni| format!("{} {:?} {:?}", eni.id, eni.attachment, eni.holding);
    enis.iter().map(one).collect::<Vec<_>>().join("; ")
}
