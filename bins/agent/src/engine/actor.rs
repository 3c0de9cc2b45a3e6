//! Who decides: it owns the allocator and the journal, takes one message at a time, and tells others
//! what to do.

mod availability;
mod branches;
mod effects;
mod egress;
mod moved;
mod pods;
mod report;
mod shared;
mod turns;
mod vanished;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use tokio::runtime::Handle;
use tracing::{error, info, warn};
use underlay_cloud::ec2::NetworkInterface;
use underlay_ipam::{
    Action, Ec2Failure, Ec2Op, Ec2Outcome, Input, Ipam, OpId, RequestId, Standing,
};
use underlay_journal::Change;
use underlay_types::{EniId, LeaseKey, Timestamp};

use self::turns::Turns;
pub(super) use self::{
    availability::Troubles,
    branches::no_trunk,
    effects::{wait_and_use, wait_for_device},
    egress::last_egress,
    pods::wiring,
    shared::SharedActor,
    vanished::Vanished,
};
use super::{
    calls::{Answer, Caller},
    clock::{boot_time, wall_ms},
    journal::Journal,
    memory::Memory,
    message::{Granted, Message, Reply, Reserve},
    observation::{self, EniFacts},
    policy,
};
use crate::{config::EniConfig, kernel::Kernel, service::ServiceError};

/// How often EC2 is asked what it knows, give or take a fifth.
const AUDIT_INTERVAL: Duration = Duration::from_secs(300);
/// How soon EC2 is asked after a call that ended oddly.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often the kernel is asked about devices that must go.
const DEVICE_POLL: Duration = Duration::from_millis(250);
/// Notices that the status shows.
const NOTICES_MAX: usize = 20;

/// Bytes of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mtus {
    /// Of ENIs: the primary one's, which the node's owner set.
    pub(super) eni: u32,
    /// Of pods.
    pub(super) pod: u32,
}

impl Mtus {
    /// A pod's packets are the ENI's, or as small as `wished`; larger ones would not get through.
    pub(super) fn new(eni: u32, wished: Option<u32>) -> Self {
        let pod = wished.map_or(eni, |wished| wished.min(eni));
        Self { eni, pod }
    }
}

/// The actor.
pub(super) struct Actor {
    pub(super) ipam: Ipam,
    pub(super) journal: Journal,
    pub(super) enis: BTreeMap<EniId, EniFacts>,
    /// ENIs for pods to own that this run has attached, until their device is there.
    pub(super) attached_again: BTreeSet<EniId>,
    pub(super) eni_config: EniConfig,
    pub(super) mtus: Mtus,
    pub(super) caller: Caller,
    pub(super) kernel: Arc<Kernel>,
    pub(super) policies: tokio::sync::mpsc::Sender<policy::Request>,
    pub(super) runtime: Handle,
    pub(super) inbox: Sender<Message>,
    /// What makes client tokens of this run differ from those of every other.
    pub(super) run_id: String,
    pub(super) cooldown: Duration,
    /// The wait of an ADD: how far ahead STATUS looks.
    pub(super) add_wait: Duration,
    pub(super) requests: Requests,
    /// Whether pods without an IPv4 address of the VPC have one inside the node.
    pub(super) gives_egress: bool,
    /// The one of those that was given last.
    pub(super) last_egress: Option<Ipv4Addr>,
    /// Keys whose device may still exist after their lease.
    pub(super) retired: BTreeSet<LeaseKey>,
    pub(super) vanished: Vanished,
    /// Leases of failed ADDs whose end could not be recorded, as on a full disk.
    pub(super) unended: BTreeSet<LeaseKey>,
    pub(super) troubles: Troubles,
    pub(super) notices: VecDeque<Noted>,
    /// The allocator's notices since the start, by kind.
    pub(super) notice_counts: BTreeMap<&'static str, u64>,
    pub(super) looks: Looks,
    /// What a successor will know of EC2.
    pub(super) memory: Memory,
    pub(super) device_poll_at: Timestamp,
    /// The allocator has not seen yet to what follows from a lease.
    pub(super) unsettled: bool,
}

/// Looks at what EC2 knows of this instance.
pub(super) struct Looks {
    under_way: bool,
    /// Who wants to know that one is over.
    waiting: Vec<Reply<()>>,
    next_at: Timestamp,
    count: u32,
}

impl Looks {
    pub(super) fn first_in(pause: Duration) -> Self {
        Self {
            under_way: false,
            waiting: Vec::new(),
            next_at: boot_time() + pause,
            count: 0,
        }
    }
}

/// ADDs: those that wait for their address, and which have come.
#[derive(Default)]
pub(super) struct Requests {
    pending: BTreeMap<RequestId, Pending>,
    last: u64,
    turns: Turns,
}

struct Pending {
    wish: Reserve,
    reply: Reply<Result<Granted, ServiceError>>,
}

/// Something people should know.
pub(super) struct Noted {
    wall_ms: u64,
    text: String,
}

