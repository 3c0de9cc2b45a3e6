//! Security group actions.

use underlay_types::{SecurityGroupId, SecurityGroupRuleId, VpcId};
use underlay_vpc_model::{
    Ec2Error, ErrorCode, Model, Rule, RuleDirection, RuleKey, RulePeer, RuleSpec, SecurityGroup,
};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::{FilterTable, Filters},
    group_filters::FILTERS,
    keys::Keys,
    page::Page,
    params::Params,
    rules::{self, WireTraffic},
    tags::{take_specifications, write_tags},
    xml::Xml,
};

/// DescribeSecurityGroups, but for `GroupName.N`.
static DESCRIBE: Describe<SecurityGroup> = Describe {
    action: "DescribeSecurityGroups",
    ids: "GroupId",
    set: "securityGroupInfo",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_group(id).map(drop),
    write,
};

/// DescribeSecurityGroups.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    refuse_names(params)?;
    DESCRIBE.call(params)
}

/// Names are for groups of a default VPC, and there is none.
pub(super) fn refuse_names(params: &mut Params) -> Result<(), Ec2Error> {
    let text = "Invalid value for groupName: names are for groups of a default VPC, of which this \
                account has none. Use the group's id, or the filter group-name.";
    let named = !params.list("GroupName")?.is_empty() || params.text("GroupName").is_some();
    if named {
        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
    } else {
        Ok(())
    }
}

fn write(xml: &mut Xml, model: &Model, group: &SecurityGroup) {
    xml.leaf("groupId", &group.id);
    xml.leaf("groupName", &group.name);
    xml.leaf("groupDescription", &group.description);
    xml.leaf("vpcId", &group.vpc);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("securityGroupArn", arn(model, &group.id));
    rules::write_permissions(xml, model, "ipPermissions", group, RuleDirection::Ingress);
    rules::write_permissions(
        xml,
        model,
        "ipPermissionsEgress",
        group,
        RuleDirection::Egress,
    );
    write_tags(xml, &group.tags);
}

fn arn(model: &Model, id: &SecurityGroupId) -> String {
    let config = model.config();
    format!(
        "arn:aws:ec2:{}:{}:security-group/{id}",
        config.region, config.account
    )
}

/// CreateSecurityGroup.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let name = params.required("GroupName")?;
    let description = params.required("GroupDescription")?;
    let vpc: Option<VpcId> = params.optional_id("VpcId")?;
    let [tags] = take_specifications(params, ["security-group"])?;
    let vpc = vpc.ok_or_else(|| {
        Ec2Error::new(
            ErrorCode::VpcIdNotSpecified,
            "No default VPC for this user. Name a VPC.",
        )
    })?;
    Ok(Call::new(move |model, _| {
        let id = model.create_group(&vpc, &name, &description, tags)?;
        let mut xml = done();
        xml.leaf("groupId", &id);
        xml.leaf("securityGroupArn", arn(model, &id));
        if let Some(group) = model.group(&id) {
            write_tags(&mut xml, &group.tags);
        }
        Ok(xml)
    }))
}

/// DeleteSecurityGroup.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    refuse_names(params)?;
    let id: SecurityGroupId = params.id("GroupId")?;
    Ok(Call::new(move |model, _| {
        model.delete_group(&id)?;
        let mut xml = done();
        xml.leaf("groupId", &id);
        Ok(xml)
    }))
}

/// AuthorizeSecurityGroupIngress.
pub(super) fn authorize_ingress(params: &mut Params) -> Result<Call, Ec2Error> {
    authorize(params, RuleDirection::Ingress)
}

/// AuthorizeSecurityGroupEgress.
pub(super) fn authorize_egress(params: &mut Params) -> Result<Call, Ec2Error> {
    authorize(params, RuleDirection::Egress)
}

fn authorize(params: &mut Params, direction: RuleDirection) -> Result<Call, Ec2Error> {
    refuse_names(params)?;
    let id: SecurityGroupId = params.id("GroupId")?;
    let [tags] = take_specifications(params, ["security-group-rule"])?;
    let specs = rules::take_specs(params)?;
    if specs.is_empty() {
        return Err(params.missing("IpPermissions"));
    }
    Ok(Call::new(move |model, _| {
        let added = model.authorize(&id, direction, &specs, &tags)?;
        let group = model.require_group(&id)?;
        let mut xml = done();
        let added = group.rules.iter().filter(|rule| added.contains(&rule.id));
        xml.items("securityGroupRuleSet", added, |xml, rule| {
            rules::write_rule(xml, model, group, rule);
        });
        Ok(xml)
    }))
}

