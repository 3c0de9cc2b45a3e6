//! Rules of explicit sets, read from EC2 and applied between pods of one node.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use underlay_cloud::{
    Ec2,
    ec2::{RulePeer, SecurityGroupRule},
};
use underlay_policy::{Compiled, Direction, Peer, Rule, Traffic};
use underlay_types::{SecurityGroupId, SecurityGroupSet};

use super::groups::GroupRegister;
use crate::kernel::Kernel;

/// How soon to ask again after a set's first rules could not be read or applied.
const RETRY: Duration = Duration::from_secs(1);

/// A wish of the engine.
#[derive(Debug)]
pub(super) enum Request {
    /// The node has an ENI of this set: keep its rules. Answered after the first try.
    Keep(SecurityGroupSet, oneshot::Sender<()>),
    /// It has none any more.
    Forget(SecurityGroupSet),
}

/// Keeps the node's rules like EC2's, by a poll.
pub(super) struct Keeper {
    pub(super) ec2: Ec2,
    pub(super) kernel: Arc<Kernel>,
    pub(super) register: Arc<GroupRegister>,
    pub(super) interval: Duration,
    /// What stands in the kernel; `None` is nothing yet: pods of the set may send nothing.
    pub(super) applied: BTreeMap<SecurityGroupSet, Option<Compiled>>,
}

impl Keeper {
    /// Runs until `stop`, or until nobody can ask any more.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) {
        let mut poll_at = Instant::now() + self.interval;
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(poll_at), if !self.applied.is_empty() => None,
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
            };
            match request {
                Some(Request::Keep(set, first_try)) => {
                    if !matches!(self.applied.get(&set), Some(Some(_))) {
                        self.applied.entry(set.clone()).or_insert(None);
                        self.refresh(std::slice::from_ref(&set)).await;
                    }
                    if first_try.send(()).is_err() {
                        warn!(%set, "the first rules of a set came late");
                    }
                }
                Some(Request::Forget(set)) => {
                    self.applied.remove(&set);
                }
                None => self.poll().await,
            }
            let pending = self.applied.values().any(Option::is_none);
            poll_at = Instant::now() + if pending { RETRY } else { self.interval };
        }
    }

    async fn poll(&mut self) {
        let sets: Vec<SecurityGroupSet> = self.applied.keys().cloned().collect();
        self.refresh(&sets).await;
        let groups = sets
            .iter()
            .flat_map(|set| set.as_slice().iter().cloned())
            .collect();
        for error in self.register.check_again(&groups).await {
            warn!(%error, "a group in use is not good for new pods");
        }
    }

    async fn refresh(&mut self, sets: &[SecurityGroupSet]) {
        let mut groups: Vec<SecurityGroupId> = sets
            .iter()
            .flat_map(|set| set.as_slice().iter().cloned())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let rules = match self.ec2.describe_security_group_rules(&groups).await {
            Ok(rules) => rules,
            Err(error) => {
                warn!(%error, "cannot read security-group rules; those applied stay");
                return;
            }
        };
        for set in sets {
            let own: Vec<Rule> = rules
                .iter()
                .filter(|rule| set.contains(&rule.group))
                .filter_map(read)
                .collect();
            let compiled = Compiled::new(&own, set);
            if self.applied.get(set) == Some(&Some(compiled.clone())) {
                continue;
            }
            let kernel = Arc::clone(&self.kernel);
            let work = (set.clone(), compiled.clone());
            let applied =
                tokio::task::spawn_blocking(move || kernel.set_policy(&work.0, &work.1)).await;
            match applied {
                Ok(Ok(())) => {
                    info!(%set, rules = own.len(), "rules of a set applied");
                    self.applied.insert(set.clone(), Some(compiled));
                }
                Ok(Err(error)) => warn!(%set, %error, "cannot apply the rules of a set"),
                Err(error) => warn!(%set, %error, "applying the rules of a set was broken off"),
            }
        }
    }
}

/// A rule that cannot be read allows nothing.
fn read(rule: &SecurityGroupRule) -> Option<Rule> {
    let protocol = rule
        .protocol
        .map_or_else(|| "-1".to_owned(), |number| number.to_string());
    let bound = |port: i32| (port != -1).then_some(port);
    let traffic = Traffic::from_ec2(&protocol, bound(rule.from_port), bound(rule.to_port));
    let traffic = traffic
        .inspect_err(|error| warn!(rule = %rule.id, %error, "a rule that allows nothing"))
        .ok()?;
    let peer = match &rule.peer {
        RulePeer::Group(group) => Peer::Group(group.clone()),
        RulePeer::Ipv4(net) => Peer::Cidr((*net).into()),
        RulePeer::Ipv6(net) => Peer::Cidr((*net).into()),
        // The blocks of a prefix list are not read yet: it allows nothing between local pods.
        RulePeer::PrefixList(_) => Peer::PrefixList(Vec::new()),
    };
    let direction = if rule.egress {
        Direction::Egress
    } else {
        Direction::Ingress
    };
    Some(Rule {
        direction,
        traffic,
        peer,
    })
}
