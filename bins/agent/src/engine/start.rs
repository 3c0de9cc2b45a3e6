//! From nothing to a running engine: where am I, what do I have, what did I promise, what stands.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::AtomicBool,
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use underlay_cloud::{Ec2, Imds};
use underlay_ipam::{Cooldown, Input, Ipam, SubnetRule};
use underlay_journal::{LeaseState, Promises, State, promises};
use underlay_netlink::{KernelError, Socket, link};
use underlay_netplan::{NodeFacts as KernelFacts, PodWiring};
use underlay_types::{EniId, Timestamp};

use super::{
    Engine,
    actor::{
        Actor, Looks, Mtus, Requests, SharedActor, Troubles, Vanished, audit_pause, last_egress,
        wait_and_use, wait_for_device, wiring,
    },
    auditor::{Auditor, living_namespace},
    calls::Caller,
    clock::{boot_time, wall_ms},
    groups::GroupRegister,
    journal::{Journal, JournalError},
    memory::{self, Memory},
    message::Message,
    node::{self, Found, NodeError},
    observation::EniFacts,
    policy::Keeper,
    snat,
    subnets::SubnetRegister,
};
use crate::{
    config::{
        Access, AddressConfig, BranchEniConfig, DriftConfig, EniConfig, PodConfig,
        SecurityGroupConfig, SnatConfig,
    },
    kernel::{Failure, Kernel, Restored},
};

/// Wishes about rules that may wait; one ENI more waits for its turn.
const POLICY_QUEUE: usize = 64;

/// What the engine is told once.
#[derive(Debug)]
pub struct EngineConfig {
    /// How many addresses to hold.
    pub addresses: AddressConfig,
    /// Which ENIs pods use, and where they are created.
    pub enis: EniConfig,
    /// Who may choose groups, and how often their rules are read.
    pub security_groups: SecurityGroupConfig,
    /// How pods are wired.
    pub pods: PodConfig,
    /// Whether pods have branch ENIs.
    pub branch_enis: BranchEniConfig,
    /// Which address pods have outside of the VPC.
    pub snat: SnatConfig,
    /// How often the node is looked at for drift.
    pub drift: DriftConfig,
    /// Where the journal lies; its folder exists.
    pub journal: PathBuf,
}

/// Why the engine cannot start. Nothing of running pods has been touched.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where the agent runs cannot be found out.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The primary ENI has no device here.
    #[error(
        "no network device has the Ethernet address {mac} of the instance's primary ENI; \
         the agent must run in the node's network namespace (hostNetwork)"
    )]
    NoDevice {
        /// The address.
        mac: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] Failure),
    /// The system has no thread for the engine.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Starts the engine: blocks until it can serve, then leaves the work to a thread of its own and to
/// tasks on `runtime`. `connect` makes the EC2 client for the instance's region.
///
/// # Errors
/// See [`StartError`].
pub(super) fn start(
    config: EngineConfig,
    kernel: Kernel,
    imds: &Imds,
    connect: impl FnOnce(&str) -> Result<Ec2, underlay_cloud::ec2::Ec2ConfigError>,
    runtime: Handle,
) -> Result<Engine, StartError> {
    let (journal, dropped) = Journal::open(&config.journal)?;
    if dropped > 0 {
        warn!(
            bytes = dropped,
            "dropped a record of the journal that was cut short"
        );
    }
    let asked = boot_time();
    let targets = &config.addresses.targets;
    let found = runtime.block_on(node::find(
        imds,
        connect,
        targets,
        &config.enis.subnets,
        memory::read(&memory::beside(&config.journal)),
    ))?;
    let identity = &found.node.identity;
    info!(instance = %identity.instance_id, kind = identity.instance_type, "running on EC2");
    let subnets = SubnetRegister::new(
        config.enis.subnets.clone(),
        found.ec2.clone(),
        &found.node,
        found.known.subnets.clone(),
    );
    runtime
        .block_on(subnets.look_first(&found.known.interfaces))
        .map_err(NodeError::Ec2)?;
    let (device, mtu) = primary_device(&found)?;
    let kernel = Arc::new(kernel);
    let prepared = runtime.block_on(snat::prepare(&config.snat, imds, &found.node, &kernel))?;
    let (snat, blocks) = prepared.unzip();
    let egress = snat::egress(&config.snat, &found.node);
    kernel.setup_node(&KernelFacts {
        primary_device: device,
        open_ports: config.security_groups.open_node_ports.clone(),
        families: found.node.families,
        pods_reach_metadata: config.pods.metadata == Access::Allow,
        snat,
        egress,
    })?;
    run(Parts {
        config,
        kernel,
        gives_egress: egress.is_some(),
        runtime,
        journal,
        asked,
        found,
        subnets: Arc::new(subnets),
        mtu,
        blocks,
    })
}

