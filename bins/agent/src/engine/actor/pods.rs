//! Leases: reserved before the pod is wired, active once it is, cooling once it is not.

use std::os::fd::AsFd;

use underlay_ipam::{AllocError, Input, Lease, PodAdd, Reason, RequestId};
use underlay_journal::{Change, Cooling, LeaseRecord, LeaseState, StateChange};
use underlay_netplan::{EniSlot, PodWiring};
use underlay_types::{Class, LeaseKey, NetworkName, PoolKey, Timestamp};

use super::{Actor, Pending, answer};
use crate::{
    engine::{
        clock::{boot_time, wall_ms},
        message::{Devices, Granted, Held, Reply, Reserve, Wired},
    },
    service::{ListedLease, ServiceError},
};

impl Actor {
    pub(super) fn reserve(&mut self, wish: Reserve, reply: Reply<Result<Granted, ServiceError>>) {
        let good = self.may_change_to(&wish.key, None);
        if let Err(error) = good.and_then(|()| self.has_card(&wish.pool)) {
            answer(&reply, Err(error));
            return;
        }
        let lease = self.ipam.lease_at_once(boot_time(), &wish.key, &wish.pool);
        if let Some(lease) = lease {
            self.unsettled = true;
            for undo in self.grant(Pending { wish, reply }, lease) {
                self.feed(undo);
            }
            return;
        }
        self.requests.last += 1;
        let request = RequestId(self.requests.last);
        let add = PodAdd {
            request,
            key: wish.key.clone(),
            pool: wish.pool.clone(),
            deadline: wish.deadline,
        };
        self.requests
            .pending
            .insert(request, Pending { wish, reply });
        self.feed(Input::PodAdd(add));
    }

    fn has_card(&self, pool: &PoolKey) -> Result<(), ServiceError> {
        let node = &self.caller.node;
        match pool.card {
            Some(card) if node.limits.enis_of_card(card) == 0 => {
                let kind = &node.identity.instance_type;
                let cards = node.limits.enis_per_card.len();
                let message = format!(
                    "networkCard: {card}: {kind} has {cards} network card{}, the first is 0",
                    if cards == 1 { "" } else { "s" }
                );
                Err(ServiceError::Interface { message })
            }
            _ => Ok(()),
        }
    }

    /// Answers the one who waits. Returns what undoes his lease, if it cannot be recorded.
    pub(super) fn reply(
        &mut self,
        request: RequestId,
        result: Result<Lease, Box<AllocError>>,
    ) -> Vec<Input> {
        let Some(pending) = self.requests.pending.remove(&request) else {
            return Vec::new();
        };
        match result {
            Ok(lease) => self.grant(pending, lease),
            Err(error) => {
                answer(&pending.reply, Err(refusal(&error)));
                Vec::new()
            }
        }
    }

    /// Records the lease and hands it to the one who waits. Returns what undoes it, if it cannot be
    /// recorded.
    fn grant(&mut self, Pending { wish, reply }: Pending, lease: Lease) -> Vec<Input> {
        // Whatever was seen to be gone, or had failed, was another wiring of this key.
        self.vanished.forget(&lease.key);
        self.unended.remove(&lease.key);
        let granted = match self.held(&lease.key) {
            Some(held) => Ok(Granted {
                held,
                repeated: true,
            }),
            None => self.record_lease(wish, &lease),
        };
        let undo = granted.is_err();
        if !undo {
            self.requests.turns.take(&lease.key);
        }
        let gone = reply.try_send(granted).is_err();
        if undo || gone {
            let key = lease.key;
            vec![Input::WireFailed(key.clone()), Input::DeviceGone(key)]
        } else {
            Vec::new()
        }
    }

    fn record_lease(&mut self, wish: Reserve, lease: &Lease) -> Result<Granted, ServiceError> {
        let place = self.enis.get(&lease.eni).and_then(|facts| facts.place);
        let record = LeaseRecord {
            key: lease.key.clone(),
            ipv4: lease.addresses.v4(),
            ipv6: lease.addresses.v6(),
            egress: self.egress(lease)?,
            eni: lease.eni.clone(),
            place: place.ok_or_else(|| ServiceError::NotReady {
                message: format!("{} is not attached any more; try again", lease.eni),
            })?,
            pool: lease.pool.clone(),
            interface: self.interface(&lease.eni)?,
            second_in: None,
            pod: wish.pod,
            netns_path: wish.netns_path,
            netns_cookie: wish.netns_cookie,
            state: LeaseState::Reserved,
            since_wall_ms: wall_ms(),
        };
        let held = self.held_by(&record)?;
        let egress = record.egress;
        self.record(Change::Lease(record))?;
        self.last_egress = egress.or(self.last_egress);
        Ok(Granted {
            held,
            repeated: false,
        })
    }

