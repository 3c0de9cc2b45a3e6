//! The side that decides and acts: allocator, journal, EC2, policy refresh.
//!
//! The actor owns the allocator and the journal, and does one thing at a time. EC2 calls are tasks,
//! kernel work is done on the threads that ask for it; both tell the actor what came of them. An ADD
//! is: reserve (the intent is recorded), wire, record, answer; whatever fails on the way undoes the
//! rest.

mod actor;
mod auditor;
mod calls;
mod clock;
mod groups;
mod journal;
mod memory;
mod message;
mod node;
mod observation;
mod policy;
mod snat;
mod start;
mod subnets;

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use underlay_cloud::{Ec2, Imds};
use underlay_journal::LeaseState;
use underlay_netlink::{Socket, netns};
use underlay_types::{Families, Interface, KubernetesPod, LeaseKey, NetworkName, SecurityGroupSet};

use self::{
    actor::SharedActor,
    clock::boot_time,
    groups::GroupRegister,
    message::{Granted, Held, Message, Reply, Reserve, Unavailable, Wired},
};
pub use self::{
    journal::JournalError,
    node::NodeError,
    start::{EngineConfig, StartError},
};
use crate::{
    kernel::{Failure, Kernel},
    service::{
        Attachment, HostEnd, ListedLease, Measures, NodeService, PodRequest, ServiceError,
        milliseconds,
    },
    waiting::while_waiting,
};

/// How long EC2 may take to tell about a group.
const GROUP_DEADLINE: Duration = Duration::from_secs(20);
/// A drain is waited for no longer than this, whatever was asked.
const DRAIN_MAX: Duration = Duration::from_hours(24);
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// The running engine. Stops when dropped; pods stay as they are.
#[derive(Debug)]
pub struct Engine {
    actor: Arc<SharedActor>,
    kernel: Arc<Kernel>,
    register: Arc<GroupRegister>,
    runtime: Handle,
    stop: CancellationToken,
    /// The node's tables and rules may be gone; only a start makes them again.
    uninstalled: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Has the next start ask EC2 what this instance has, whatever an earlier agent knew.
    pub fn forget_ec2(journal: &Path) {
        memory::forget(&memory::beside(journal));
    }

    /// Starts the engine on the instance it runs on: blocks until it can serve. `connect` makes the
    /// EC2 client for the instance's region.
    ///
    /// # Errors
    /// See [`StartError`]; nothing of running pods has been touched then.
    pub fn start(
        config: EngineConfig,
        kernel: Kernel,
        imds: &Imds,
        connect: impl FnOnce(&str) -> Result<Ec2, underlay_cloud::ec2::Ec2ConfigError>,
        runtime: Handle,
    ) -> Result<Self, StartError> {
        start::start(config, kernel, imds, connect, runtime)
    }

    fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, ServiceError> {
        let (reply, answer) = sync_channel(1);
        let stopping = || ServiceError::NotReady {
            message: "the agent is stopping".to_owned(),
        };
        if !self.actor.take(message(reply)) {
            return Err(stopping());
        }
        let answered = match answer.try_recv() {
            Err(TryRecvError::Empty) => while_waiting(|| answer.recv().ok()),
            at_once => at_once.ok(),
        };
        answered.ok_or_else(stopping)
    }

    fn tell(&self, message: Message) {
        if !self.actor.take(message) {
            warn!("the agent is stopping; the next start will see what is left");
        }
    }

    /// No call to EC2 for groups that were found good before.
    fn check_groups(&self, set: &SecurityGroupSet) -> Result<(), ServiceError> {
        if self.register.knows(set) {
            return Ok(());
        }
        let (tell, verdict) = sync_channel(1);
        let (register, set) = (Arc::clone(&self.register), set.clone());
        self.runtime.spawn(async move {
            // The asker may have given up.
            drop(tell.send(register.check(&set).await));
        });
        while_waiting(|| verdict.recv_timeout(GROUP_DEADLINE)).unwrap_or_else(|_| {
            let message =
                format!("EC2 did not tell about the security groups in {GROUP_DEADLINE:?}");
            Err(ServiceError::NoAddress { message })
        })
    }

