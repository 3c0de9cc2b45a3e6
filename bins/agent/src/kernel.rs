//! Carries out the operations that `underlay-netplan` decides on.
//!
//! All calls block, on the caller's thread; the work is done by threads of the [`Kernel`]'s own and
//! by those that it adopted, which may change namespaces. Calls may come from any number of threads.

mod audit;
mod branches;
mod check;
mod contexts;
mod execute;
mod failure;
mod moved;
mod observe;
mod pod_end;
mod reaper;
mod restore;
mod rules;
mod translate;
mod whole;
mod wire;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use audit::{Look, Repaired};
pub use failure::Failure;
use ipnet::Ipv4Net;
pub use restore::Restored;
use underlay_netlink::{KernelError, Socket, link, netns};
use underlay_netplan::{
    Drift, EniWiring, NodeFacts, NodeState, Op, Plan, PodWiring, eni,
    eni::EniInUse,
    names, node,
    numbers::{POD_GROUP, RETIRED_GROUP},
    set_chain, snat,
};
use underlay_types::{EniId, LeaseKey, Mac, PoolGroups, SecurityGroupSet};

use self::{
    branches::Programs, execute::Execution, reaper::Reaper, rules::Rules, workers::Workers,
};

/// What may be set about the kernel's work.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Threads that wire and unwire pods.
    pub workers: usize,
    /// How long the reaper gathers devices of deleted pods before it deletes them together.
    pub reap_after: Duration,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            reap_after: Duration::from_millis(500),
        }
    }
}

/// The node's kernel.
#[derive(Debug)]
pub struct Kernel {
    workers: Workers,
    reaper: Reaper,
    /// Read while a pod is wired or unwired, written while ENIs come and go.
    topology: RwLock<()>,
    state: Mutex<NodeState>,
    /// What the node's chains must be. Held while they are written.
    rules: Mutex<Rules>,
    /// What was put right since the start, by kind.
    repairs: Mutex<BTreeMap<Drift, u64>>,
    /// ENIs that pods owned and that are not back in the node's namespace yet.
    away: Mutex<BTreeMap<LeaseKey, Mac>>,
    pods_reach_metadata: AtomicBool,
    /// For branch ENIs, where there are any.
    programs: Programs,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kernel {
    /// Starts the threads in the calling thread's namespace. Changes nothing yet.
    ///
    /// # Errors
    /// When sockets cannot be opened.
    pub fn new(config: &KernelConfig) -> Result<Self, Failure> {
        let home = netns::current().map_err(|error| Failure::clean("start", error))?;
        Self::new_in(home, config)
    }

    /// Starts the threads in `netns`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_in(netns: OwnedFd, config: &KernelConfig) -> Result<Self, Failure> {
        let home = Arc::new(netns);
        let programs = Programs::default();
        let start = || {
            Ok(Self {
                workers: Workers::start(config.workers, &home, &programs)?,
                reaper: Reaper::start(&home, config.reap_after)?,
                topology: RwLock::default(),
                state: Mutex::default(),
                rules: Mutex::default(),
                repairs: Mutex::new(Drift::ALL.map(|drift| (drift, 0)).into()),
                away: Mutex::default(),
                pods_reach_metadata: AtomicBool::new(false),
                programs,
            })
        };
        start().map_err(|error| Failure::clean("start the kernel's threads", error))
    }

    /// Makes the calling thread do its part of the kernel's work itself, instead of handing it to a
    /// thread of the kernel's and waiting for that. Only for threads of the agent's own that stay
    /// in the node's namespace.
    pub fn adopt_thread(&self) {
        self.workers.adopt_thread();
    }