    pub(super) fn wired(&mut self, wired: Wired) -> Result<(), ServiceError> {
        let Some(record) = self.journal.state().leases.get(&wired.key) else {
            let message = format!("{} lost its lease while it was being wired", wired.key);
            return Err(ServiceError::NotReady { message });
        };
        if wiring(record, self.mtus.pod)?.eni != wired.slot {
            let message = format!("{} moved while it was being wired; try again", record.eni);
            return Err(ServiceError::NotReady { message });
        }
        self.vanished.forget(&wired.key);
        self.requests.turns.take(&wired.key);
        let active = active(record, wired);
        self.record(active)
    }

    /// The pod is not wired, and its device, if one is left, is the kernel's to delete.
    pub(in crate::engine) fn wire_failed(&mut self, key: &LeaseKey) {
        if let Err(error) = self.cool(key) {
            tracing::error!(%key, %error, "a lease that failed cannot be ended; trying again");
            self.note(error.to_string());
            self.unended.insert(key.clone());
        }
    }

    /// Tries again what the journal had no room for. A lease that was wired since is a pod's.
    pub(super) fn end_unended(&mut self) {
        for key in std::mem::take(&mut self.unended) {
            if self.cool(&key).is_err() {
                self.unended.insert(key);
            }
        }
    }

    pub(super) fn begin_del(
        &mut self,
        key: &LeaseKey,
        turn: Option<u64>,
    ) -> Result<Option<Held>, ServiceError> {
        if turn.is_some_and(|turn| turn != self.requests.turns.of(key)) {
            return Ok(None);
        }
        let Some(record) = self.journal.state().leases.get(key) else {
            return Ok(None);
        };
        let held = self.held_by(record)?;
        if held.state != LeaseState::Deleting {
            self.record(Change::LeaseState(StateChange {
                key: key.clone(),
                state: LeaseState::Deleting,
                netns_cookie: None,
                second_in: None,
            }))?;
        }
        Ok(Some(held))
    }

    pub(super) fn unwired(&mut self, key: &LeaseKey) -> Result<(), ServiceError> {
        self.cool(key)
    }

    fn cool(&mut self, key: &LeaseKey) -> Result<(), ServiceError> {
        let Some(record) = self.journal.state().leases.get(key) else {
            return Ok(());
        };
        if record.interface.branch().is_some() {
            self.record(Change::Ended(key.clone()))?;
            self.requests.turns.forget(key);
            self.retired.insert(key.clone());
            return Ok(());
        }
        let cooldown_ms = u64::try_from(self.cooldown.as_millis()).unwrap_or(u64::MAX);
        let cooling = Cooling {
            key: key.clone(),
            ipv4: record.ipv4,
            ipv6: record.ipv6,
            eni: record.eni.clone(),
            until_wall_ms: wall_ms().saturating_add(cooldown_ms),
            until_boot: boot_time() + self.cooldown,
        };
        self.record(Change::Cooling(cooling))?;
        self.troubles.bereft.remove(key);
        self.requests.turns.forget(key);
        self.retired.insert(key.clone());
        self.feed(Input::PodDel(key.clone()));
        Ok(())
    }

    pub(super) fn keys(&self) -> Vec<LeaseKey> {
        self.journal.state().leases.keys().cloned().collect()
    }

    pub(super) fn listed(&self, network: &NetworkName) -> Vec<ListedLease> {
        let keys = self.journal.state().leases.keys();
        let keys = keys.filter(|key| key.network == *network);
        let listed = |key: &LeaseKey| ListedLease {
            key: key.clone(),
            turn: self.requests.turns.of(key),
        };
        keys.map(listed).collect()
    }

    pub(in crate::engine) fn held(&self, key: &LeaseKey) -> Option<Held> {
        let record = self.journal.state().leases.get(key)?;
        self.held_by(record).ok()
    }

    pub(super) fn held_by(&self, record: &LeaseRecord) -> Result<Held, ServiceError> {
        Ok(Held {
            wiring: wiring(record, self.mtus.pod)?,
            eni: record.eni.clone(),
            pod: record.pod.clone(),
            pool: record.pool.clone(),
            netns_path: record.netns_path.clone(),
            netns_cookie: record.netns_cookie,
            state: record.state,
        })
    }

