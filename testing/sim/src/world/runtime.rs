//! The container runtime: pods come in bursts and go, and it tries again where it is refused.

use std::time::Duration;

use underlay_types::{LeaseKey, PodAddresses, PoolKey};

use super::{Event, World};

/// A pod sandbox.
#[derive(Debug)]
pub(crate) struct Pod {
    wish: Wish,
    state: PodState,
    /// Sandboxes that the kubelet still makes for the same pod if this one fails.
    retries: u8,
}

/// What a pod asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) key: LeaseKey,
    pub(crate) pool: PoolKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PodState {
    Planned,
    Adding,
    Up,
    Deleting,
    Gone,
}

impl World {
    pub(crate) fn wish(&self, pod: usize) -> Wish {
        self.pods[pod].wish.clone()
    }

    /// Pods in bursts over the busy time; most of them end within it.
    pub(super) fn plan_pods(&mut self) {
        let busy = u64::try_from(self.setting.busy.as_millis()).unwrap_or(u64::MAX);
        let bursts: Vec<u64> = (0..self.rng.u64(1..5))
            .map(|_| self.rng.u64(..busy))
            .collect();
        for _ in 0..self.setting.pods {
            let at = if self.rng.bool() {
                bursts[self.rng.usize(..bursts.len())] + self.rng.u64(..300)
            } else {
                self.rng.u64(..busy)
            };
            let pod = self.new_pod(2);
            self.after(Duration::from_millis(at), Event::PodAdd(pod));
            if self.rng.u8(..4) > 0 {
                let life = self.rng.u64(..busy);
                self.after(Duration::from_millis(at + life), Event::PodDel(pod));
            }
        }
    }

    /// A sandbox that is not asked for yet.
    pub(super) fn new_pod(&mut self, retries: u8) -> usize {
        let which = if self.rng.bool() {
            0
        } else {
            self.rng.usize(..=usize::from(self.setting.sets))
        };
        let pool = self.cloud.pool(which);
        let whole = self.setting.whole && self.rng.u8(..5) == 0;
        self.put_pod(if whole { pool.whole() } else { pool }, retries)
    }

    pub(super) fn put_pod(&mut self, pool: PoolKey, retries: u8) -> usize {
        let key = LeaseKey {
            network: "sim".parse().expect("a name"),
            container: format!("c{}", self.pods.len()).parse().expect("an id"),
            ifname: "eth0".parse().expect("a name"),
        };
        self.pods.push(Pod {
            wish: Wish { key, pool },
            state: PodState::Planned,
            retries,
        });
        self.pods.len() - 1
    }

    pub(super) fn pod_add(&mut self, pod: usize) {
        if self.pods[pod].state != PodState::Planned {
            return;
        }
        self.pods[pod].state = PodState::Adding;
        self.tally.add("ADDs");
        self.note(|world| format!("ADD {:?}", world.pods[pod].wish));
        if self.agent.is_some() {
            self.reserve(pod);
        } else {
            // The plugin's code 11: nobody is there.
            self.tally.add("ADDs while the agent is away");
            self.add_answered(pod, Err("agent away".to_owned()));
        }
    }

    /// The agent answers an ADD, or its end cut the connection.
    pub(crate) fn add_answered(&mut self, pod: usize, answer: Result<PodAddresses, String>) {
        if self.pods[pod].state != PodState::Adding {
            return self.violate(|world| format!("{:?} is answered", world.pods[pod]));
        }
        match answer {
            Ok(addresses) => {
                self.tally.add("ADDs with an address");
                self.note(|world| format!("{} has {addresses:?}", world.pods[pod].wish.key));
                self.pods[pod].state = PodState::Up;
            }
            Err(why) => {
                self.tally.add("ADDs refused");
                self.note(|world| format!("{} has no address: {why}", world.pods[pod].wish.key));
                // The runtime cleans up, and the kubelet has it try again.
                self.pods[pod].state = PodState::Up;
                self.after(Duration::from_millis(20), Event::PodDel(pod));
                let retries = self.pods[pod].retries;
                if retries > 0 && self.books.faulty {
                    let pool = self.pods[pod].wish.pool.clone();
                    let again = self.put_pod(pool, retries - 1);
                    let pause = self.millis(500..12_000);
                    self.after(pause, Event::PodAdd(again));
                }
            }
        }
    }

    pub(super) fn pod_del(&mut self, pod: usize) {
        match self.pods[pod].state {
            // Not before the ADD has ended.
            PodState::Adding => return self.after(Duration::from_secs(1), Event::PodDel(pod)),
            PodState::Planned => {
                self.pods[pod].state = PodState::Gone;
                return;
            }
            PodState::Gone | PodState::Deleting => return,
            PodState::Up => {}
        }
        self.pods[pod].state = PodState::Deleting;
        self.tally.add("DELs");
        self.note(|world| format!("DEL {}", world.pods[pod].wish.key));
        if self.agent.is_some() {
            self.begin_del(pod);
        } else {
            self.tally.add("tombstones");
            self.tombstones.push(pod);
            self.pods[pod].state = PodState::Gone;
        }
    }

    /// The agent answers a DEL; one that a tombstone stood for is nobody's any more.
    pub(crate) fn del_answered(&mut self, pod: usize, done: bool) {
        if self.pods[pod].state != PodState::Deleting {
            if done {
                self.tombstones.retain(|each| *each != pod);
            }
            return;
        }
        if done {
            self.pods[pod].state = PodState::Gone;
        } else {
            self.pods[pod].state = PodState::Up;
            self.after(Duration::from_secs(1), Event::PodDel(pod));
        }
    }

    /// The agent carries out the DELs that came while none was there, again until they are done.
    pub(crate) fn bury(&mut self) {
        for pod in self.tombstones.clone() {
            if self.agent.is_some() {
                self.begin_del(pod);
            }
        }
        if !self.tombstones.is_empty() {
            let life = self.life;
            self.after(Duration::from_secs(2), Event::Bury(life));
        }
    }

    /// Connections to an agent that died are cut: ADDs failed, DELs will come again.
    pub(crate) fn agent_is_gone(&mut self) {
        for pod in 0..self.pods.len() {
            match self.pods[pod].state {
                PodState::Adding => self.add_answered(pod, Err("cut off".to_owned())),
                PodState::Deleting => self.del_answered(pod, false),
                PodState::Planned | PodState::Up | PodState::Gone => {}
            }
        }
    }

    /// The namespace of a pod dies unseen, as with a runtime that lost its state.
    pub(super) fn pod_dies(&mut self, pod: usize) {
        if self.pods[pod].state == PodState::Up {
            let key = self.wish(pod).key;
            self.tally.add_fault("namespace died unseen", 1);
            self.note(|_| format!("{key}: its namespace dies"));
            self.device_dies(&key);
            self.pods[pod].state = PodState::Gone;
        }
    }

    /// Ends every pod.
    pub(super) fn delete_all_pods(&mut self) {
        for pod in 0..self.pods.len() {
            let at = self.millis(0..500);
            self.after(at, Event::PodDel(pod));
        }
    }
}
