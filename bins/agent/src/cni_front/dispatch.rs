//! From a request to its answer.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use underlay_agent_api::{Answer, NodeCommand, OLDEST_PROTOCOL, PROTOCOL, Request};
use underlay_cni_spec::{
    CniError, CniVersion, Command, ConfigHead, Environment, ErrorCode, NetworkConfig,
    supported_versions_json,
};
use underlay_netlink::netns;
use underlay_types::{LeaseKey, PoolKey};

use super::{
    added::Added,
    branch_annotation::{self, BranchUse},
    conflist::Conflist,
    key_locks::KeyLocks,
    node_commands,
    outcome::{add_result, error, worded_for_del},
    pod_request::{kubernetes_pod, lease_key, pool_key},
    tombstones::Tombstones,
};
use crate::{
    config::Access,
    metrics::Metrics,
    service::{ListedLease, NodeService, PodRequest, ServiceError},
};

/// Answers requests, any number at a time.
pub(super) struct Dispatch {
    pub(super) service: Arc<dyn NodeService>,
    pub(super) add_wait: Duration,
    pub(super) groups_per_eni: usize,
    pub(super) own_eni: Access,
    /// How pods have branch ENIs; `None` where they get none.
    pub(super) branch_enis: Option<BranchUse>,
    pub(super) conflist: Conflist,
    pub(super) tombstones: Tombstones,
    pub(super) locks: KeyLocks<LeaseKey>,
    pub(super) metrics: Arc<Metrics>,
    /// The agent's own network namespace, in which no pod may be wired.
    pub(super) own_netns: OwnedFd,
}

/// A CNI request, parsed.
struct Call {
    environment: Environment,
    config: NetworkConfig,
}

impl Dispatch {
    /// Answers `request`, with which `fd` came, by `give`; `is_awaited` says whether the client is
    /// still there. What is told about the call is told when its client has the answer.
    pub(super) fn answer<T>(
        &self,
        request: &Request,
        fd: Option<OwnedFd>,
        is_awaited: &dyn Fn() -> bool,
        give: impl FnOnce(&Answer) -> T,
    ) -> T {
        let start = Instant::now();
        let mut added = None;
        let (answer, code) = self.answer_any(request, fd, is_awaited, &mut added);
        let took = start.elapsed();
        let given = give(&answer);
        if let Ok(command) = request.command.parse::<Command>() {
            self.metrics.called(command.as_str(), code, took);
        }
        if let Some(added) = added {
            self.service.settle();
            added.tell(took);
        }
        let container = request
            .env
            .get("CNI_CONTAINERID")
            .map_or("", String::as_str);
        let milliseconds = took.as_millis();
        if answer.exit == 0 {
            tracing::debug!(command = request.command, container, milliseconds, "served");
        } else {
            let answer = answer.stdout.as_str();
            tracing::warn!(
                command = request.command,
                container,
                milliseconds,
                answer,
                "refused"
            );
        }
        given
    }

    fn answer_any(
        &self,
        request: &Request,
        fd: Option<OwnedFd>,
        is_awaited: &dyn Fn() -> bool,
        added: &mut Option<Added>,
    ) -> (Answer, u16) {
        if let Ok(command) = request.command.parse::<NodeCommand>() {
            let (service, conflist) = (&*self.service, &self.conflist);
            let answer = node_commands::answer(command, &request.stdin, service, conflist);
            return (answer, 0);
        }
        match self.cni(request, fd, is_awaited, added) {
            Ok(stdout) => (Answer::new(0, stdout), 0),
            Err(error) => {
                let code = error.code.number();
                let error = if request.command == Command::Del.as_str() {
                    worded_for_del(error)
                } else {
                    error
                };
                (Answer::new(1, error.to_json(version(request))), code)
            }
        }
    }

    fn cni(
        &self,
        request: &Request,
        fd: Option<OwnedFd>,
        is_awaited: &dyn Fn() -> bool,
        added: &mut Option<Added>,
    ) -> Result<String, CniError> {
        check_protocol(request.proto)?;
        let command: Command = request.command.parse()?;
        let call = match command {
            Command::Version => return Ok(supported_versions_json(version(request))),
            _ => Call::parse(command, request)?,
        };
        match command {
            Command::Add => return self.add(&call, fd, is_awaited, added),
            Command::Del => self.del(&call, fd)?,
            Command::Check => self.check(&call, fd)?,
            Command::Gc => self.gc(&call.config)?,
            Command::Status => self.service.status().map_err(|e| error(command, &e))?,
            Command::Version => {}
        }
        Ok(String::new())
    }

    fn add(
        &self,
        call: &Call,
        fd: Option<OwnedFd>,
        is_awaited: &dyn Fn() -> bool,
        added: &mut Option<Added>,
    ) -> Result<String, CniError> {
        let key = lease_key(&call.environment, &call.config)?;
        let branch = branch_annotation::branch(&call.config, self.branch_enis)?;
        let pool = pool_key(&call.config, self.groups_per_eni, self.own_eni)?;
        if branch.is_some() && pool != PoolKey::default_pool() {
            let message = "a pod with a branch ENI has that ENI's groups: it cannot choose others, \
                           nor a whole ENI or a network card, too";
            return Err(CniError::new(ErrorCode::InvalidConfig, message));
        }
        let pod = kubernetes_pod(&call.environment)?;
        let (netns, netns_path) = self.pod_netns(call, fd)?;
        let details = match &pod {
            Some(pod) => format!("pod {}/{}, pool {pool}", pod.namespace, pod.name),
            None => format!("{key}, pool {pool}"),
        };
        let attachment = self.locks.hold(&key, || {
            // A runtime sends its DEL only when this ADD's plugin has ended. That DEL may have run
            // already, while this call waited; nothing would ever undo the ADD then.
            if !is_awaited() {
                let message = "the plugin ended before its ADD began".to_owned();
                return Err(ServiceError::NotReady { message });
            }
            // The runtime did not wait for a DEL that is still pending: it comes first.
            if self.tombstones.exists(&key) {
                self.service.del(&key, None)?;
                self.tombstones.remove(&key);
            }
            let request = PodRequest {
                key: key.clone(),
                pool: pool.clone(),
                branch,
                netns,
                netns_path: netns_path.clone(),
                pod: pod.clone(),
            };
            let attachment = self.service.add(request, self.add_wait);
            *added = Some(Added::new(key.clone(), pod, pool, &attachment));
            attachment
        });
        let attachment = attachment.map_err(|e| error(Command::Add, &e).with_details(details))?;
        let previous = call.config.previous.as_ref();
        Ok(
            add_result(&attachment, &key.ifname, &netns_path)
                .to_json(call.config.version, previous),
        )
    }

