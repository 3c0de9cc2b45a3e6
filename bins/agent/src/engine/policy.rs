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

/// When to poll: no wish puts it off.
#[derive(Debug, PartialEq, Eq)]
struct Timer {
    poll_at: Instant,
    /// Sooner, while rules are pending.
    retry_at: Option<Instant>,
}

impl Timer {
    /// Starts with a poll that ended, or was not needed, at `now`.
    fn new(now: Instant, interval: Duration) -> Self {
        Self {
            poll_at: now + interval,
            retry_at: None,
        }
    }

    fn note_pending(&mut self, now: Instant, pending: bool) {
        self.retry_at = pending.then(|| self.retry_at.unwrap_or(now + RETRY));
    }

    fn due(&self) -> Instant {
        self.retry_at
            .map_or(self.poll_at, |retry| retry.min(self.poll_at))
    }
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
        let mut timer = Timer::new(Instant::now(), self.interval);
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(timer.due()), if !self.applied.is_empty() => None,
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
            };
            match request {
                Some(Request::Keep(set, first_try)) => {
                    if self.applied.is_empty() {
                        timer = Timer::new(Instant::now(), self.interval);
                    }
                    // Applied again even if known: the last ENI of the set may have left since,
                    // and the kernel's chains of the set with it.
                    match self.applied.get(&set).cloned().flatten() {
                        Some(compiled) => self.apply(&set, compiled).await,
                        None => {
                            self.applied.insert(set.clone(), None);
                            self.refresh(std::slice::from_ref(&set)).await;
                        }
                    }
                    if first_try.send(()).is_err() {
                        warn!(%set, "the first rules of a set came late");
                    }
                }
                Some(Request::Forget(set)) => {
                    self.applied.remove(&set);
                }
                None => {
                    self.poll().await;
                    timer = Timer::new(Instant::now(), self.interval);
                }
            }
            let pending = self.applied.values().any(Option::is_none);
            timer.note_pending(Instant::now(), pending);
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
            info!(%set, rules = own.len(), "the rules of a set are new");
            self.apply(set, compiled).await;
        }
    }

    /// Hands rules to the kernel. If it refuses, the next poll tries again.
    async fn apply(&mut self, set: &SecurityGroupSet, compiled: Compiled) {
        let kernel = Arc::clone(&self.kernel);
        let work = (set.clone(), compiled.clone());
        let applied =
            tokio::task::spawn_blocking(move || kernel.set_policy(&work.0, &work.1)).await;
        let known = match applied {
            Ok(Ok(())) => Some(compiled),
            Ok(Err(error)) => {
                warn!(%set, %error, "cannot apply the rules of a set");
                None
            }
            Err(error) => {
                warn!(%set, %error, "applying the rules of a set was broken off");
                None
            }
        };
        self.applied.insert(set.clone(), known);
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

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn wishes_do_not_put_a_poll_off() {
        let start = Instant::now();
        let mut timer = Timer::new(start, INTERVAL);
        for second in 0..60 {
            timer.note_pending(start + Duration::from_secs(second), false);
        }
        assert_eq!(timer.due(), start + INTERVAL);
    }

    #[test]
    fn pending_rules_bring_a_retry_that_wishes_do_not_put_off() {
        let start = Instant::now();
        let mut timer = Timer::new(start, INTERVAL);
        timer.note_pending(start, true);
        timer.note_pending(start + RETRY / 2, true);
        assert_eq!(timer.due(), start + RETRY);
        timer.note_pending(start + RETRY / 2, false);
        assert_eq!(timer.due(), start + INTERVAL);
    }

    #[test]
    fn a_retry_is_never_later_than_the_poll() {
        let start = Instant::now();
        let mut timer = Timer::new(start, INTERVAL);
        timer.note_pending(start + INTERVAL, true);
        assert_eq!(timer.due(), start + INTERVAL);
    }
}
