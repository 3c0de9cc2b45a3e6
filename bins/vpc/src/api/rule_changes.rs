//! Changing the rules of security groups that are there.

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{PrefixListId, SecurityGroupId, SecurityGroupRuleId};
use underlay_vpc_model::{Ec2Error, ErrorCode, RuleDirection, RulePeer, RuleSpec};

use super::{
    call::{Call, done},
    groups::refuse_names,
    params::Params,
    rules::{take_description, take_specs, take_traffic},
};

/// ModifySecurityGroupRules.
pub(super) fn modify(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SecurityGroupId = params.id("GroupId")?;
    let changes = params.structures("SecurityGroupRule", |p| {
        let rule: SecurityGroupRuleId = p.id("SecurityGroupRuleId")?;
        Ok((rule, p.structure("SecurityGroupRule", take_rule)?))
    })?;
    if changes.is_empty() {
        return Err(params.missing("SecurityGroupRule"));
    }
    Ok(Call::new(move |model, _| {
        model.modify_rules(&id, &changes)?;
        Ok(done())
    }))
}

/// A rule as a whole: what it does not say it does not have.
fn take_rule(params: &mut Params) -> Result<RuleSpec, Ec2Error> {
    let traffic = take_traffic(params)?;
    let v4: Option<Ipv4Net> = params.parsed("CidrIpv4")?;
    let v6: Option<Ipv6Net> = params.parsed("CidrIpv6")?;
    let list: Option<PrefixListId> = params.optional_id("PrefixListId")?;
    let group: Option<SecurityGroupId> = params.optional_id("ReferencedGroupId")?;
    let description = take_description(params)?;
    let peers = [
        v4.map(RulePeer::Ipv4),
        v6.map(RulePeer::Ipv6),
        list.map(RulePeer::PrefixList),
        group.map(RulePeer::Group),
    ];
    let mut peers = peers.into_iter().flatten();
    let text = "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be \
                specified.";
    match (peers.next(), peers.next()) {
        (Some(peer), None) => Ok(RuleSpec {
            traffic,
            peer,
            description,
        }),
        (None, _) => Err(Ec2Error::new(ErrorCode::MissingParameter, text)),
        (Some(_), Some(_)) => Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text)),
    }
}

/// UpdateSecurityGroupRuleDescriptionsIngress.
pub(super) fn describe_ingress(params: &mut Params) -> Result<Call, Ec2Error> {
    describe(params, RuleDirection::Ingress)
}

/// UpdateSecurityGroupRuleDescriptionsEgress.
pub(super) fn describe_egress(params: &mut Params) -> Result<Call, Ec2Error> {
    describe(params, RuleDirection::Egress)
}

fn describe(params: &mut Params, direction: RuleDirection) -> Result<Call, Ec2Error> {
    refuse_names(params)?;
    let id: SecurityGroupId = params.id("GroupId")?;
    let specs = take_specs(params)?;
    let by_id = params.structures("SecurityGroupRuleDescription", |p| {
        let rule: SecurityGroupRuleId = p.id("SecurityGroupRuleId")?;
        Ok((rule, take_description(p)?))
    })?;
    if specs.is_empty() == by_id.is_empty() {
        let text = "Exactly one of IpPermissions and SecurityGroupRuleDescriptions must be \
                    specified.";
        let code = if by_id.is_empty() {
            ErrorCode::MissingParameter
        } else {
            ErrorCode::InvalidParameterCombination
        };
        return Err(Ec2Error::new(code, text));
    }
    Ok(Call::new(move |model, _| {
        if by_id.is_empty() {
            model.describe_rules_as(&id, direction, &specs)?;
        } else {
            model.describe_rules_by_id(&id, direction, &by_id)?;
        }
        Ok(done())
    }))
}
