//! Creating and deleting security groups, and changing their rules.

use std::collections::HashSet;

use underlay_types::{SecurityGroupId, SecurityGroupRuleId, VpcId};

use super::rule_changes::no_such_rule;
use crate::{
    AddressFamily, Change, Ec2Error, ErrorCode, Model, PrefixList, Rule, RuleDirection, RulePeer,
    RuleTraffic, SecurityGroup, Tags,
};

/// A rule to add or to remove: what it allows and with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// What traffic.
    pub traffic: RuleTraffic,
    /// With whom; blocks need not be canonical.
    pub peer: RulePeer,
    /// What its creator writes about it; not compared.
    pub description: Option<String>,
}

impl RuleSpec {
    /// As EC2 stores it: blocks are reduced to their network address.
    pub(super) fn canonical(&self) -> Self {
        let peer = match &self.peer {
            RulePeer::Ipv4(block) => RulePeer::Ipv4(block.trunc()),
            RulePeer::Ipv6(block) => RulePeer::Ipv6(block.trunc()),
            RulePeer::Group(_) | RulePeer::PrefixList(_) => self.peer.clone(),
        };
        Self {
            peer,
            ..self.clone()
        }
    }

    pub(super) fn is(&self, rule: &Rule) -> bool {
        self.traffic == rule.traffic && self.peer == rule.peer
    }

    pub(super) fn of(rule: &Rule) -> Self {
        Self {
            traffic: rule.traffic,
            peer: rule.peer.clone(),
            description: rule.description.clone(),
        }
    }

    pub(super) fn already_exists(&self) -> Ec2Error {
        let text = format!(
            "the specified rule \"peer: {}, {}\" already exists",
            peer_text(&self.peer),
            traffic_text(self.traffic)
        );
        Ec2Error::new(ErrorCode::InvalidPermissionDuplicate, text)
    }
}

