//! Which security groups pods may choose.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use underlay_cloud::{Ec2, Ec2Error, ec2::GroupQuery};
use underlay_types::{Class, SecurityGroupId, SecurityGroupSet};

use super::node::NodeFacts;
use crate::{config::AllowedGroups, service::ServiceError};

/// Groups that were found to exist and be allowed, and when. Those in use are asked for again with
/// their rules; others are forgotten, so that no old permission is ever used.
#[derive(Debug)]
pub(super) struct GroupRegister {
    allowed: AllowedGroups,
    ec2: Ec2,
    node: Arc<NodeFacts>,
    known: Mutex<BTreeMap<SecurityGroupId, Instant>>,
    /// How long a verdict holds.
    holds: Duration,
}

impl GroupRegister {
    /// With verdicts that outlast one missed poll.
    pub(super) fn new(
        allowed: AllowedGroups,
        poll_interval: Duration,
        ec2: Ec2,
        node: Arc<NodeFacts>,
    ) -> Self {
        Self {
            allowed,
            ec2,
            node,
            known: Mutex::default(),
            holds: poll_interval * 2 + Duration::from_secs(10),
        }
    }

    /// Whether every group of the set was found good lately: no call is needed.
    pub(super) fn knows(&self, set: &SecurityGroupSet) -> bool {
        let known = self.known();
        set.as_slice()
            .iter()
            .all(|group| known.get(group).is_some_and(|at| at.elapsed() < self.holds))
    }

    /// Asks EC2 about the groups of the set.
    ///
    /// # Errors
    /// `Group` for the first that does not exist or may not be chosen; `NoAddress` or `Refused` if
    /// EC2 does not answer.
    pub(super) async fn check(&self, set: &SecurityGroupSet) -> Result<(), ServiceError> {
        for group in set.as_slice() {
            self.ask(group).await?;
        }
        Ok(())
    }

    /// Asks again about every group, and says what is wrong with those that are no longer good.
    pub(super) async fn check_again(
        &self,
        groups: &BTreeSet<SecurityGroupId>,
    ) -> Vec<ServiceError> {
        let mut wrong = Vec::new();
        for group in groups {
            wrong.extend(self.ask(group).await.err());
        }
        wrong
    }

    async fn ask(&self, group: &SecurityGroupId) -> Result<(), ServiceError> {
        let verdict = self.check_one(group).await;
        match &verdict {
            Ok(()) => {
                self.known().insert(group.clone(), Instant::now());
            }
            Err(ServiceError::Group { .. }) => {
                self.known().remove(group);
            }
            // EC2 did not answer: the last verdict holds as long as it does.
            Err(_) => {}
        }
        verdict
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<SecurityGroupId, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check_one(&self, group: &SecurityGroupId) -> Result<(), ServiceError> {
        let query = GroupQuery::ids([group.clone()]);
        let found = self.ec2.describe_security_groups(&query).await;
        let found = found.map_err(|error| unanswered(group, &error))?;
        let refuse = |message| Err(ServiceError::Group { message });
        let Some(found) = found.into_iter().find(|found| found.id == *group) else {
            return refuse(format!("security group {group} does not exist"));
        };
        if found.vpc != self.node.vpc {
            let (theirs, ours) = (&found.vpc, &self.node.vpc);
            return refuse(format!(
                "security group {group} belongs to {theirs}, but this node is in {ours}"
            ));
        }
        if self.allowed.permits(group, &found.tags) {
            return Ok(());
        }
        let by_tag = self
            .allowed
            .tag
            .as_ref()
            .map(|tag| format!("tag it {}={}, or ", tag.key, tag.value))
            .unwrap_or_default();
        refuse(format!(
            "pods may not choose security group {group} ({}): {by_tag}list it under \
             security_groups.allowed_ids in the agent's configuration",
            found.name
        ))
    }
}

fn unanswered(group: &SecurityGroupId, error: &Ec2Error) -> ServiceError {
    let message = format!("cannot tell whether pods may choose security group {group}: {error}");
    match error.class() {
        Class::NotFound | Class::Invalid => {
            let message = format!("security group {group} does not exist: {error}");
            ServiceError::Group { message }
        }
        Class::Denied => ServiceError::Refused { message },
        Class::Bug | Class::Conflict | Class::Retry | Class::Throttled { .. } => {
            ServiceError::NoAddress { message }
        }
    }
}
