//! What must hold after each step, checked against books of our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;
use underlay_ipam::{
    AllocError, Attachment, Ec2Op, EniReport, Lease, ObservedEni, Reason, RequestId,
};
use underlay_journal::LeaseRecord;
use underlay_types::{EniId, Family, Timestamp};

use super::World;

/// How long a look may show what was before.
const SHOWN_LATE: Duration = Duration::from_secs(120);
/// Looks after that which may pass an ENI over, as they came while one was created.
const UNKNOWN_LOOKS: u32 = 10;

/// Our own books.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Whether faults still strike.
    pub(crate) faulty: bool,
    /// Open requests, and until when each must be answered.
    open: BTreeMap<RequestId, Timestamp>,
    /// When each address was last on a pod, of those that are not now.
    pub(crate) rested: BTreeMap<IpAddr, Timestamp>,
    /// ENIs that somebody else changed, and when.
    pub(crate) disturbed: BTreeMap<EniId, Timestamp>,
    /// ENIs of others in the subnet.
    pub(crate) others: Vec<EniId>,
    /// Codes that EC2 has refused this run of the agent with.
    pub(crate) refused_with: BTreeSet<String>,
    /// How many looks in a row did not show an ENI as attached.
    unshown: BTreeMap<EniId, u32>,
    /// ENIs of ours that the agent does not know, since when, and how many looks have not changed
    /// that which must have shown them.
    unknown: BTreeMap<EniId, (Timestamp, u32)>,
    /// Calls of the allocator's.
    calls: u64,
    /// ENIs that it asked for.
    asked_for: u64,
    /// Requests to EC2 other than looks.
    pub(crate) changes_sent: u64,
    /// Requests of looks.
    pub(crate) looks_sent: u64,
}

impl Books {
    pub(crate) fn asked(&mut self, request: RequestId, deadline: Timestamp) {
        self.open.insert(request, deadline);
    }

    pub(crate) fn agent_died(&mut self) {
        self.open.clear();
        self.refused_with.clear();
        self.unshown.clear();
        self.unknown.clear();
    }
}

impl World {
    pub(super) fn after_each_step(&mut self) {
        let now = self.now;
        let late = self
            .books
            .open
            .iter()
            .find(|(_, deadline)| **deadline < now);
        if let Some((request, deadline)) = late.map(|(request, at)| (*request, *at))
            && deadline.max(self.frozen_until) < now
        {
            self.violate(|_| format!("{request:?} is not answered by its deadline"));
        }
        let Some(agent) = &self.agent else { return };
        let due = agent.ipam.next_deadline();
        if due.is_some_and(|due| due < now && self.frozen_until < now) {
            self.violate(|_| format!("the allocator's deadline {due:?} is over at {now:?}"));
        }
        let Some(agent) = &mut self.agent else { return };
        // Neither side changes otherwise.
        if !std::mem::take(&mut agent.touched) {
            return;
        }
        let differs = agent.state.leases.values().find(|record| {
            let lease = agent.ipam.leased_to(&record.key);
            lease.is_none_or(|(eni, addresses)| {
                Some(addresses) != record.addresses() || *eni != record.eni
            })
        });
        if let Some(record) = differs.cloned() {
            self.violate(|world| {
                let lease = world
                    .agent
                    .as_ref()
                    .and_then(|each| each.ipam.lease(&record.key));
                format!("{record:?} is recorded, the allocator has {lease:?}")
            });
        }
    }

    /// With nobody else at work, calls are few: for each ENI, and for each pod that comes and goes.
    fn check_budget(&mut self, call: &Ec2Op) {
        let books = &mut self.books;
        books.calls += 1;
        books.asked_for += u64::from(matches!(call, Ec2Op::CreateEni { .. }));
        let (calls, enis) = (books.calls, books.asked_for);
        let pods = self.tally.of("ADDs") + self.tally.of("DELs");
        let budget = 4 + 5 * enis + pods;
        let within = calls <= budget || !self.setting.calm || self.draining;
        self.require(within, |_| {
            format!("{calls} calls for {enis} ENIs and {pods} ADDs and DELs")
        });
    }

