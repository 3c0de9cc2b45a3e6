//! A node around the allocator: keeps its own books and checks every answer against them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::Ipv4Net;
use underlay_ipam::{
    Action, Config, Cooldown, Ec2Op, Input, InstanceLimits, Ipam, Lease, OpId, Parting, Place,
    PodAdd, RequestId,
};
use underlay_types::{Class, EniId, Family, LeaseKey, PodAddresses, PoolKey, Timestamp};

use super::{
    cloud::{Cloud, IPV4_PER_ENI, MAX_ENIS, failure},
    outside::Outside,
};

pub(crate) const COOLDOWN: Duration = Duration::from_secs(30);

/// More calls than anything here needs.
const STEPS_MAX: u32 = 1_000;

/// An address that left a pod.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    pub(crate) lease: Lease,
    pub(crate) at: Timestamp,
    pub(crate) device: bool,
}

pub(crate) struct Node {
    pub(crate) ipam: Ipam,
    config: Config,
    pub(crate) cloud: Cloud,
    pub(crate) now: Timestamp,
    pub(crate) ops: Vec<(OpId, Ec2Op)>,
    pub(crate) to_use: Vec<EniId>,
    pub(crate) to_drop: Vec<EniId>,
    pub(crate) observe: bool,
    pub(crate) leases: BTreeMap<LeaseKey, Lease>,
    /// Where the ENIs of pods were attached when the node last used them.
    pub(crate) places: BTreeMap<EniId, Place>,
    pub(crate) released: BTreeMap<IpAddr, Released>,
    pub(crate) open: BTreeMap<RequestId, (LeaseKey, PoolKey, Timestamp)>,
    pub(crate) refusals: Vec<String>,
    pub(crate) calls: Vec<String>,
    /// What the calls that the next restart cuts off asked back.
    pub(crate) partings: Vec<Parting>,
    /// What somebody else changed, until an observation shows it.
    pub(super) outside: Outside,
    next_request: u64,
    last_op: u64,
}

impl Node {
    /// A node right after its first look at the cloud.
    pub(crate) fn start(addresses: u8) -> Self {
        Self::start_with(addresses, config())
    }

    /// As [`Self::start`], told otherwise.
    pub(crate) fn start_with(addresses: u8, config: Config) -> Self {
        let mut node = Self {
            ipam: Ipam::new(config.clone()),
            cloud: Cloud::new(addresses, &config.limits),
            config,
            now: Timestamp::from_secs(1000),
            ops: Vec::new(),
            to_use: Vec::new(),
            to_drop: Vec::new(),
            observe: false,
            leases: BTreeMap::new(),
            places: BTreeMap::new(),
            released: BTreeMap::new(),
            open: BTreeMap::new(),
            refusals: Vec::new(),
            calls: Vec::new(),
            partings: Vec::new(),
            outside: Outside::default(),
            next_request: 1,
            last_op: 0,
        };
        node.look();
        node
    }

    /// Kill and start again: what was under way is forgotten, books and cloud stay.
    pub(crate) fn restart(&mut self) {
        self.ipam = Ipam::new(Config {
            first_op: self.last_op + 1,
            ..self.config.clone()
        });
        self.ops.clear();
        self.to_use.clear();
        self.to_drop.clear();
        self.open.clear();
        let leases = self.leases.values().cloned().collect();
        let cooldowns = self
            .released
            .iter()
            // Each of the addresses names both; the addresses may have parted since.
            .map(|(address, released)| Cooldown {
                addresses: alone(*address),
                eni: released.lease.eni.clone(),
                until: released.at + COOLDOWN,
                device: released.device.then(|| released.lease.key.clone()),
            })
            .collect();
        let partings = std::mem::take(&mut self.partings);
        self.feed(Input::Restore {
            leases,
            cooldowns,
            partings,
            places: self.places.clone(),
        });
        self.look();
    }

    pub(crate) fn look(&mut self) {
        self.observe = false;
        self.pass(Duration::from_millis(1));
        let (asked, enis) = (self.now, self.cloud.observe());
        self.forget_outside();
        self.pass(Duration::from_millis(1));
        self.feed(Input::Observed { asked, enis });
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.feed(Input::Tick);
    }