    /// Wires the pod; on a repeated ADD only where the first one's wiring no longer stands.
    fn wire(
        &self,
        granted: &Granted,
        request: &PodRequest,
        cookie: u64,
        inside: Socket,
    ) -> Result<Option<Families>, Failure> {
        let Granted { held, repeated } = granted;
        let netns = request.netns.as_fd();
        if *repeated {
            let same = held.netns_cookie == cookie && held.state == LeaseState::Active;
            if same && self.kernel.check_pod(&held.wiring, netns)?.is_empty() {
                return Ok(held.wiring.second_in);
            }
            self.unwire(held, Some(netns))?;
        }
        self.kernel.wire_pod_by(&held.wiring, netns, inside)
    }

    /// Takes a pod off the network; `given` is its namespace as far as the caller knows. Only an ENI
    /// that the pod owns must be looked for: in that namespace, and in the one it was given in.
    fn unwire(&self, held: &Held, given: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
        let known = held.namespace();
        let known = known.as_ref().map(AsFd::as_fd);
        let namespaces: Vec<_> = given.into_iter().chain(known).collect();
        self.kernel.unwire_pod_in(&held.wiring, &namespaces)
    }

    fn try_add(&self, request: PodRequest, wait: Duration) -> Result<Held, ServiceError> {
        if let Some(set) = request.pool.explicit_set() {
            self.check_groups(set)?;
        }
        if request.branch.is_some() {
            self.use_trunk(wait)?;
        }
        // One way into the namespace, for its cookie and for what is set up in it.
        let inside = self.kernel.socket_in(request.netns.as_fd());
        let inside = inside.map_err(|failure| kernel_error(&failure))?;
        let cookie = inside
            .netns_cookie()
            .map_err(|error| ServiceError::Kernel {
                message: error.to_string(),
            })?;
        let wish = Box::new(Reserve {
            key: request.key.clone(),
            pool: request.pool.clone(),
            branch: request.branch.clone(),
            pod: request.pod.clone(),
            netns_path: request.netns_path.clone(),
            netns_cookie: cookie,
            deadline: boot_time() + wait,
        });
        let mut granted = self.ask(|reply| Message::Reserve(wish, reply))??;
        let key = &request.key;
        match self.wire(&granted, &request, cookie, inside) {
            Ok(second_in) => granted.held.wiring.second_in = second_in,
            Err(failure) => {
                // What still stands keeps its address until the runtime's DEL takes it down.
                if failure.left.is_empty() {
                    self.tell(Message::WireFailed(key.clone()));
                }
                return Err(kernel_error(&failure));
            }
        }
        let wired = Wired {
            key: key.clone(),
            slot: granted.held.wiring.eni,
            netns_path: request.netns_path.clone(),
            netns_cookie: cookie,
            second_in: granted.held.wiring.second_in,
        };
        let active = self
            .ask(|reply| Message::Wired(wired, reply))
            .and_then(|recorded| recorded);
        if let Err(error) = active {
            match self.unwire(&granted.held, Some(request.netns.as_fd())) {
                Ok(()) => self.tell(Message::WireFailed(key.clone())),
                Err(failure) => {
                    warn!(%key, %failure, "a pod that could not be recorded is wired until its DEL");
                }
            }
            return Err(error);
        }
        Ok(granted.held)
    }

