//! Leases: reserved before the pod is wired, active once it is, cooling once it is not.

use std::time::Duration;

use underlay_ipam::{AllocError, Input, Lease, PodAdd, RequestId};
use underlay_journal::{Change, Cooling, LeaseRecord, LeaseState, StateChange};
use underlay_types::{Interface, LeaseKey};

use super::{Recorded, World};
use crate::world::{Event, Wish};

impl World {
    /// An ADD arrives at the agent.
    pub(crate) fn reserve(&mut self, pod: usize) {
        let deadline = self.now + self.setting.add_wait;
        let Wish { key, pool } = self.wish(pod);
        let agent = self.living();
        agent.last_request += 1;
        let request = RequestId(agent.last_request);
        agent.requests.insert(request, pod);
        self.books.asked(request, deadline);
        let now = self.now;
        if let Some(lease) = self.living().ipam.lease_at_once(now, &key, &pool) {
            return self.lease_at_once(request, lease);
        }
        self.feed(Input::PodAdd(PodAdd {
            request,
            key,
            pool,
            deadline,
        }));
    }

    /// What follows from a lease is seen to a little later, unless something else comes first.
    fn lease_at_once(&mut self, request: RequestId, lease: Lease) {
        let (life, pause) = (self.life, self.millis(1..60));
        self.after(pause, Event::Settle(life));
        for undo in self.reply(request, Ok(lease)) {
            self.feed(undo);
        }
    }

    /// Records the lease and has the pod wired. Returns what undoes it, if that is impossible.
    pub(super) fn reply(
        &mut self,
        request: RequestId,
        answer: Result<Lease, Box<AllocError>>,
    ) -> Vec<Input> {
        let Some(pod) = self.living().requests.remove(&request) else {
            self.violate(|_| format!("{request:?} is answered twice"));
            return Vec::new();
        };
        let lease = match answer {
            Ok(lease) => lease,
            Err(error) => {
                self.check_refusal(pod, request, &error);
                self.add_answered(pod, Err(error.to_string()));
                return Vec::new();
            }
        };
        self.check_lease(pod, request, &lease);
        self.living().vanished.remove(&lease.key);
        let known = self.living().state.leases.contains_key(&lease.key);
        if !known {
            match self.record_lease(&lease) {
                Recorded::Yes => {}
                Recorded::Dead => return Vec::new(),
                Recorded::Refused => {
                    self.add_answered(pod, Err("the journal cannot be written".to_owned()));
                    let key = lease.key;
                    return vec![Input::WireFailed(key.clone()), Input::DeviceGone(key)];
                }
            }
        }
        let (life, pause) = (self.life, self.millis(1..40));
        self.after(pause, Event::Wire(life, pod));
        Vec::new()
    }

    fn record_lease(&mut self, lease: &Lease) -> Recorded {
        let wall_ms = self.wall_ms();
        let facts = self.living().enis.get(&lease.eni);
        let Some(place) = facts.and_then(|facts| facts.place) else {
            return Recorded::Refused;
        };
        self.record(Change::Lease(LeaseRecord {
            key: lease.key.clone(),
            ipv4: lease.addresses.v4(),
            ipv6: lease.addresses.v6(),
            egress: None,
            eni: lease.eni.clone(),
            place,
            pool: lease.pool.clone(),
            interface: Interface::Shared,
            second_in: None,
            pod: None,
            netns_path: String::new(),
            netns_cookie: 1,
            state: LeaseState::Reserved,
            since_wall_ms: wall_ms,
        }))
    }

    /// The kernel wires a pod: all or nothing.
    pub(crate) fn wire(&mut self, pod: usize) {
        let key = self.wish(pod).key;
        let Some(record) = self.living().state.leases.get(&key).cloned() else {
            let message = "it lost its lease while it was being wired".to_owned();
            return self.add_answered(pod, Err(message));
        };
        if !self.survives() {
            return;
        }
        let rate = self.setting.fault_rate / 4.0;
        if self.books.faulty && self.chance(rate) {
            self.tally.add_fault("wiring failed", 1);
            self.wire_failed(&key);
            return self.add_refused(pod, "the kernel refused");
        }
        let addresses = record.addresses().expect("leases here have some");
        self.wire_device(&record, addresses);
        match self.record(moved(&key, LeaseState::Active)) {
            Recorded::Dead => {}
            Recorded::Yes => {
                if self.survives() {
                    self.add_answered(pod, Ok(addresses));
                }
            }
            Recorded::Refused => {
                self.retire_device(&key);
                self.wire_failed(&key);
                self.add_refused(pod, "the journal cannot be written");
            }
        }
    }