    pub(crate) fn add(&mut self, key: LeaseKey, pool: PoolKey, wait: Duration) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let deadline = self.now + wait;
        self.open
            .insert(request, (key.clone(), pool.clone(), deadline));
        if let Some(lease) = self.ipam.lease_at_once(self.now, &key, &pool) {
            self.replied(request, Ok(lease));
            return self.feed(Input::Tick);
        }
        self.feed(Input::PodAdd(PodAdd {
            request,
            key,
            pool,
            deadline,
        }));
    }

    pub(crate) fn del(&mut self, key: LeaseKey) {
        if let Some(lease) = self.leases.remove(&key) {
            let released = Released {
                lease,
                at: self.now,
                device: true,
            };
            for address in released.lease.addresses.iter() {
                self.released.insert(address, released.clone());
            }
        }
        self.feed(Input::PodDel(key));
    }

    pub(crate) fn device_gone(&mut self, key: LeaseKey) {
        for released in self
            .released
            .values_mut()
            .filter(|old| old.lease.key == key)
        {
            released.device = false;
        }
        self.feed(Input::DeviceGone(key));
    }

    /// Runs one pending call. `lost`: it works, and its answer does not arrive.
    pub(crate) fn run_op(&mut self, which: usize, fails: Option<Class>, lost: bool) {
        if self.ops.is_empty() {
            return;
        }
        let (op, call) = self.ops.remove(which % self.ops.len());
        let outcome = match fails {
            Some(class) => {
                if lost {
                    let _answer = self.cloud.run(&call);
                }
                failure("Injected", class)
            }
            None => self.cloud.run(&call),
        };
        self.feed(Input::Ec2 { op, outcome });
    }

    pub(crate) fn kernel_answers(&mut self, ready: bool) {
        for eni in std::mem::take(&mut self.to_use) {
            if let Some(place) = self.cloud.enis.get(&eni).and_then(|eni| eni.place) {
                self.places.insert(eni.clone(), place);
            }
            self.feed(if ready {
                Input::EniReady(eni)
            } else {
                Input::EniUnready {
                    eni,
                    reason: "no device".to_owned(),
                }
            });
        }
        for eni in std::mem::take(&mut self.to_drop) {
            self.feed(Input::EniDropped(eni));
        }
    }

    /// Lets everything under way end well.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0..STEPS_MAX;
        while !self.ops.is_empty() || !self.to_use.is_empty() || !self.to_drop.is_empty() {
            assert!(steps.next().is_some(), "no end of calls: {:?}", self.ops);
            self.run_op(0, None, false);
            self.kernel_answers(true);
        }
    }

    /// Lets everything under way end well, and time pass, until nothing is.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..50 {
            self.settle();
            self.look();
            if let Some(deadline) = self.ipam.next_deadline() {
                self.now = deadline;
                self.feed(Input::Tick);
            }
        }
    }

    /// Whether pods get IPv4 addresses.
    pub(crate) fn has_v4(&self) -> bool {
        self.config.families.has(Family::V4)
    }

    /// Prefixes in EC2 that no pod has an address of.
    pub(crate) fn free_prefixes(&self) -> usize {
        let prefixes = self.cloud.enis.values().flat_map(|eni| &eni.prefixes);
        let used = |prefix: &&Ipv4Net| {
            let mut leases = self.leases.values();
            leases.any(|lease| prefix.contains(&v4(lease)))
        };
        prefixes.filter(|prefix| !used(prefix)).count()
    }

    pub(crate) fn feed(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.ipam.handle(self.now, input, &mut actions);
        for action in actions {
            match action {
                Action::Reply(request, answer) => self.replied(request, answer),
                Action::Ec2(id, op) => {
                    assert!(id.0 > self.last_op, "operation ids grow");
                    self.last_op = id.0;
                    self.check_call(&op);
                    self.check_maximum(&op);
                    self.calls.push(op.to_string());
                    self.ops.push((id, op));
                }
                Action::UseEni(eni) => {
                    assert!(!self.to_drop.contains(&eni), "{eni} is being dropped");
                    self.to_use.push(eni);
                }
                Action::DropEni(eni) => {
                    assert!(!self.to_use.contains(&eni), "{eni} is being set up");
                    self.to_drop.push(eni);
                }
                Action::Observe => self.observe = true,
                Action::Report(_) => {}
            }
        }
        self.check();
    }

    fn replied(
        &mut self,
        request: RequestId,
        answer: Result<Lease, Box<underlay_ipam::AllocError>>,
    ) {
        let (key, pool, _) = self
            .open
            .remove(&request)
            .expect("one answer to each request");
        let lease = match answer {
            Ok(lease) => lease,
            Err(error) => return self.refusals.push(error.to_string()),
        };
        assert_eq!((&lease.key, &lease.pool), (&key, &pool));
        if let Some(before) = self.leases.get(&key) {
            assert_eq!(*before, lease, "a repeated ADD gets the same lease");
            return;
        }
        let given: Vec<IpAddr> = lease.addresses.iter().collect();
        let families = self.config.families;
        let wanted = [Family::V4, Family::V6].into_iter();
        let wanted: Vec<_> = wanted.filter(|family| families.has(*family)).collect();
        let got: Vec<_> = given.iter().map(|address| Family::of(*address)).collect();
        assert_eq!(got, wanted, "{lease:?}");
        let mut others = self
            .leases
            .values()
            .flat_map(|other| other.addresses.iter());
        assert!(others.all(|other| !given.contains(&other)), "{lease:?}");
        if lease.pool.is_whole() {
            let mut others = self.leases.values();
            assert!(
                others.all(|other| other.eni != lease.eni),
                "{lease:?}: another's"
            );
        }
        for address in given {
            self.check_given(&lease, address);
        }
        self.leases.insert(key, lease);
    }

    /// An address is on the lease's ENI, as far as anybody can know, and has cooled down.
    fn check_given(&mut self, lease: &Lease, address: IpAddr) {
        if let Some(old) = self.released.remove(&address) {
            assert!(!old.device, "{lease:?} while its old device exists");
            assert!(
                self.now.saturating_since(old.at) >= COOLDOWN,
                "{lease:?} still cools"
            );
        }
        match self.cloud.enis.get(&lease.eni) {
            Some(eni) => {
                assert_eq!(eni.pool, lease.pool, "an address of another pool");
                let (there, moved) = match address {
                    IpAddr::V4(address) => {
                        let moved = (lease.eni.clone(), address);
                        let moved = self.outside.moved.contains(&moved);
                        (eni.all().contains(&address), moved)
                    }
                    IpAddr::V6(address) => {
                        let mut prefixes = eni.ipv6_prefixes.iter();
                        let moved = self.outside.moved_ipv6.contains(&lease.eni);
                        (prefixes.any(|prefix| prefix.contains(&address)), moved)
                    }
                };
                assert!(there || moved, "{lease:?}");
            }
            None => assert!(self.outside.deleted.contains(&lease.eni), "{lease:?}"),
        }
    }

    fn check_call(&self, op: &Ec2Op) {
        match op {
            Ec2Op::DeleteEni { eni } | Ec2Op::DetachEni { eni } => {
                let used = self.leases.values().any(|lease| lease.eni == *eni);
                assert!(!used, "{op} under its pods");
            }
            _ => {}
        }
    }

    /// Nothing is asked for beyond the maximum, whatever is under way.
    fn check_maximum(&self, op: &Ec2Op) {
        let asked = |op: &Ec2Op| match op {
            Ec2Op::Assign { grant, .. } | Ec2Op::CreateEni { grant, .. } => grant.addresses(),
            _ => 0,
        };
        let (Some(maximum), more @ 1..) = (self.config.maximum, asked(op)) else {
            return;
        };
        let report = self.ipam.report();
        let shared = report
            .enis
            .iter()
            .filter(|eni| !eni.pool.starts_with("whole/"));
        let held: usize = shared.map(|eni| eni.total).sum();
        let under_way: u16 = self.ops.iter().map(|(_, op)| asked(op)).sum();
        let all = held + usize::from(under_way) + usize::from(more);
        assert!(all <= maximum.into(), "{op}: {all} of {maximum}");
    }

    fn check(&self) {
        let report = self.ipam.report();
        let ours: BTreeSet<_> = self
            .leases
            .values()
            .map(|l| (&l.key, l.addresses))
            .collect();
        let theirs: BTreeSet<_> = report
            .leases
            .iter()
            .map(|l| (&l.key, l.addresses))
            .collect();
        assert_eq!(ours, theirs, "leases");
        assert_eq!(
            report.waiting.len(),
            self.open.len(),
            "every request waits or is answered"
        );
        for (key, _, deadline) in self.open.values() {
            assert!(
                *deadline > self.now,
                "{key} was not answered by its deadline"
            );
        }
        for eni in &report.enis {
            assert!(eni.free + eni.leased + eni.cooling <= eni.total, "{eni:?}");
        }
        assert!(
            self.ipam
                .next_deadline()
                .is_none_or(|deadline| deadline > self.now)
        );
    }
}

pub(crate) fn limits() -> InstanceLimits {
    InstanceLimits {
        enis_per_card: vec![MAX_ENIS],
        enis: None,
        ipv4_per_eni: IPV4_PER_ENI,
        prefixes: true,
    }
}

/// Small targets, so that a few pods reach them.
pub(crate) fn config() -> Config {
    Config {
        warm_default: 2,
        warm_explicit: 1,
        gather: Duration::ZERO,
        ..Config::for_limits(limits())
    }
}

/// The IPv4 address of a lease.
pub(crate) fn v4(lease: &Lease) -> Ipv4Addr {
    lease.addresses.v4().unwrap()
}

fn alone(address: IpAddr) -> PodAddresses {
    vec![address].try_into().unwrap()
}