    /// Brings the trunk into use, if it is not. EC2 is asked only while nobody knows of a trunk.
    fn use_trunk(&self, wait: Duration) -> Result<(), ServiceError> {
        let no_address = |message| ServiceError::NoAddress { message };
        let mut trunk = self.ask(Message::Trunk)?;
        if trunk.is_none() {
            // It may have been attached since the last look.
            let (looked, look) = sync_channel(1);
            self.tell(Message::ObserveNow(looked));
            if while_waiting(|| look.recv_timeout(wait)).is_err() {
                return Err(no_address(
                    "EC2 does not say whether there is a trunk ENI".to_owned(),
                ));
            }
            trunk = self.ask(Message::Trunk)?;
        }
        let trunk = trunk.ok_or_else(|| no_address(actor::no_trunk()))?;
        if self.kernel.trunk().as_ref() == Some(&trunk) {
            return Ok(());
        }
        actor::wait_for_device(|| self.kernel.use_trunk(&trunk, &[])).map_err(no_address)
    }

    fn try_del(
        &self,
        key: &LeaseKey,
        turn: Option<u64>,
        netns: Option<&OwnedFd>,
    ) -> Result<Option<Held>, ServiceError> {
        let held = self.ask(|reply| Message::BeginDel(key.clone(), turn, reply))??;
        if let Some(held) = &held {
            self.unwire(held, netns.map(AsFd::as_fd))
                .map_err(|failure| kernel_error(&failure))?;
            self.ask(|reply| Message::Unwired(key.clone(), reply))??;
        }
        Ok(held)
    }

    /// Ends a lease; one that was listed only if it is of this turn still.
    fn end(
        &self,
        key: &LeaseKey,
        turn: Option<u64>,
        netns: Option<OwnedFd>,
    ) -> Result<(), ServiceError> {
        let begun = Instant::now();
        let result = self.try_del(key, turn, netns.as_ref());
        let milliseconds = milliseconds(begun.elapsed());
        match result {
            Ok(Some(held)) => {
                let (namespace, pod) = names(held.pod.as_ref());
                let (addresses, eni, pool) = (held.wiring.addresses, &held.eni, &held.pool);
                info!(%key, namespace, pod, %pool, %addresses, %eni, milliseconds, "DEL");
                Ok(())
            }
            Ok(None) => {
                tracing::debug!(%key, milliseconds, "DEL of an interface without a lease");
                Ok(())
            }
            Err(error) => {
                // What could not be ended is still there.
                let held = self.ask(|reply| Message::Held(key.clone(), reply));
                let pod = held.ok().flatten().and_then(|held| held.pod);
                let (namespace, pod) = names(pod.as_ref());
                warn!(%key, namespace, pod, %error, milliseconds, "DEL failed");
                Err(error)
            }
        }
    }

    fn del_all(&self, keys: Vec<LeaseKey>) -> Result<(), ServiceError> {
        // The first failure is told; the rest is removed all the same.
        let results: Vec<_> = keys.iter().map(|key| self.del(key, None)).collect();
        results.into_iter().collect()
    }
}

impl NodeService for Engine {
    fn adopt_thread(&self) {
        self.kernel.adopt_thread();
    }

    fn add(&self, request: PodRequest, wait: Duration) -> Result<Attachment, ServiceError> {
        self.try_add(request, wait).map(attachment)
    }

    fn settle(&self) {
        self.tell(Message::Settle);
    }

    fn del(&self, key: &LeaseKey, netns: Option<OwnedFd>) -> Result<(), ServiceError> {
        self.end(key, None, netns)
    }

    fn check(&self, key: &LeaseKey, netns: OwnedFd) -> Result<Attachment, ServiceError> {
        let differs = |message| Err(ServiceError::Differs { message });
        let held = self.ask(|reply| Message::Held(key.clone(), reply))?;
        let Some(held) = held.filter(|held| held.state == LeaseState::Active) else {
            return differs(format!("{key} has no lease"));
        };
        let cookie = netns::cookie(netns.as_fd()).map_err(|error| ServiceError::Kernel {
            message: error.to_string(),
        })?;
        if cookie != held.netns_cookie {
            return differs(format!("{key} was wired in another network namespace"));
        }
        let differences = self
            .kernel
            .check_pod(&held.wiring, netns.as_fd())
            .map_err(|failure| kernel_error(&failure))?;
        if differences.is_empty() {
            Ok(attachment(held))
        } else {
            differs(differences.join("; "))
        }
    }