impl Actor {
    fn wake_at(&self) -> Timestamp {
        let polls = !self.retired.is_empty() || !self.unended.is_empty();
        let device_poll = polls.then_some(self.device_poll_at);
        let observe = (!self.looks.under_way).then_some(self.looks.next_at);
        let times = self
            .ipam
            .next_deadline()
            .into_iter()
            .chain(device_poll)
            .chain(observe);
        // An hour when there is nothing to wait for.
        times
            .min()
            .unwrap_or_else(|| boot_time() + Duration::from_secs(3600))
    }

    fn do_what_is_due(&mut self) {
        let now = boot_time();
        if self
            .ipam
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.feed(Input::Tick);
        }
        let polls = !self.retired.is_empty() || !self.unended.is_empty();
        if polls && self.device_poll_at <= now {
            self.end_unended();
            self.poll_devices();
            self.device_poll_at = boot_time() + DEVICE_POLL;
        }
        if !self.looks.under_way && self.looks.next_at <= now {
            self.observe();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Reserve(wish, reply) => match wish.branch.clone() {
                Some(branch) => {
                    let granted = self.reserve_branch(*wish, branch);
                    answer(&reply, granted);
                }
                None => self.reserve(*wish, reply),
            },
            Message::ObserveNow(reply) => {
                self.looks.waiting.push(reply);
                if !self.looks.under_way {
                    self.observe();
                }
            }
            Message::Trunk(reply) => answer(&reply, self.trunk()),
            Message::Wired(wired, reply) => {
                let recorded = self.wired(wired);
                answer(&reply, recorded);
            }
            Message::WireFailed(key) => self.wire_failed(&key),
            Message::BeginDel(key, turn, reply) => {
                let held = self.begin_del(&key, turn);
                answer(&reply, held);
            }
            Message::Unwired(key, reply) => {
                let recorded = self.unwired(&key);
                answer(&reply, recorded);
            }
            Message::Held(key, reply) => answer(&reply, self.held(&key)),
            Message::Keys(reply) => answer(&reply, self.keys()),
            Message::Listed(network, reply) => answer(&reply, self.listed(&network)),
            Message::Called { op, token, result } => self.called(op, token, result),
            Message::Observed { asked, result } => self.observed(asked, result),
            Message::Used(eni, Ok(())) => {
                self.attached_again.remove(&eni);
                self.feed(Input::EniReady(eni));
            }
            Message::Used(eni, Err(reason)) => self.feed(Input::EniUnready { eni, reason }),
            Message::Dropped(eni) => self.dropped(eni),
            Message::Devices {
                since,
                since_wall_ms,
                devices,
            } => self.end_vanished((since, since_wall_ms), &devices),
            Message::Returned(key) => self.eni_returned(&key),
            Message::Note(text) => self.note(text),
            Message::Unrepaired(drifts) => self.note_unrepaired(drifts),
            Message::Status(reply) => answer(&reply, self.report()),
            Message::Availability(reply) => answer(&reply, self.availability()),
            Message::Measure(reply) => answer(&reply, self.measures()),
            Message::Drain(on) => self.feed(if on { Input::Drain } else { Input::Resume }),
            Message::NotDrained(reply) => answer(&reply, self.not_drained()),
            Message::Settle => {
                if self.unsettled {
                    self.feed(Input::Tick);
                }
            }
            Message::LookNow | Message::Stop => {}
        }
    }

    /// Feeds the allocator and carries out what it wants; what fails at once is fed back.
    pub(super) fn feed(&mut self, input: Input) {
        self.unsettled = false;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut actions = Vec::new();
            self.ipam.handle(boot_time(), input, &mut actions);
            for action in actions {
                match action {
                    Action::Reply(request, answer) => {
                        inputs.extend(self.reply(request, answer));
                    }
                    Action::Ec2(op, call) => inputs.extend(self.call(op, call)),
                    Action::UseEni(eni) => self.use_eni(eni),
                    Action::DropEni(eni) => self.drop_eni(eni),
                    Action::Observe => {
                        self.looks.next_at = self.looks.next_at.min(boot_time() + LOOK_AGAIN);
                    }
                    Action::Report(notice) => {
                        warn!("{notice}");
                        *self.notice_counts.entry(notice.kind()).or_default() += 1;
                        self.note(notice.to_string());
                    }
                }
            }
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(Noted {
            wall_ms: wall_ms(),
            text,
        });
    }

    fn called(&mut self, op: OpId, token: Option<String>, result: Result<Answer, Ec2Failure>) {
        self.memory.note_subnets(self.caller.subnets.described());
        self.memory
            .ended(op, self.ipam.call(op), result.as_ref().ok());
        let outcome = match result {
            Ok(Answer::Assigned(given)) => Ec2Outcome::Assigned(given),
            Ok(Answer::Attached(attachment)) => {
                if let Some(Ec2Op::AttachEni { eni, .. }) = self.ipam.call(op)
                    && let Some(facts) = self.enis.get_mut(eni)
                {
                    facts.attachment = Some(attachment);
                    if facts.pool.is_whole() {
                        self.attached_again.insert(eni.clone());
                    }
                }
                Ec2Outcome::Done
            }
            Ok(Answer::Created(created)) => self.created(&created),
            Ok(Answer::Done) => {
                self.forget_place(op);
                Ec2Outcome::Done
            }
            Err(failure) => Ec2Outcome::Failed(failure),
        };
        let ended = token.map(|token| self.journal.record(Change::Created(token)));
        if let Some(Err(error)) = ended {
            // The intent stays: one more look at EC2 after the next start.
            warn!(%error, "cannot record the end of a creation");
        }
        self.feed(Input::Ec2 { op, outcome });
    }

    fn forget_place(&mut self, op: OpId) {
        match self.ipam.call(op) {
            Some(Ec2Op::DetachEni { eni }) => {
                if let Some(facts) = self.enis.get_mut(eni) {
                    facts.place = None;
                    facts.attachment = None;
                }
            }
            Some(Ec2Op::DeleteEni { eni }) => {
                info!(%eni, "ENI deleted");
                self.enis.remove(eni);
            }
            _ => {}
        }
    }

    fn created(&mut self, created: &NetworkInterface) -> Ec2Outcome {
        let identity = &self.caller.node.identity;
        let read = observation::read(created, &identity.instance_id, identity.primary_mac);
        match read {
            Some((observed, facts)) => {
                info!(eni = %observed.id, pool = %facts.pool, "ENI created");
                self.enis.insert(observed.id.clone(), facts);
                Ec2Outcome::Created {
                    eni: observed.id,
                    holding: observed.holding,
                }
            }
            None => Ec2Outcome::Failed(Ec2Failure {
                code: "Unexpected".to_owned(),
                message: format!("{} was created without groups, or elsewhere", created.id),
                class: underlay_types::Class::Bug,
            }),
        }
    }

    fn observed(&mut self, asked: Timestamp, result: Result<Vec<NetworkInterface>, Ec2Failure>) {
        self.looks.under_way = false;
        self.looks.count = self.looks.count.wrapping_add(1);
        self.looks.next_at = boot_time() + self.audit_pause();
        match result {
            Ok(interfaces) => {
                self.memory.note_subnets(self.caller.subnets.described());
                self.memory.observed(&interfaces);
                let seen = self.read_interfaces(&interfaces);
                let shown: BTreeSet<EniId> = seen.iter().map(|eni| eni.id.clone()).collect();
                self.feed(Input::Observed { asked, enis: seen });
                let ipam = &self.ipam;
                self.enis
                    .retain(|id, _| shown.contains(id) || ipam.knows(id));
                self.journal
                    .forget_cooled(wall_ms(), boot_time(), self.cooldown);
            }
            Err(failure) => {
                error!(code = failure.code, "cannot ask EC2 what this instance has");
                self.note(format!("DescribeNetworkInterfaces: {}", failure.message));
            }
        }
        for waiting in std::mem::take(&mut self.looks.waiting) {
            answer(&waiting, ());
        }
    }

    /// Reads what EC2 shows, and remembers what the kernel will have to know.
    pub(super) fn read_interfaces(
        &mut self,
        interfaces: &[NetworkInterface],
    ) -> Vec<underlay_ipam::ObservedEni> {
        let identity = self.caller.node.identity.clone();
        let read = |eni| observation::read(eni, &identity.instance_id, identity.primary_mac);
        let mut seen = Vec::new();
        for eni in interfaces {
            let Some((mut observed, mut facts)) = read(eni) else {
                continue;
            };
            let subnets = &self.caller.subnets;
            observed.standing =
                observation::standing(eni, &observed.owner, &self.eni_config, |subnet| {
                    subnets.admits(subnet)
                });
            facts.foreign |= observed.standing == Standing::Unmanaged;
            // An answer may be older than an attach. Only a detach of ours ends a place.
            if let Some(known) = self.enis.get(&observed.id) {
                facts.place = facts.place.or(known.place);
                facts.attachment = facts.attachment.or_else(|| known.attachment.clone());
            }
            self.enis.insert(observed.id.clone(), facts);
            seen.push(observed);
        }
        seen
    }

    fn audit_pause(&self) -> Duration {
        audit_pause(&self.run_id, self.looks.count)
    }
}

/// Spread by instance and time, so that nodes started together do not ask together.
pub(super) fn audit_pause(run_id: &str, count: u32) -> Duration {
    let seed = run_id.bytes().chain(count.to_be_bytes());
    let hash = seed.fold(7u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
    AUDIT_INTERVAL.mul_f64(0.8 + 0.4 * f64::from(hash % 1000) / 1000.0)
}

/// Answers, unless the asker has given up.
fn answer<T>(reply: &Reply<T>, value: T) {
    if reply.try_send(value).is_err() {
        warn!("nobody waits for an answer any more");
    }
}