    /// No lease has an address that another one has.
    pub(crate) fn check_record(&mut self, record: &LeaseRecord) {
        let Some(agent) = &self.agent else { return };
        let mut others = agent.state.leases.values();
        let other = others.find(|other| {
            let same_v4 = other.ipv4.is_some() && other.ipv4 == record.ipv4;
            let same_v6 = other.ipv6.is_some() && other.ipv6 == record.ipv6;
            other.key != record.key && (same_v4 || same_v6)
        });
        if let Some(other) = other.cloned() {
            self.violate(|_| format!("{record:?} beside {other:?}"));
        }
    }

    /// What exists in EC2 and is ours does not stay unknown.
    pub(crate) fn check_leaks(&mut self) {
        let Some(agent) = &self.agent else { return };
        let now = self.now;
        let mut before = std::mem::take(&mut self.books.unknown);
        let unknown = self.cloud.ours().filter(|eni| !agent.ipam.knows(&eni.id));
        let unknown = unknown.map(|eni| {
            let (since, looks) = before.remove(&eni.id).unwrap_or((now, 0));
            let late = since + SHOWN_LATE < now;
            (eni.id.clone(), (since, looks + u32::from(late)))
        });
        self.books.unknown = unknown.collect();
        let leaked = self.books.unknown.iter();
        let mut leaked = leaked.filter(|(_, (_, looks))| *looks > UNKNOWN_LOOKS);
        if let Some((eni, (since, _))) = leaked.next().map(|(eni, seen)| (eni.clone(), *seen)) {
            let time = now.saturating_since(since);
            self.violate(|_| format!("{eni} is leaked: nobody has known it for {time:?}"));
        }
    }

    /// A lease is of the pool that was asked for, there in EC2, and nobody's else.
    pub(crate) fn check_lease(&mut self, pod: usize, request: RequestId, lease: &Lease) {
        self.books.open.remove(&request);
        let wish = self.wish(pod);
        let asked = (&lease.key, &lease.pool) == (&wish.key, &wish.pool);
        self.require(asked, |_| format!("{lease:?} for {wish:?}"));
        let families = self.setting.config.families;
        for family in [Family::V4, Family::V6] {
            let has = lease
                .addresses
                .iter()
                .any(|each| Family::of(each) == family);
            self.require(has == families.has(family), |_| {
                format!("{lease:?} of {families:?}")
            });
        }
        if lease.pool.is_whole() {
            let others = self.kernel.wired().filter(|(key, _)| **key != lease.key);
            let shared = others.filter(|(_, device)| device.eni == lease.eni).count() > 0;
            self.require(!shared, |_| format!("{lease:?} of an ENI that has a pod"));
        }
        for address in lease.addresses.iter() {
            self.check_given(lease, address);
        }
    }

    /// An address of a lease has rested, is the ENI's and nobody else's.
    fn check_given(&mut self, lease: &Lease, address: IpAddr) {
        let held = self.kernel.holds(address);
        self.require(!held || self.kernel.has_device(&lease.key), |_| {
            format!("{lease:?} while a device with the address exists")
        });
        let rested = self.books.rested.get(&address);
        let rested = rested.map(|at| self.now.saturating_since(*at));
        let cooldown = self.setting.config.cooldown;
        if let Some(rested) = rested.filter(|_| !held) {
            self.require(rested >= cooldown, |_| {
                format!("{lease:?} after {rested:?} of {cooldown:?}")
            });
        }
        self.books.rested.remove(&address);
        if !self.books.disturbed.contains_key(&lease.eni) {
            let eni = self.cloud.model.eni(&lease.eni);
            let there = eni.is_some_and(|eni| {
                let primary = address == IpAddr::V4(eni.addresses.primary);
                let wanted = if lease.pool.is_whole() && address.is_ipv4() {
                    primary
                } else {
                    !primary
                };
                wanted && eni.addresses.contains(address)
            });
            self.require(there, |world| {
                let eni = world.cloud.model.eni(&lease.eni).map(|eni| &eni.addresses);
                format!("{lease:?}, but EC2 has {eni:?}")
            });
            let attached = self.cloud.has_device(&lease.eni);
            self.require(attached, |_| {
                format!("{lease:?} of an ENI that is not attached")
            });
        }
    }