/// RevokeSecurityGroupIngress.
pub(super) fn revoke_ingress(params: &mut Params) -> Result<Call, Ec2Error> {
    revoke(params, RuleDirection::Ingress)
}

/// RevokeSecurityGroupEgress.
pub(super) fn revoke_egress(params: &mut Params) -> Result<Call, Ec2Error> {
    revoke(params, RuleDirection::Egress)
}

fn revoke(params: &mut Params, direction: RuleDirection) -> Result<Call, Ec2Error> {
    refuse_names(params)?;
    let id: SecurityGroupId = params.id("GroupId")?;
    let ids: Vec<SecurityGroupRuleId> = params.ids("SecurityGroupRuleId")?;
    let specs: Vec<RuleSpec> = rules::take_specs(params)?;
    if specs.is_empty() == ids.is_empty() {
        let text = "Exactly one of IpPermissions and SecurityGroupRuleId must be specified.";
        let code = if ids.is_empty() {
            ErrorCode::MissingParameter
        } else {
            ErrorCode::InvalidParameterCombination
        };
        return Err(Ec2Error::new(code, text));
    }
    Ok(Call::new(move |model, _| {
        let gone = if ids.is_empty() {
            model.revoke(&id, direction, &specs)?
        } else {
            model.revoke_by_id(&id, direction, &ids)?
        };
        let mut xml = done();
        xml.items("revokedSecurityGroupRuleSet", &gone, |xml, rule| {
            write_revoked(xml, &id, rule)
        });
        Ok(xml)
    }))
}

fn write_revoked(xml: &mut Xml, group: &SecurityGroupId, rule: &Rule) {
    let wire = WireTraffic::of(rule.traffic);
    xml.leaf("securityGroupRuleId", &rule.id);
    xml.leaf("groupId", group);
    xml.leaf("isEgress", rule.direction == RuleDirection::Egress);
    xml.leaf("ipProtocol", wire.protocol);
    xml.leaf("fromPort", wire.from);
    xml.leaf("toPort", wire.to);
    match &rule.peer {
        RulePeer::Ipv4(block) => xml.leaf("cidrIpv4", block),
        RulePeer::Ipv6(block) => xml.leaf("cidrIpv6", block),
        RulePeer::Group(id) => xml.leaf("referencedGroupId", id),
        RulePeer::PrefixList(id) => xml.leaf("prefixListId", id),
    }
    xml.optional("description", rule.description.as_ref());
}

static RULE_FILTERS: FilterTable<Rule> = FilterTable {
    fields: &[
        ("group-id", |model, rule| {
            let held = model.rule(&rule.id).into_iter();
            held.map(|(group, _)| group.id.to_string()).collect()
        }),
        ("security-group-rule-id", |_, rule| {
            vec![rule.id.to_string()]
        }),
    ],
    tags: Some(|rule| &rule.tags),
};

/// Those of [`RULE_FILTERS`] that an index answers.
static RULE_KEYS: Keys<Rule> = Keys {
    fields: &[
        ("group-id", |text| text.parse().ok().map(RuleKey::Group)),
        ("security-group-rule-id", |text| {
            text.parse().ok().map(RuleKey::Id)
        }),
    ],
    tag: None,
};

/// DescribeSecurityGroupRules.
pub(super) fn describe_rules(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids: Vec<SecurityGroupRuleId> = params.ids("SecurityGroupRuleId")?;
    let filters = Filters::take(params, &RULE_FILTERS)?;
    let page = Page::take(params, "DescribeSecurityGroupRules", 1_000)?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        if let Some(id) = ids.iter().find(|id| model.rule(id).is_none()) {
            let text = format!("The security group rule ID '{id}' does not exist");
            return Err(Ec2Error::new(
                ErrorCode::InvalidSecurityGroupRuleIdNotFound,
                text,
            ));
        }
        let all = RULE_KEYS.listing(model, &ids, &filters, after.as_ref());
        let wanted = all.filter(|rule| filters.pass(model, &RULE_FILTERS, rule));
        let (found, next) = page.pick(wanted, |rule| rule.id.to_string());
        let mut xml = Xml::default();
        let owned = found.iter().filter_map(|rule| model.rule(&rule.id));
        xml.items("securityGroupRuleSet", owned, |xml, (group, rule)| {
            rules::write_rule(xml, model, group, rule);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}