/// All that must be known before anything runs.
struct Parts {
    config: EngineConfig,
    kernel: Arc<Kernel>,
    runtime: Handle,
    journal: Journal,
    asked: Timestamp,
    found: Found,
    subnets: Arc<SubnetRegister>,
    mtu: u32,
    gives_egress: bool,
    /// Where packets of pods are translated.
    blocks: Option<snat::Keeper>,
}

fn run(parts: Parts) -> Result<Engine, StartError> {
    let Parts {
        config,
        kernel,
        runtime,
        journal,
        asked,
        found,
        subnets,
        mtu,
        gives_egress,
        blocks,
    } = parts;
    let (inbox, messages) = mpsc::channel();
    let (policies, wishes) = tokio::sync::mpsc::channel(POLICY_QUEUE);
    let (register, run_id) = (register(&config, &found), format!("{:x}", wall_ms()));
    let stop = CancellationToken::new();
    runtime.spawn(keeper(&config, &found, &kernel, &register).run(wishes, stop.clone()));
    runtime.spawn(snat::run(blocks, stop.clone()));
    let mut actor = Actor {
        ipam: Ipam::new(allocator_config(&config, &found)),
        enis: BTreeMap::new(),
        attached_again: BTreeSet::new(),
        eni_config: config.enis.clone(),
        mtus: Mtus::new(mtu, config.pods.mtu),
        caller: caller(&found, subnets),
        kernel: Arc::clone(&kernel),
        policies,
        runtime: runtime.clone(),
        inbox: inbox.clone(),
        looks: Looks::first_in(first_look(&found, journal.state(), &run_id)),
        run_id,
        cooldown: config.addresses.cooldown,
        add_wait: config.addresses.add_wait,
        requests: Requests::default(),
        gives_egress,
        last_egress: last_egress(journal.state()),
        retired: BTreeSet::new(),
        vanished: Vanished::default(),
        unended: BTreeSet::new(),
        troubles: Troubles::default(),
        notices: VecDeque::new(),
        notice_counts: BTreeMap::new(),
        memory: remember(&config, &found),
        unsettled: false,
        device_poll_at: Timestamp::ZERO,
        journal,
    };
    actor.restore(asked, &found, config.branch_enis);
    runtime.spawn(auditor(&config, &actor).run(stop.clone()));
    let (actor, thread) = run_apart(actor, inbox, messages).map_err(StartError::Thread)?;
    Ok(Engine {
        actor,
        kernel,
        register,
        runtime,
        stop,
        uninstalled: AtomicBool::new(false),
        thread: Mutex::new(Some(thread)),
    })
}

fn run_apart(
    actor: Actor,
    inbox: Sender<Message>,
    messages: Receiver<Message>,
) -> std::io::Result<(Arc<SharedActor>, JoinHandle<()>)> {
    let actor = Arc::new(SharedActor::new(actor, inbox));
    let runs = Arc::clone(&actor);
    let engine = std::thread::Builder::new().name("engine".to_owned());
    let thread = engine.spawn(move || runs.run(&messages))?;
    Ok((actor, thread))
}

fn caller(found: &Found, subnets: Arc<SubnetRegister>) -> Caller {
    Caller {
        ec2: found.ec2.clone(),
        node: Arc::clone(&found.node),
        subnets,
    }
}

fn register(config: &EngineConfig, found: &Found) -> Arc<GroupRegister> {
    let SecurityGroupConfig {
        allowed,
        poll_interval,
        ..
    } = &config.security_groups;
    let node = Arc::clone(&found.node);
    Arc::new(GroupRegister::new(
        allowed.clone(),
        *poll_interval,
        found.ec2.clone(),
        node,
    ))
}

fn auditor(config: &EngineConfig, actor: &Actor) -> Auditor {
    Auditor {
        kernel: Arc::clone(&actor.kernel),
        inbox: actor.inbox.clone(),
        interval: config.drift.interval,
    }
}

fn keeper(
    config: &EngineConfig,
    found: &Found,
    kernel: &Arc<Kernel>,
    register: &Arc<GroupRegister>,
) -> Keeper {
    Keeper {
        ec2: found.ec2.clone(),
        kernel: Arc::clone(kernel),
        register: Arc::clone(register),
        interval: config.security_groups.poll_interval,
        applied: BTreeMap::new(),
    }
}

