//! Changing rules that are there.

use std::collections::HashSet;

use underlay_types::{SecurityGroupId, SecurityGroupRuleId};

use super::groups::{RuleSpec, no_such_permission};
use crate::{Change, Ec2Error, ErrorCode, Model, Rule, RuleDirection, SecurityGroup};

impl Model {
    /// ModifySecurityGroupRules: gives rules other contents, all or none. Their descriptions are
    /// those of the request, and none without one.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidSecurityGroupRuleId.NotFound`; `InvalidParameterValue` for
    /// a rule that is named twice; those of [`Self::authorize`] for what the group would have.
    pub fn modify_rules(
        &mut self,
        id: &SecurityGroupId,
        changes: &[(SecurityGroupRuleId, RuleSpec)],
    ) -> Result<(), Ec2Error> {
        let group = self.require_group(id)?;
        let mut changed = group.clone();
        let mut named = HashSet::new();
        for (rule, spec) in changes {
            if !named.insert(rule) {
                let text = format!("The security group rule ID '{rule}' is given more than once");
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
            let spec = spec.canonical();
            self.check_peer(group, &spec)?;
            let held = require_rule(&mut changed, rule)?;
            held.traffic = spec.traffic;
            held.peer = spec.peer;
            held.description = spec.description;
        }
        for direction in [RuleDirection::Ingress, RuleDirection::Egress] {
            let mut seen = HashSet::new();
            for rule in changed.rules_of(direction) {
                if !seen.insert((rule.traffic, &rule.peer)) {
                    return Err(RuleSpec::of(rule).already_exists());
                }
            }
            let peers = changed.rules_of(direction).map(|rule| &rule.peer);
            self.check_rule_quota(peers, None)?;
        }
        self.groups.insert(id.clone(), changed);
        self.changes.push(Change::GroupChanged(id.clone()));
        Ok(())
    }

    /// UpdateSecurityGroupRuleDescriptionsIngress and Egress, by what the rules say: each gets the
    /// description of its specification, or none.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidPermission.NotFound`.
    pub fn describe_rules_as(
        &mut self,
        id: &SecurityGroupId,
        direction: RuleDirection,
        specs: &[RuleSpec],
    ) -> Result<(), Ec2Error> {
        let mut changed = self.require_group(id)?.clone();
        for spec in specs.iter().map(RuleSpec::canonical) {
            let mut rules = changed.rules.iter_mut();
            let rule = rules.find(|rule| rule.direction == direction && spec.is(rule));
            rule.ok_or_else(no_such_permission)?.description = spec.description;
        }
        self.groups.insert(id.clone(), changed);
        Ok(())
    }

    /// UpdateSecurityGroupRuleDescriptionsIngress and Egress, by rule ids.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidSecurityGroupRuleId.NotFound`.
    pub fn describe_rules_by_id(
        &mut self,
        id: &SecurityGroupId,
        direction: RuleDirection,
        descriptions: &[(SecurityGroupRuleId, Option<String>)],
    ) -> Result<(), Ec2Error> {
        let mut changed = self.require_group(id)?.clone();
        for (rule, description) in descriptions {
            let held = require_rule(&mut changed, rule)?;
            if held.direction != direction {
                return Err(no_such_rule(rule));
            }
            held.description.clone_from(description);
        }
        self.groups.insert(id.clone(), changed);
        Ok(())
    }
}

fn require_rule<'a>(
    group: &'a mut SecurityGroup,
    id: &SecurityGroupRuleId,
) -> Result<&'a mut Rule, Ec2Error> {
    let mut rules = group.rules.iter_mut();
    rules
        .find(|rule| &rule.id == id)
        .ok_or_else(|| no_such_rule(id))
}

pub(super) fn no_such_rule(id: &SecurityGroupRuleId) -> Ec2Error {
    let text = format!("The security group rule ID '{id}' does not exist");
    Ec2Error::new(ErrorCode::InvalidSecurityGroupRuleIdNotFound, text)
}