impl Model {
    /// CreateSecurityGroup, allowing all egress of the families that the VPC has, and no ingress.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidGroup.Duplicate` when the VPC has a group of this name;
    /// `InvalidParameterValue` for a name or description EC2 does not take;
    /// `SecurityGroupLimitExceeded`.
    pub fn create_group(
        &mut self,
        vpc: &VpcId,
        name: &str,
        description: &str,
        tags: Tags,
    ) -> Result<SecurityGroupId, Ec2Error> {
        let v6 = self.require_vpc(vpc)?.v6_blocks().next().is_some();
        for (what, text) in [("groupName", name), ("GroupDescription", description)] {
            check_group_text(what, text)?;
        }
        if name.starts_with("sg-") {
            let text = format!(
                "Invalid value '{name}' for groupName. A group name cannot begin with 'sg-'."
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if self.groups.index().named(vpc, name).is_some() {
            let text = format!("The security group '{name}' already exists for VPC '{vpc}'");
            return Err(Ec2Error::new(ErrorCode::InvalidGroupDuplicate, text));
        }
        if self.groups.len() >= self.config.limits.groups {
            let text = "The maximum number of security groups has been reached.";
            return Err(Ec2Error::new(ErrorCode::SecurityGroupLimitExceeded, text));
        }
        let id = SecurityGroupId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let group = SecurityGroup {
            id: id.clone(),
            vpc: vpc.clone(),
            name: name.to_owned(),
            description: description.to_owned(),
            rules: self.egress_to_all(v6),
            tags,
        };
        self.groups.insert(id.clone(), group);
        self.changes.push(Change::GroupChanged(id.clone()));
        Ok(id)
    }

    /// DeleteSecurityGroup.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `CannotDelete` for a default group; `DependencyViolation` while
    /// an interface carries it or a rule of another group of its VPC names it.
    pub fn delete_group(&mut self, id: &SecurityGroupId) -> Result<(), Ec2Error> {
        let group = self.require_group(id)?;
        if self
            .vpcs
            .get(&group.vpc)
            .is_some_and(|vpc| &vpc.default_group == id)
        {
            let text = "the specified group: \"default\" cannot be deleted by a user";
            return Err(Ec2Error::new(ErrorCode::CannotDelete, text));
        }
        // A rule in a peered VPC does not keep it: that rule is stale then.
        let referenced = self
            .groups
            .values()
            .filter(|other| &other.id != id && other.vpc == group.vpc)
            .any(|other| other.names(id));
        if referenced || self.enis.of_group(id).next().is_some() {
            let text = format!("resource {id} has a dependent object");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.groups.remove(id);
        self.changes.push(Change::GroupChanged(id.clone()));
        Ok(())
    }

    /// AuthorizeSecurityGroupIngress and Egress: all rules or none.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound` for the group or one that a rule names;
    /// `InvalidPrefixListID.NotFound`; `InvalidParameterValue` for a rule that is twice in the
    /// request; `InvalidPermission.Duplicate` for one that is there;
    /// `RulesPerSecurityGroupLimitExceeded`.
    pub fn authorize(
        &mut self,
        id: &SecurityGroupId,
        direction: RuleDirection,
        specs: &[RuleSpec],
        tags: &Tags,
    ) -> Result<Vec<SecurityGroupRuleId>, Ec2Error> {
        let group = self.require_group(id)?;
        let specs: Vec<_> = specs.iter().map(RuleSpec::canonical).collect();
        let held = group.rules_of(direction);
        let held: HashSet<_> = held.map(|rule| (rule.traffic, &rule.peer)).collect();
        let mut asked = HashSet::new();
        for spec in &specs {
            self.check_peer(group, spec)?;
            if !asked.insert((spec.traffic, &spec.peer)) {
                let text = "The same permission must not appear multiple times";
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
            if held.contains(&(spec.traffic, &spec.peer)) {
                return Err(spec.already_exists());
            }
        }
        // After that: what is there already takes no more room.
        let kept = group.rules_of(direction).map(|rule| &rule.peer);
        self.check_rule_quota(kept.chain(specs.iter().map(|spec| &spec.peer)), None)?;
        let rules = specs.into_iter().map(|spec| Rule {
            id: SecurityGroupRuleId::from_serial(self.rng.next()),
            direction,
            traffic: spec.traffic,
            peer: spec.peer,
            description: spec.description,
            tags: tags.clone(),
        });
        let rules: Vec<_> = rules.collect();
        let ids = rules.iter().map(|rule| rule.id.clone()).collect();
        if let Some(mut group) = self.groups.get_mut(id) {
            group.rules.extend(rules);
        }
        self.changes.push(Change::GroupChanged(id.clone()));
        Ok(ids)
    }

    /// A rule may name a group of its own VPC or one that is joined to it, and any prefix list.
    pub(super) fn check_peer(
        &self,
        group: &SecurityGroup,
        spec: &RuleSpec,
    ) -> Result<(), Ec2Error> {
        match &spec.peer {
            RulePeer::Group(id) => {
                let peer = self.require_group(id)?;
                if peer.vpc == group.vpc || self.peering_between(&group.vpc, &peer.vpc).is_some() {
                    return Ok(());
                }
                let text = format!(
                    "You have specified two resources that belong to different networks: '{id}' \
                     is of VPC '{}', which no peering connection joins to '{}'.",
                    peer.vpc, group.vpc
                );
                Err(Ec2Error::new(ErrorCode::InvalidGroupNotFound, text))
            }
            RulePeer::PrefixList(list) => self.require_prefix_list(list).map(drop),
            RulePeer::Ipv4(_) | RulePeer::Ipv6(_) => Ok(()),
        }
    }

    /// Counts IPv4 and IPv6 rules apart (Amazon VPC User Guide, "Amazon VPC quotas"): one that
    /// names a group counts as one of each, one that names a prefix list as many as the list may
    /// have entries. `resized` stands for the list of its id.
    pub(crate) fn check_rule_quota<'a>(
        &self,
        peers: impl Iterator<Item = &'a RulePeer>,
        resized: Option<&PrefixList>,
    ) -> Result<(), Ec2Error> {
        let weight = |peer: &RulePeer| match peer {
            RulePeer::Ipv4(_) => (1, 0),
            RulePeer::Ipv6(_) => (0, 1),
            RulePeer::Group(_) => (1, 1),
            RulePeer::PrefixList(id) => {
                let resized = resized.filter(|list| &list.id == id);
                resized
                    .or_else(|| self.prefix_list(id))
                    .map_or((0, 0), list_weight)
            }
        };
        let (v4, v6) = peers.map(weight).fold((0_u64, 0_u64), |(v4, v6), each| {
            (v4.saturating_add(each.0), v6.saturating_add(each.1))
        });
        if usize::try_from(v4.max(v6)).is_ok_and(|most| most <= self.config.limits.rules_per_group)
        {
            return Ok(());
        }
        let text = "The maximum number of rules per security group has been reached.";
        Err(Ec2Error::new(
            ErrorCode::RulesPerSecurityGroupLimitExceeded,
            text,
        ))
    }

    /// RevokeSecurityGroupIngress and Egress by what the rules say: all or none.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidPermission.NotFound` for a rule that is not there.
    pub fn revoke(
        &mut self,
        id: &SecurityGroupId,
        direction: RuleDirection,
        specs: &[RuleSpec],
    ) -> Result<Vec<Rule>, Ec2Error> {
        let group = self.require_group(id)?;
        let mut gone = Vec::new();
        for spec in specs.iter().map(RuleSpec::canonical) {
            let found = group
                .rules_of(direction)
                .find(|rule| spec.is(rule))
                .ok_or_else(no_such_permission)?;
            gone.push(found.id.clone());
        }
        Ok(self.remove_rules(id, &gone))
    }

    /// RevokeSecurityGroupIngress and Egress by rule ids: all or none.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InvalidSecurityGroupRuleId.NotFound`.
    pub fn revoke_by_id(
        &mut self,
        id: &SecurityGroupId,
        direction: RuleDirection,
        rules: &[SecurityGroupRuleId],
    ) -> Result<Vec<Rule>, Ec2Error> {
        let group = self.require_group(id)?;
        for wanted in rules {
            if !group.rules_of(direction).any(|rule| &rule.id == wanted) {
                return Err(no_such_rule(wanted));
            }
        }
        Ok(self.remove_rules(id, rules))
    }

    fn remove_rules(&mut self, id: &SecurityGroupId, rules: &[SecurityGroupRuleId]) -> Vec<Rule> {
        let Some(mut group) = self.groups.get_mut(id) else {
            return Vec::new();
        };
        let (gone, kept) = std::mem::take(&mut group.rules)
            .into_iter()
            .partition(|rule| rules.contains(&rule.id));
        group.rules = kept;
        self.changes.push(Change::GroupChanged(id.clone()));
        gone
    }
}

pub(super) fn no_such_permission() -> Ec2Error {
    let text = "The specified rule does not exist in this security group.";
    Ec2Error::new(ErrorCode::InvalidPermissionNotFound, text)
}

/// As how many IPv4 and IPv6 rules a list counts.
fn list_weight(list: &PrefixList) -> (u64, u64) {
    match list.family {
        AddressFamily::Ipv4 => (list.max_entries.into(), 0),
        AddressFamily::Ipv6 => (0, list.max_entries.into()),
    }
}

/// Up to 255 letters, digits, spaces and `._-:/()#,@[]+=&;{}!$*`.
fn check_group_text(what: &str, text: &str) -> Result<(), Ec2Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
        let text = format!(
            "Value ({text}) for parameter {what} is invalid. Character sets beyond ASCII are not \
             supported, and 1 to 255 characters are allowed."
        );
        return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    }
    Ok(())
}

fn peer_text(peer: &RulePeer) -> String {
    match peer {
        RulePeer::Ipv4(block) => block.to_string(),
        RulePeer::Ipv6(block) => block.to_string(),
        RulePeer::Group(id) => id.to_string(),
        RulePeer::PrefixList(id) => id.to_string(),
    }
}

fn traffic_text(traffic: RuleTraffic) -> String {
    match traffic {
        RuleTraffic::All => "ALL".to_owned(),
        RuleTraffic::Tcp(ports) => format!("TCP, from port: {}, to port: {}", ports.from, ports.to),
        RuleTraffic::Udp(ports) => format!("UDP, from port: {}, to port: {}", ports.from, ports.to),
        RuleTraffic::Icmp { .. } => "ICMP".to_owned(),
        RuleTraffic::Icmpv6 { .. } => "ICMPV6".to_owned(),
        RuleTraffic::Protocol(number) => format!("protocol {number}"),
    }
}