    fn del(&self, call: &Call, fd: Option<OwnedFd>) -> Result<(), CniError> {
        let key = lease_key(&call.environment, &call.config)?;
        // A namespace that is none, or the agent's, is one that is gone: nothing is touched in it.
        let netns = fd.filter(|fd| self.is_pods(fd));
        self.locks.hold(&key, || {
            self.service
                .del(&key, netns)
                .map_err(|e| error(Command::Del, &e))?;
            self.tombstones.remove(&key);
            Ok(())
        })
    }

    /// Carries out a DEL that was left while no agent was there, if it still stands.
    pub(super) fn bury(&self, file: &str, request: &Request) -> Result<(), CniError> {
        check_protocol(request.proto)?;
        let call = Call::parse(Command::Del, request)?;
        let key = lease_key(&call.environment, &call.config)?;
        self.locks.hold(&key, || {
            // A DEL or ADD may have taken it up since it was read.
            if self.tombstones.exists(&key) {
                self.service
                    .del(&key, None)
                    .map_err(|e| error(Command::Del, &e))?;
            }
            self.tombstones.remove_file(file);
            Ok(())
        })
    }

    fn check(&self, call: &Call, fd: Option<OwnedFd>) -> Result<(), CniError> {
        let key = lease_key(&call.environment, &call.config)?;
        let (netns, netns_path) = self.pod_netns(call, fd)?;
        let attachment = self
            .locks
            .hold(&key, || self.service.check(&key, netns))
            .map_err(|e| error(Command::Check, &e))?;
        let result = add_result(&attachment, &key.ifname, &netns_path);
        let previous = call.config.previous.as_ref();
        let missing = previous.map_or_else(Vec::new, |previous| result.missing_in(previous));
        if missing.is_empty() {
            return Ok(());
        }
        Err(CniError::new(ErrorCode::Differs, missing.join("; ")))
    }

    fn gc(&self, config: &NetworkConfig) -> Result<(), CniError> {
        let network = &config.name;
        let keys = config
            .valid_attachments
            .iter()
            .map(|(container, ifname)| LeaseKey {
                network: network.clone(),
                container: container.clone(),
                ifname: ifname.clone(),
            });
        let valid: BTreeSet<LeaseKey> = keys.collect();
        let garbage = self.service.garbage(network, &valid);
        let garbage = garbage.map_err(|e| error(Command::Gc, &e))?;
        let collect = |lease: &ListedLease| {
            let collected = self.locks.hold(&lease.key, || self.service.collect(lease));
            collected.map_err(|e| error(Command::Gc, &e))
        };
        // The first failure is told; the rest is removed all the same.
        let results: Vec<_> = garbage.iter().map(collect).collect();
        results.into_iter().collect()
    }

    fn is_pods(&self, fd: &OwnedFd) -> bool {
        netns::is_netns(fd.as_fd()) && !netns::is_same(fd.as_fd(), self.own_netns.as_fd())
    }

    /// The pod's namespace and its path.
    fn pod_netns(&self, call: &Call, fd: Option<OwnedFd>) -> Result<(OwnedFd, String), CniError> {
        let path = call.environment.netns.clone().unwrap_or_default();
        let wrong = |what: &str| {
            CniError::new(
                ErrorCode::InvalidEnvironment,
                format!("CNI_NETNS: {path} {what}"),
            )
        };
        let fd = fd.ok_or_else(|| wrong("came without a descriptor"))?;
        if !netns::is_netns(fd.as_fd()) {
            return Err(wrong("is not a network namespace"));
        }
        if netns::is_same(fd.as_fd(), self.own_netns.as_fd()) {
            return Err(wrong("is the node's network namespace, not a pod's"));
        }
        Ok((fd, path))
    }
}

impl Call {
    fn parse(command: Command, request: &Request) -> Result<Self, CniError> {
        // The configuration first: its version is needed to answer in.
        let config = NetworkConfig::parse(command, &request.stdin)?;
        let environment = Environment::parse(command, &request.env)?;
        Ok(Self {
            environment,
            config,
        })
    }
}

/// The version to answer in where the whole configuration need not be good.
fn version(request: &Request) -> CniVersion {
    ConfigHead::parse(&request.stdin).map_or(CniVersion::NEWEST, |head| head.answer_version())
}

fn check_protocol(proto: u32) -> Result<(), CniError> {
    if (OLDEST_PROTOCOL..=PROTOCOL).contains(&proto) {
        return Ok(());
    }
    let msg =
        format!("the plugin speaks protocol {proto}, this agent {OLDEST_PROTOCOL} to {PROTOCOL}");
    Err(CniError::new(ErrorCode::TryAgainLater, msg)
        .with_details("plugin and agent are of different releases; is an upgrade under way?"))
}