    /// A socket in a pod's namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn socket_in(&self, netns: BorrowedFd<'_>) -> Result<Socket, Failure> {
        let failed = |error| Failure::clean("enter the pod's namespace", error);
        let netns = netns.try_clone_to_owned();
        let netns = netns.map_err(|error| {
            let error = failure::refused("duplicate", "namespace descriptor", error.to_string());
            failed(error)
        })?;
        let opened = self
            .workers
            .run(move |context| context.socket_in(netns.as_fd()));
        opened.and_then(|opened| opened).map_err(failed)
    }

    /// Makes the node ready for ENIs and pods: forwarding, the nftables table. Idempotent; pods
    /// that are wired stay so. Also deletes the devices that an earlier agent had retired.
    ///
    /// # Errors
    /// What the kernel or `nft` refused; repeat the call.
    pub fn setup_node(&self, facts: &NodeFacts) -> Result<(), Failure> {
        let doing = "set the node up";
        let mut rules = lock(&self.rules);
        self.pods_reach_metadata
            .store(facts.pods_reach_metadata, Ordering::Relaxed);
        self.all_or_nothing(doing, node::setup(facts))?;
        rules.facts = Some(facts.clone());
        self.learn(doing, &mut rules, rules::is_of_node)?;
        drop(rules);
        self.reaper
            .reap()
            .map_err(|error| Failure::clean(doing, error))
    }

    /// Brings an ENI (the primary one too) into use for pods: its device up, its table and rule.
    /// Pods of the same groups on other ENIs become reachable directly. Idempotent.
    ///
    /// # Errors
    /// `NotFound` while the device has not appeared yet. No route, no rule is left behind.
    pub fn use_eni(&self, eni: &EniWiring) -> Result<(), Failure> {
        self.use_eni_of(eni, &[])
    }

    /// The same for an ENI that may have been in use in another slot, with all its pods as they are
    /// to be wired now: those that are wired leave by the new slot when this returns.
    ///
    /// # Errors
    /// As [`Self::use_eni`]; also what the kernel refused of the pods: repeat the call.
    pub fn use_eni_of(&self, eni: &EniWiring, pods: &[PodWiring]) -> Result<(), Failure> {
        let doing = format!("use {} in slot {}", eni.eni, eni.slot);
        let _alone = self.write_topology();
        let mac = eni.mac;
        let found = self
            .workers
            .run(move |context| link::by_mac(&mut context.socket, mac));
        let device = found
            .and_then(|found| found)
            .map_err(|error| Failure::clean(&doing, error))?
            .name;
        let eni = EniInUse {
            wiring: eni.clone(),
            device,
        };
        let before = lock(&self.state).clone();
        let mut state = before.clone();
        match state.remove_eni(eni.wiring.slot) {
            // Another ENI was attached in its place.
            Some(former) if former != eni => {
                let mut after = state.clone();
                after.insert_eni(eni.clone());
                self.all_possible(&doing, eni::lower(&after, &former))?;
            }
            _ => {}
        }
        let plan = eni::raise(&state, &eni).map_err(|error| {
            let error = failure::refused("plan", eni.wiring.eni.to_string(), error.to_string());
            Failure::clean(&doing, error)
        })?;
        let plan = self.without_present(&doing, plan)?;
        self.all_or_nothing(&doing, plan)?;
        self.move_pods(&doing, &before, eni, pods)
    }

    /// Takes an ENI out of use: its rule and table, and the chains of its group set if no other
    /// ENI carries it. Its pods must be unwired. Idempotent; the device may be gone already.
    ///
    /// # Errors
    /// What the kernel refused; repeat the call.
    pub fn drop_eni(&self, eni: &EniId) -> Result<(), Failure> {
        let _alone = self.write_topology();
        let mut state = lock(&self.state).clone();
        // Another ENI may sit in its place by now.
        let in_use = state.enis().iter().find(|(_, it)| it.wiring.eni == *eni);
        let Some((slot, eni)) = in_use.map(|(slot, eni)| (*slot, eni.clone())) else {
            return Ok(());
        };
        state.remove_eni(slot);
        let doing = format!("drop {} from slot {slot}", eni.wiring.eni);
        let mut plan = eni::lower(&state, &eni);
        let orphaned = match eni.wiring.groups {
            PoolGroups::Exactly(set) => Some(set).filter(|set| {
                let groups = PoolGroups::Exactly(set.clone());
                !state.carries(&groups)
            }),
            PoolGroups::Default => None,
        };
        if let Some(set) = &orphaned {
            plan.0.extend(set_chain::remove(set).0);
        }
        self.all_possible(&doing, plan)?;
        *lock(&self.state) = state;
        if let Some(set) = &orphaned {
            lock(&self.rules).forget(set);
        }
        Ok(())
    }

    /// Sets what pods of an explicit set may send each other on this node. Until it is called for a
    /// set, its pods may send each other nothing. Idempotent; atomic for packets under way.
    ///
    /// # Errors
    /// What `nft` refused; the old rules stay.
    pub fn set_policy(
        &self,
        set: &SecurityGroupSet,
        policy: &underlay_policy::Compiled,
    ) -> Result<(), Failure> {
        let sender = policy.sender_chain(&set_chain::receiver_chain(set));
        let plan = set_chain::write(set, &sender, &policy.receiver_chain());
        let mut rules = lock(&self.rules);
        let doing = format!("set the rules of {set}");
        self.all_or_nothing(&doing, plan.clone())?;
        rules.sets.insert(set.clone(), Some(plan));
        self.learn(&doing, &mut rules, |chain| rules::is_of(set, chain))
    }

    /// Says anew who sees the pods' own addresses where others see the node's. Connections go on as
    /// they began. Idempotent; atomic for packets under way.
    ///
    /// # Errors
    /// What `nft` refused; the old blocks stay.
    pub fn keep_source_towards(&self, blocks: &[Ipv4Net]) -> Result<(), Failure> {
        let mut rules = lock(&self.rules);
        self.all_or_nothing("set who sees the pods' own addresses", snat::keep(blocks))?;
        if let Some(snat) = rules.facts.as_mut().and_then(|facts| facts.snat.as_mut()) {
            snat.kept = blocks.to_vec();
        }
        Ok(())
    }

    /// Whether the device of the unwired pod with this key still exists, or the ENI that it owned is
    /// not back. Its addresses must not leave cooldown.
    #[must_use]
    pub fn pending_removal(&self, key: &LeaseKey) -> bool {
        self.reaper.holds(&names::host_device(key)) || self.is_away(key)
    }

    fn pods_reach_metadata(&self) -> bool {
        self.pods_reach_metadata.load(Ordering::Relaxed)
    }

    /// Deletes now what waits to be deleted, and waits for it.
    ///
    /// # Errors
    /// What the kernel refused; the devices stay queued.
    pub fn reap(&self) -> Result<(), Failure> {
        let reaped = self.reaper.reap();
        reaped.map_err(|error| Failure::clean("delete retired devices", error))
    }

    /// Removes everything of ours from the node's kernel: pods, ENIs, the nftables table.
    ///
    /// # Errors
    /// The first refusal, with the others in [`Failure::left`]; the rest is removed.
    pub fn uninstall(&self) -> Result<(), Failure> {
        let doing = "remove everything from the node";
        let _alone = self.write_topology();
        let removed = self.workers.run(|context| {
            let found = observe::Observed::read(context)?;
            let remove = underlay_netplan::diff::plan(&BTreeSet::new(), &found.objects);
            let mut errors = Execution::new(context, None).all_possible(&remove);
            errors.extend(context.detach_everywhere());
            for group in [POD_GROUP, RETIRED_GROUP] {
                let delete = link::delete_group(group).or_missing();
                errors.extend(context.socket.run(&[delete]).err());
            }
            errors.extend(Execution::new(context, None).all_possible(&node::teardown()));
            Ok(errors)
        });
        let errors = removed
            .and_then(|removed| removed)
            .unwrap_or_else(|error: KernelError| vec![error]);
        Failure::first(doing, errors)?;
        *lock(&self.state) = NodeState::default();
        *lock(&self.rules) = Rules::default();
        self.reap()
    }

    /// Makes the chains of `set` exist; they may be empty, which lets nothing pass.
    fn ensure_chains(&self, set: &SecurityGroupSet) -> Result<(), KernelError> {
        let mut rules = lock(&self.rules);
        if rules.sets.contains_key(set) {
            return Ok(());
        }
        let plan = set_chain::ensure(set);
        let done = self
            .workers
            .run(move |context| Execution::new(context, None).all_or_nothing(&plan))?;
        done.map_err(|(error, _)| error)?;
        rules.sets.insert(set.clone(), None);
        Ok(())
    }

    /// The plan without what exists, so that undoing it spares what was there before.
    fn without_present(&self, doing: &str, plan: Plan) -> Result<Plan, Failure> {
        let observed = self.workers.run(observe::Observed::read);
        let present = observed
            .and_then(|observed| observed)
            .map_err(|error| Failure::clean(doing, error))?
            .objects;
        let is_new = |op: &Op| !matches!(op, Op::Add(object) if present.contains(object));
        Ok(plan.0.into_iter().filter(is_new).collect())
    }

    fn all_or_nothing(&self, doing: &str, plan: Plan) -> Result<(), Failure> {
        let done = self
            .workers
            .run(move |context| Execution::new(context, None).all_or_nothing(&plan));
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err((error, left))) => Err(Failure {
                doing: doing.to_owned(),
                error,
                left,
            }),
            Err(error) => Err(Failure::clean(doing, error)),
        }
    }

    fn all_possible(&self, doing: &str, plan: Plan) -> Result<(), Failure> {
        let done = self
            .workers
            .run(move |context| Execution::new(context, None).all_possible(&plan));
        match done {
            Ok(errors) => Failure::first(doing, errors),
            Err(error) => Err(Failure::clean(doing, error)),
        }
    }

    fn read_topology(&self) -> RwLockReadGuard<'_, ()> {
        self.topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_topology(&self) -> RwLockWriteGuard<'_, ()> {
        self.topology
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