    /// A refusal says what is so.
    pub(crate) fn check_refusal(&mut self, pod: usize, request: RequestId, error: &AllocError) {
        let deadline = self.books.open.remove(&request);
        let wish = self.wish(pod);
        self.require(error.pool == wish.pool, |_| format!("{error} for {wish:?}"));
        self.require(error.numbers.free == 0, |_| format!("refused: {error}"));
        let held = self.held();
        let true_reason = match &error.reason {
            Reason::OtherPool(_) | Reason::AlreadyWaiting => false,
            Reason::Deadline { .. } => deadline.is_some_and(|deadline| deadline <= self.now),
            Reason::Draining => self.draining,
            // What is asked for counts as held.
            Reason::Maximum {
                held: told,
                maximum,
            } => {
                let unit = underlay_ipam::ADDRESSES_PER_PREFIX;
                Some(*maximum) == self.setting.config.maximum
                    && *told >= held
                    && told + usize::from(unit) > usize::from(*maximum)
            }
            Reason::Refused(failure) => {
                failure.code == "Journal"
                    || failure.code == "EniUnready"
                    || self.books.refused_with.contains(&failure.code)
            }
            Reason::NoSlot { attached, max } => {
                let limits = &self.setting.config.limits;
                *max == limits.max_enis()
                    && attached >= max
                    && (!self.setting.calm || self.slots_taken() >= *max)
            }
        };
        self.require(true_reason, |_| format!("not true: {error} (held {held})"));
        let limits = &self.setting.config.limits;
        let one_pool = self.setting.sets == 0 && !self.setting.whole;
        let has_room = error.numbers.enis < limits.max_enis() && one_pool;
        if self.setting.calm && !self.draining && self.setting.config.maximum.is_none() {
            self.require(!has_room, |_| format!("on a calm day: {error}"));
        }
    }

    /// ENIs attached, or on their way.
    fn slots_taken(&self) -> usize {
        let coming = self.tasks.values().filter(|task| task.brings_an_eni());
        self.cloud.model.enis_of(&self.cloud.instance).len() + coming.count()
    }

    fn held(&self) -> usize {
        let report = self.agent.as_ref().map(|agent| agent.ipam.report());
        let enis = report.into_iter().flat_map(|report| report.enis);
        let shared = enis.filter(|eni| !eni.pool.starts_with("whole/"));
        shared.map(|eni| eni.total).sum()
    }

    /// No call takes anything from a pod, or asks for more than the node may hold.
    pub(crate) fn check_call(&mut self, call: &Ec2Op) {
        self.check_budget(call);
        let taken: Vec<String> = match call {
            Ec2Op::DeleteEni { eni } | Ec2Op::DetachEni { eni } => self.pods_with(eni, |_| true),
            Ec2Op::UnassignAddresses { eni, addresses } => self.pods_with(eni, |used| {
                addresses.iter().any(|address| IpAddr::V4(*address) == used)
            }),
            Ec2Op::UnassignPrefixes { eni, prefixes } => self.pods_with(eni, |used| {
                prefixes
                    .iter()
                    .any(|prefix| IpNet::V4(*prefix).contains(&used))
            }),
            Ec2Op::UnassignIpv6Prefixes { eni, prefixes } => self.pods_with(eni, |used| {
                prefixes
                    .iter()
                    .any(|prefix| IpNet::V6(*prefix).contains(&used))
            }),
            Ec2Op::Assign { grant, .. } | Ec2Op::CreateEni { grant, .. } => {
                let asked = usize::from(grant.addresses());
                if let Some(maximum) = self.setting.config.maximum {
                    let (held, coming) = (self.held(), self.addresses_coming());
                    let fits = asked == 0 || held + coming + asked <= maximum.into();
                    self.require(fits, |_| {
                        format!("{call} with {held} and {coming} coming of {maximum}")
                    });
                }
                return;
            }
            Ec2Op::AttachEni { .. } => return self.check_attach(call),
            Ec2Op::SetDeleteOnTermination { .. } => return,
        };
        self.require(taken.is_empty(), |_| format!("{call} under {taken:?}"));
    }

