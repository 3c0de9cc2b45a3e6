//! A new process: what the journal promised, what EC2 shows, what stands in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use underlay_ipam::{Config, Input, Ipam};
use underlay_journal::{Decoded, LeaseState, Promises, decode, encode, encode_header, promises};
use underlay_types::{LeaseKey, Timestamp};

use super::{
    AUDIT_INTERVAL, Agent,
    calls::{Half, merged},
    memory::Memory,
};
use crate::{
    cloud::{Failure, Reply, Request, Seen},
    world::{Event, World},
};

/// A process that cannot serve yet: it asks EC2 what there is.
#[derive(Debug)]
pub(crate) struct Starting {
    asked: Timestamp,
    halves: Vec<Half>,
}

impl World {
    pub(crate) fn start(&mut self) {
        if self.agent.is_some() || self.starting.is_some() {
            return;
        }
        self.life += 1;
        self.tally.add("starts");
        self.note(|world| format!("agent starts, run {}", world.life));
        if let Some(noted) = self.disk.noted.clone() {
            self.tally.add("starts that ask nothing");
            return self.serve_by(self.now, noted, true);
        }
        self.starting = Some(Starting {
            asked: self.now,
            halves: Vec::new(),
        });
        self.look_for_start();
    }

    /// With both halves of what EC2 shows, it serves; without, its supervisor tries again.
    pub(super) fn start_looked(&mut self, request: Request, result: Result<Reply, Failure>) {
        let Some(starting) = &mut self.starting else {
            return;
        };
        starting.halves.push((request, result));
        if starting.halves.len() < 2 {
            return;
        }
        let asked = starting.asked;
        let halves = std::mem::take(&mut starting.halves);
        self.starting = None;
        let Some(seen) = merged(halves).filter(|seen| {
            let primary = &self.cloud.primary;
            seen.iter().any(|eni| eni.observed.id == *primary)
        }) else {
            self.note(|_| "agent cannot start: EC2 does not tell".to_owned());
            return self.after(Duration::from_secs(2), Event::Start);
        };
        self.serve_by(asked, seen, false);
    }

    /// A process that knows what there is: `remembered`, or asked for.
    fn serve_by(&mut self, asked: Timestamp, seen: Vec<Seen>, remembered: bool) {
        let Decoded { state, dropped, .. } = match decode(&self.disk.bytes) {
            Ok(decoded) => decoded,
            Err(error) => return self.violate(|_| format!("the journal is unreadable: {error}")),
        };
        if dropped > 0 {
            self.tally.add_fault("journal torn", 1);
        }
        self.disk.bytes = encode_header();
        for change in state.changes() {
            self.disk.bytes.extend(encode(&change));
        }
        self.agent = Some(self.new_agent(state, &seen, remembered));
        self.note_memory();
        self.restore(asked, seen);
    }

    fn new_agent(
        &mut self,
        state: underlay_journal::State,
        seen: &[Seen],
        remembered: bool,
    ) -> Agent {
        let config = Config {
            first_op: 1,
            ..self.setting.config.clone()
        };
        let first_look = match (remembered, state.creations.is_empty()) {
            (true, _) => AUDIT_INTERVAL.as_secs(),
            (false, true) => 120,
            (false, false) => 10,
        };
        let crashes = self.books.faulty && self.chance(self.setting.crashes);
        let effects_left = crashes.then(|| self.rng.u32(..60));
        Agent {
            ipam: Ipam::new(config),
            state,
            enis: BTreeMap::new(),
            memory: Memory::new(seen),
            subnets: self.cloud.choice(),
            requests: BTreeMap::new(),
            last_request: 0,
            retired: BTreeSet::new(),
            vanished: BTreeSet::new(),
            touched: true,
            look_under_way: false,
            halves: Vec::new(),
            look_at: self.now + Duration::from_secs(first_look),
            poll_at: None,
            wake_at: None,
            effects_left,
        }
    }

    /// Leases first, so that no leased address is ever free.
    fn restore(&mut self, asked: Timestamp, seen: Vec<Seen>) {
        let (wall_ms, now, cooldown) = (self.wall_ms(), self.now, self.setting.config.cooldown);
        let agent = self.living();
        let Promises {
            leases,
            cooldowns,
            partings,
            places,
        } = promises(&agent.state, wall_ms, now, cooldown);
        let devices = cooldowns.iter().filter_map(|each| each.device.clone());
        agent.retired = devices.collect();
        if !agent.retired.is_empty() {
            agent.poll_at = Some(now);
        }
        self.feed(Input::Restore {
            leases,
            cooldowns,
            partings,
            places,
        });
        let seen = self.read(seen);
        self.bring_back_pods();
        if self.agent.is_some() {
            self.counted_on(&seen);
            self.feed(Input::Observed { asked, enis: seen });
        }
        self.bury();
        if self.agent.is_some() && self.draining {
            self.feed(Input::Drain);
        }
    }

    /// Compares leases with the kernel. What was under way when the last run ended is undone: an
    /// ADD that nobody was answered, a DEL that will not be repeated.
    fn bring_back_pods(&mut self) {
        for eni in self.living().enis.keys().cloned().collect::<Vec<_>>() {
            self.record_place(&eni);
        }
        if !self.survives() {
            return;
        }
        self.place_devices();
        let kernel = &self.kernel;
        let leases = self.agent.as_ref().map(|agent| &agent.state.leases);
        let (standing, undone): (Vec<_>, Vec<_>) =
            leases.into_iter().flatten().partition(|(key, record)| {
                record.state == LeaseState::Active && kernel.has_device(key)
            });
        let standing: BTreeSet<LeaseKey> =
            standing.into_iter().map(|(key, _)| key.clone()).collect();
        let undone: Vec<LeaseKey> = undone.into_iter().map(|(key, _)| key.clone()).collect();
        self.remove_strays(&standing);
        for key in undone {
            if self.agent.is_some() {
                self.note(|_| format!("{key}: a lease without a pod ends"));
                self.wire_failed(&key);
            }
        }
    }
}