/// The name and MTU of the primary ENI's device.
fn primary_device(found: &Found) -> Result<(String, u32), StartError> {
    let mac = found.node.identity.primary_mac;
    let look = || {
        let mut socket = Socket::open()?;
        link::by_mac(&mut socket, mac)
    };
    let link = look().map_err(|source| StartError::NoDevice {
        mac: mac.to_string(),
        source,
    })?;
    Ok((link.name, link.mtu))
}

fn remember(config: &EngineConfig, found: &Found) -> Memory {
    let path = memory::beside(&config.journal);
    Memory::new(path, found.known.clone())
}

/// What an earlier agent knew is looked at when it would have been. Else: a creation may have been
/// cut off by a kill, and its ENI appear only now.
fn first_look(found: &Found, state: &State, run_id: &str) -> Duration {
    if found.remembered {
        return audit_pause(run_id, 0);
    }
    Duration::from_secs(if state.creations.is_empty() { 120 } else { 10 })
}

fn allocator_config(config: &EngineConfig, found: &Found) -> underlay_ipam::Config {
    let addresses = &config.addresses;
    let told = underlay_ipam::Config {
        cooldown: addresses.cooldown,
        idle_release: addresses.idle_eni_after,
        default_groups: config.enis.security_groups.clone(),
        several_subnets: config.enis.subnets != SubnetRule::Node,
        ..addresses.targets.on(found.node.limits.clone())
    };
    if told.delegation != addresses.targets.delegation {
        let kind = &found.node.identity.instance_type;
        warn!(
            kind,
            "this type takes no prefixes: its ENIs get single addresses"
        );
    }
    told
}

impl Actor {
    /// Takes over what an earlier run left: leases first, so that no leased address is ever free.
    fn restore(&mut self, asked: Timestamp, found: &Found, branches: BranchEniConfig) {
        let state = self.journal.state();
        let Promises {
            leases,
            cooldowns,
            partings,
            places,
        } = promises(state, wall_ms(), boot_time(), self.cooldown);
        for cooldown in &cooldowns {
            self.retired.extend(cooldown.device.clone());
        }
        // Before anything changes by what is decided now.
        self.memory.note_subnets(self.caller.subnets.described());
        self.memory.write();
        let seen = self.read_interfaces(&found.known.interfaces);
        self.expect_enis(&cooldowns);
        self.feed(Input::Restore {
            leases,
            cooldowns,
            partings,
            places,
        });
        self.record_places();
        self.bring_back_pods(branches);
        self.feed(Input::Observed { asked, enis: seen });
    }

    /// ENIs whose pods are gone, and which may still be in a namespace that nobody could open.
    fn expect_enis(&self, cooldowns: &[Cooldown]) {
        for cooldown in cooldowns {
            let facts = self.enis.get(&cooldown.eni);
            let whole = facts.filter(|facts| facts.pool.is_whole());
            if let (Some(facts), Some(key)) = (whole, &cooldown.device) {
                self.kernel.expect_home(key, facts.mac);
            }
        }
    }

    /// Before the kernel is compared with the leases, it must know the ENIs. Only those with pods
    /// are worth a wait for their device.
    fn use_attached(&self) {
        let leases = &self.journal.state().leases;
        let with_pods: BTreeSet<_> = leases.values().map(|lease| &lease.eni).collect();
        let routed = |(eni, facts): &(&EniId, &EniFacts)| {
            (!facts.foreign || with_pods.contains(*eni)) && !facts.pool.is_whole()
        };
        for (eni, _) in self.enis.iter().filter(routed) {
            let Ok(wiring) = self.eni_wiring(eni) else {
                continue;
            };
            let used = if with_pods.contains(eni) {
                wait_and_use(&self.kernel, &wiring, &[])
            } else {
                self.kernel
                    .use_eni(&wiring)
                    .map_err(|failure| failure.to_string())
            };
            if let Err(reason) = used {
                warn!(%eni, reason, "an attached ENI cannot be used yet");
            }
        }
    }