    /// With nobody else at work, an ENI is attached only where there is a slot for it.
    fn check_attach(&mut self, call: &Ec2Op) {
        let taken = self.cloud.model.enis_of(&self.cloud.instance).len();
        // One that is attached already may not have been answered yet.
        let attaching = self.tasks.values().filter_map(|task| task.attaches());
        let attaching = attaching.filter(|eni| {
            let eni = self.cloud.model.eni(eni);
            eni.is_some_and(|eni| eni.instance().is_none())
        });
        let attaching = attaching.count();
        let most = self.setting.config.limits.max_enis();
        let fits = taken + attaching < most;
        self.require(fits || !self.setting.calm, |_| {
            format!("{call} with {taken} and {attaching} coming of {most}")
        });
    }

    /// Addresses that this run has asked for and not heard of.
    fn addresses_coming(&self) -> usize {
        let grants = self.tasks.values().filter_map(|task| task.grant(self.life));
        grants.map(|grant| usize::from(grant.addresses())).sum()
    }

    /// Pods that use these addresses of an ENI. What moved to it from another, whose pods still
    /// have it, is not theirs here.
    fn pods_with(&self, eni: &EniId, these: impl Fn(IpAddr) -> bool) -> Vec<String> {
        let wired = self.kernel.wired();
        let using =
            wired.filter(|(_, device)| device.eni == *eni && device.addresses.iter().any(&these));
        using.map(|(key, _)| key.to_string()).collect()
    }

    /// ENIs with pods that the agent takes to be attached, before it hears of a look.
    pub(crate) fn counted_on(&mut self, seen: &[ObservedEni]) -> Vec<EniId> {
        let attached = self.attached();
        let before = std::mem::take(&mut self.books.unshown);
        let is_shown = |id: &EniId| {
            let mut seen = seen.iter().filter(|eni| eni.id == *id);
            seen.any(|eni| matches!(eni.attachment, Attachment::Attached { .. }))
        };
        let known = attached.iter().map(|eni| &eni.eni);
        let all: BTreeSet<&EniId> = known.chain(seen.iter().map(|eni| &eni.id)).collect();
        let unshown = all.into_iter().filter(|id| !is_shown(id));
        self.books.unshown = unshown
            .map(|id| (id.clone(), before.get(id).unwrap_or(&0) + 1))
            .collect();
        with_pods(attached)
    }

    /// One look that does not show an ENI is no reason to give it up under its pods.
    pub(crate) fn check_counted_on(&mut self, counted_on: Vec<EniId>) {
        if self.agent.is_none() {
            return;
        }
        let still = with_pods(self.attached());
        for eni in counted_on.into_iter().filter(|eni| !still.contains(eni)) {
            let looks = self.books.unshown.get(&eni).copied().unwrap_or(0);
            self.require(looks > 1, |_| {
                format!("{eni} is given up under its pods after {looks} looks")
            });
        }
    }

    fn attached(&self) -> Vec<EniReport> {
        let report = self.agent.as_ref().map(|agent| agent.ipam.report());
        let enis = report.into_iter().flat_map(|report| report.enis);
        enis.filter(|eni| eni.place.is_some()).collect()
    }

    /// The node goes on using an ENI with pods.
    pub(crate) fn check_drop(&mut self, eni: &EniId) {
        let used = self.pods_with(eni, |_| true);
        self.require(used.is_empty(), |_| {
            format!("{eni} is dropped under {used:?}")
        });
    }
}

fn with_pods(enis: Vec<EniReport>) -> Vec<EniId> {
    let used = enis.into_iter().filter(|eni| eni.leased > 0);
    used.map(|eni| eni.eni).collect()
}