    pub(super) fn record(&mut self, change: Change) -> Result<(), ServiceError> {
        self.journal.record(change).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            ServiceError::Journal {
                message: format!("{error}{cause}"),
            }
        })
    }

    /// Judges by devices of the node read since this time, by both clocks. Ends leases of pods whose
    /// device is gone, twice in a row: their namespace died, and no runtime came to say so.
    pub(super) fn end_vanished(
        &mut self,
        (since, since_wall_ms): (Timestamp, u64),
        devices: &Devices,
    ) {
        self.look_for_lost_enis(since, devices);
        let leases = self.journal.state().leases.values();
        for key in self.vanished.seen_twice(leases, since_wall_ms, devices) {
            let Some(held) = self.held(&key) else {
                continue;
            };
            if held.state == LeaseState::Active && self.give_again(&held) {
                continue;
            }
            tracing::warn!(%key, "the pod's device is gone: its lease ends");
            // Here and now, so that no new ADD of the key comes between.
            match self.kernel.unwire_pod(&held.wiring) {
                Ok(()) => self.wire_failed(&key),
                Err(failure) => tracing::warn!(%key, %failure, "its routes stay for now"),
            }
        }
    }

    /// Gives a pod that lives the ENI that it owns and has lost: its device is in the node's
    /// namespace. Whether that was done.
    pub(in crate::engine) fn give_again(&mut self, held: &Held) -> bool {
        let Some(netns) = held.namespace() else {
            return false;
        };
        let key = &held.wiring.key;
        match self.kernel.wire_pod(&held.wiring, netns.as_fd()) {
            Ok(()) => {
                tracing::info!(%key, eni = %held.eni, "put right: the pod has its ENI again");
                self.note(format!("{key} has {} again, which it had lost", held.eni));
                self.troubles.bereft.remove(key);
                true
            }
            Err(failure) => {
                tracing::warn!(%key, eni = %held.eni, %failure, "the pod has lost its ENI");
                self.note(failure.to_string());
                self.troubles.bereft.insert(key.clone());
                // It lives: its runtime will say when its lease ends.
                true
            }
        }
    }

    /// Tells the allocator which old devices are gone.
    pub(super) fn poll_devices(&mut self) {
        let kernel = &self.kernel;
        let gone: Vec<LeaseKey> = self
            .retired
            .iter()
            .filter(|key| !kernel.pending_removal(key))
            .cloned()
            .collect();
        for key in gone {
            self.retired.remove(&key);
            self.feed(Input::DeviceGone(key));
        }
    }
}

/// What makes a lease active. One that is wired in another namespace than was recorded, or in one
/// that has another path by now, is recorded anew.
fn active(record: &LeaseRecord, wired: Wired) -> Change {
    let Wired {
        key,
        slot: _,
        netns_path,
        netns_cookie,
        second_in,
    } = wired;
    let state = LeaseState::Active;
    if record.netns_path == netns_path && record.netns_cookie == netns_cookie {
        return Change::LeaseState(StateChange {
            key,
            state,
            netns_cookie: None,
            second_in,
        });
    }
    Change::Lease(LeaseRecord {
        netns_path,
        netns_cookie,
        second_in,
        state,
        ..record.clone()
    })
}

/// How a lease is wired.
pub(in crate::engine) fn wiring(record: &LeaseRecord, mtu: u32) -> Result<PodWiring, ServiceError> {
    let slot = match record.interface.branch() {
        Some(branch) => Ok(EniSlot::branch(branch.vlan)),
        None => EniSlot::new(record.place.card, record.place.index),
    };
    let addresses = record.addresses().ok_or_else(|| ServiceError::Journal {
        message: format!("the lease of {} has no address", record.key),
    })?;
    Ok(PodWiring {
        key: record.key.clone(),
        addresses,
        egress: record.egress,
        eni: slot.map_err(|error| ServiceError::Kernel {
            message: error.to_string(),
        })?,
        groups: record.pool.groups.clone(),
        mtu,
        interface: record.interface,
        second_in: record.second_in,
        trunk: None,
    })
}

fn refusal(error: &AllocError) -> ServiceError {
    let message = error.to_string();
    match (&error.reason, error.class()) {
        (Reason::Draining, _) => ServiceError::NotReady { message },
        (Reason::Refused(_), Class::Denied | Class::Invalid | Class::Bug) => {
            ServiceError::Refused { message }
        }
        _ => ServiceError::NoAddress { message },
    }
}

#[cfg(test)]
mod tests {
    use underlay_journal::{State, decode, encode, encode_header};

    use super::*;
    use crate::engine::actor::vanished::tests::lease;

    fn record() -> LeaseRecord {
        LeaseRecord {
            netns_path: "/run/netns/first".to_owned(),
            netns_cookie: 1,
            state: LeaseState::Reserved,
            ..lease()
        }
    }

    /// What a successor reads of the lease once it is wired in this namespace.
    fn replayed(netns_path: &str, netns_cookie: u64) -> LeaseRecord {
        let record = record();
        let wired = Wired {
            key: record.key.clone(),
            slot: EniSlot::PRIMARY,
            netns_path: netns_path.to_owned(),
            netns_cookie,
            second_in: None,
        };
        let active = active(&record, wired);
        let short = (netns_path, netns_cookie) == (record.netns_path.as_str(), 1);
        assert_eq!(matches!(active, Change::LeaseState(_)), short);
        let bytes = [
            encode_header(),
            encode(&Change::Lease(record.clone())),
            encode(&active),
            // A record that is read twice says the same.
            encode(&active),
        ];
        let state: State = decode(&bytes.concat()).unwrap().state;
        state.leases[&record.key].clone()
    }

    #[test]
    fn a_lease_is_recorded_with_the_namespace_that_it_was_wired_in() {
        for (path, cookie) in [
            ("/run/netns/first", 1),
            ("/run/netns/first", 2),
            ("/run/netns/second", 1),
            ("/run/netns/second", 2),
        ] {
            let wanted = LeaseRecord {
                netns_path: path.to_owned(),
                netns_cookie: cookie,
                state: LeaseState::Active,
                ..record()
            };
            assert_eq!(replayed(path, cookie), wanted);
        }
    }
}