    /// The trunk, where branch ENIs are used, or were: pods that have them go on.
    fn take_trunk_over(&self, branches: BranchEniConfig, standing: &[PodWiring]) {
        let with_branches = standing
            .iter()
            .filter(|pod| pod.interface.branch().is_some());
        let with_branches: Vec<_> = with_branches.cloned().collect();
        if !branches.enabled && with_branches.is_empty() {
            return;
        }
        let Some(trunk) = self.trunk() else {
            info!("no trunk ENI yet: it is looked for when a pod needs it");
            return;
        };
        let used = wait_for_device(|| self.kernel.use_trunk(&trunk, &with_branches));
        if let Err(reason) = used {
            warn!(eni = %trunk.eni, reason, "the trunk ENI cannot be used yet");
        }
    }

    /// Compares leases with the kernel. What was under way when the last run ended is undone: an
    /// ADD that nobody was answered, a DEL that will not be repeated.
    fn bring_back_pods(&mut self, branches: BranchEniConfig) {
        self.use_attached();
        let mut standing = Vec::new();
        let mut undone = Vec::new();
        self.bring_back_owners();
        for record in self.journal.state().leases.values() {
            match wiring(record, self.mtus.pod) {
                Ok(wiring) if wiring.whole().is_some() => {}
                Ok(wiring) if record.state == LeaseState::Active => standing.push(wiring),
                Ok(_) => undone.push(record.key.clone()),
                Err(error) => {
                    error!(key = %record.key, %error, "a lease of the journal cannot be restored");
                    undone.push(record.key.clone());
                }
            }
        }
        self.take_trunk_over(branches, &standing);
        let restored = self.kernel.restore(&standing).unwrap_or_else(|failure| {
            // Pods that stand go on; to end here would only keep new ones out.
            error!(%failure, "the node's pods are not all as they should be");
            self.note(failure.to_string());
            self.troubles.unrepaired.push(failure.to_string());
            Restored::default()
        });
        self.report_restored(&restored);
        let gone = restored
            .gone
            .into_iter()
            .filter(|pod| !self.wired_anew(pod));
        let gone = gone.map(|PodWiring { key, .. }| key).collect::<Vec<_>>();
        for key in undone.into_iter().chain(gone) {
            info!(%key, "a lease without a pod ends");
            self.wire_failed(&key);
        }
        let pods = self.journal.state().leases.len();
        info!(pods, "leases restored");
    }

    fn report_restored(&mut self, restored: &Restored) {
        for repair in &restored.repaired {
            info!(repair, "put right");
        }
        for refused in &restored.refused {
            error!(%refused, "the node's pods are not all as they should be");
            self.note(refused.to_string());
            self.troubles.unrepaired.push(refused.to_string());
        }
        for stray in &restored.strays {
            info!(device = stray, "a device without a lease goes");
        }
    }

    /// The same for pods that own an ENI: of these nothing stands on the node. One whose ENI is in
    /// the node's namespace has lost it, with its own namespace or alone; the others have theirs.
    fn bring_back_owners(&mut self) {
        let leases = self.journal.state().leases.values();
        let owners = leases.filter(|record| !record.interface.is_shared());
        let owners: Vec<_> = owners.map(|record| record.key.clone()).collect();
        for held in owners
            .iter()
            .filter_map(|key| self.held(key))
            .collect::<Vec<_>>()
        {
            let Some(eni) = held.wiring.whole() else {
                continue;
            };
            if held.state == LeaseState::Active {
                match self.kernel.is_home(eni.mac) {
                    Ok(false) => continue,
                    Ok(true) if self.give_again(&held) => continue,
                    Ok(true) => {}
                    Err(failure) => {
                        error!(%failure, "a pod's ENI cannot be looked for");
                        continue;
                    }
                }
            }
            let key = &held.wiring.key;
            let netns = held.namespace();
            let netns: Vec<_> = netns.iter().map(AsFd::as_fd).collect();
            match self.kernel.unwire_pod_in(&held.wiring, &netns) {
                Ok(()) => {
                    info!(%key, "a lease without a pod ends");
                    self.wire_failed(key);
                }
                // The runtime's DEL tries again.
                Err(failure) => error!(%key, %failure, "an ENI cannot be taken back"),
            }
        }
    }

    /// Wires a pod again whose device was deleted while its namespace lives.
    fn wired_anew(&self, pod: &PodWiring) -> bool {
        let Some(netns) = self.held(&pod.key).as_ref().and_then(living_namespace) else {
            return false;
        };
        match self.kernel.wire_pod(pod, netns.as_fd()) {
            Ok(()) => {
                warn!(key = %pod.key, "its device was deleted: wired anew");
                true
            }
            Err(failure) => {
                error!(%failure, "a pod without its device cannot be wired anew");
                false
            }
        }
    }
}