    fn garbage(
        &self,
        network: &NetworkName,
        valid: &BTreeSet<LeaseKey>,
    ) -> Result<Vec<ListedLease>, ServiceError> {
        let mut leases = self.ask(|reply| Message::Listed(network.clone(), reply))?;
        leases.retain(|lease| !valid.contains(&lease.key));
        Ok(leases)
    }

    fn collect(&self, lease: &ListedLease) -> Result<(), ServiceError> {
        self.end(&lease.key, Some(lease.turn), None)
    }

    fn status(&self) -> Result<(), ServiceError> {
        self.ask(Message::Availability)?
            .map_err(|Unavailable { message, cut_off }| {
                if cut_off {
                    ServiceError::CutOff { message }
                } else {
                    ServiceError::NoAddress { message }
                }
            })
    }

    fn node_status(&self) -> serde_json::Value {
        self.ask(Message::Status)
            .unwrap_or_else(|error| serde_json::json!({ "waits_for": [error.to_string()] }))
    }

    fn measures(&self) -> Result<Measures, ServiceError> {
        self.ask(Message::Measure)
    }

    fn drain(&self, deadline: Duration) -> Result<(), ServiceError> {
        let end = Instant::now() + deadline.min(DRAIN_MAX);
        self.tell(Message::Drain(true));
        loop {
            let left = self.ask(Message::NotDrained)?;
            if left.is_empty() {
                info!("drained: every ENI is given back");
                return Ok(());
            }
            if Instant::now() >= end {
                let message = format!("not drained in {deadline:?}: {}", left.join("; "));
                return Err(ServiceError::NotReady { message });
            }
            while_waiting(|| std::thread::sleep(DRAIN_POLL));
        }
    }

    fn resume(&self) -> Result<(), ServiceError> {
        if self.uninstalled.load(Ordering::SeqCst) {
            let message = "the node was uninstalled: start the agent again to use it".to_owned();
            return Err(ServiceError::NotReady { message });
        }
        self.tell(Message::Drain(false));
        info!("drained no more: the node grows again");
        Ok(())
    }

    fn uninstall(&self, deadline: Duration) -> Result<(), ServiceError> {
        self.uninstalled.store(true, Ordering::SeqCst);
        let end = Instant::now() + deadline.min(DRAIN_MAX);
        self.tell(Message::Drain(true));
        let keys = self.ask(Message::Keys)?;
        self.del_all(keys)?;
        self.kernel
            .reap()
            .map_err(|failure| kernel_error(&failure))?;
        self.drain(end.saturating_duration_since(Instant::now()))?;
        self.kernel
            .uninstall()
            .map_err(|failure| kernel_error(&failure))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
        // Whoever still waits for the actor is answered by the end of its channel.
        self.actor.post(Message::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            warn!("the engine's thread panicked");
        }
    }
}

fn attachment(held: Held) -> Attachment {
    let Held { wiring, eni, .. } = held;
    let (host, pod_mac) = match wiring.interface {
        Interface::Shared | Interface::Branch(_) => {
            let host = HostEnd {
                ifname: wiring.host_device(),
                mac: wiring.host_mac(),
            };
            (Some(host), wiring.pod_mac())
        }
        Interface::Whole(eni) => (None, eni.mac),
    };
    Attachment {
        addresses: wiring.addresses,
        ips: wiring.ips().collect(),
        second_in: wiring.second_in,
        eni,
        host,
        pod_mac,
        mtu: wiring.mtu,
    }
}

/// The pod's namespace and name for the log; empty where the runtime did not say.
fn names(pod: Option<&KubernetesPod>) -> (String, String) {
    pod.map(|pod| (pod.namespace.clone(), pod.name.clone()))
        .unwrap_or_default()
}

fn kernel_error(failure: &Failure) -> ServiceError {
    let mut message = failure.to_string();
    for left in &failure.left {
        message.push_str(&format!("; left behind: {left}"));
    }
    ServiceError::Kernel { message }
}