    /// Answers an ADD, unless the process died undoing it: then the connection was cut.
    fn add_refused(&mut self, pod: usize, why: &str) {
        if self.survives() {
            self.add_answered(pod, Err(why.to_owned()));
        }
    }

    /// The pod is not wired, and its device, if one is left, is the kernel's to delete.
    pub(super) fn wire_failed(&mut self, key: &LeaseKey) {
        if self.cool(key) == Recorded::Refused {
            self.note(|_| format!("{key}: a lease that failed could not be ended"));
        }
    }

    /// A DEL arrives at the agent.
    pub(crate) fn begin_del(&mut self, pod: usize) {
        let key = self.wish(pod).key;
        let Some(record) = self.living().state.leases.get(&key).cloned() else {
            return self.del_answered(pod, true);
        };
        if record.state != LeaseState::Deleting {
            match self.record(moved(&key, LeaseState::Deleting)) {
                Recorded::Yes => {}
                Recorded::Dead => return,
                Recorded::Refused => return self.del_answered(pod, false),
            }
        }
        let (life, pause) = (self.life, self.millis(1..30));
        self.after(pause, Event::Unwire(life, pod));
    }

    pub(crate) fn unwire(&mut self, pod: usize) {
        let key = self.wish(pod).key;
        if !self.survives() {
            return;
        }
        self.retire_device(&key);
        match self.cool(&key) {
            Recorded::Dead => {}
            Recorded::Refused => self.del_answered(pod, false),
            Recorded::Yes => {
                if self.survives() {
                    self.del_answered(pod, true);
                }
            }
        }
    }

    /// Ends a lease, if there is one: its address cools down.
    pub(super) fn cool(&mut self, key: &LeaseKey) -> Recorded {
        let cooldown = self.setting.config.cooldown;
        let (now, wall_ms) = (self.now, self.wall_ms());
        let Some(record) = self.living().state.leases.get(key) else {
            return Recorded::Yes;
        };
        let cooling = Cooling {
            key: key.clone(),
            ipv4: record.ipv4,
            ipv6: record.ipv6,
            eni: record.eni.clone(),
            until_wall_ms: wall_ms + u64::try_from(cooldown.as_millis()).unwrap_or(u64::MAX),
            until_boot: now + cooldown,
        };
        let recorded = self.record(Change::Cooling(cooling));
        if recorded == Recorded::Yes {
            self.living().retired.insert(key.clone());
            self.living()
                .poll_at
                .get_or_insert(now + Duration::from_millis(250));
            self.feed(Input::PodDel(key.clone()));
        }
        recorded
    }

    /// Ends leases of pods whose device was missing twice in a row: their namespace died, and no
    /// runtime came to say so.
    pub(super) fn end_vanished(&mut self) {
        let kernel = &self.kernel;
        let Some(agent) = &mut self.agent else { return };
        let leases = agent.state.leases.values();
        let wired = leases.filter(|lease| lease.state != LeaseState::Reserved);
        let missing = wired.filter(|lease| !kernel.has_device(&lease.key));
        let before = std::mem::take(&mut agent.vanished);
        let (twice, once) = missing
            .map(|lease| lease.key.clone())
            .partition::<std::collections::BTreeSet<_>, _>(|key| before.contains(key));
        agent.vanished = once;
        for key in twice {
            self.note(|_| format!("{key}: its device is gone, its lease ends"));
            if self.agent.is_some() {
                self.wire_failed(&key);
            }
        }
    }
}

/// A lease comes to another state.
fn moved(key: &LeaseKey, state: LeaseState) -> Change {
    Change::LeaseState(StateChange {
        key: key.clone(),
        state,
        netns_cookie: None,
        second_in: None,
    })
}
