//! Security groups across VPCs: where they may be used, and by whom they are named.

use underlay_types::{SecurityGroupId, VpcId};
use underlay_vpc_model::{Ec2Error, Listed as _, Model, Rule, RuleDirection, SecurityGroup};

use super::{
    call::Call, filter::Filters, group_filters::FOR_VPC_FILTERS, page::Page, params::Params,
    rules::write_grouped, tags::write_tags, xml::Xml,
};

/// GetSecurityGroupsForVpc: the VPC's own. Groups of other VPCs cannot be associated here.
pub(super) fn for_vpc(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let filters = Filters::take(params, &FOR_VPC_FILTERS)?;
    let page = Page::take(params, "GetSecurityGroupsForVpc", 1_000)?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        model.require_vpc(&vpc)?;
        let wanted = |group: &&SecurityGroup| {
            group.vpc == vpc && filters.pass(model, &FOR_VPC_FILTERS, group)
        };
        let all = SecurityGroup::after(model, after.as_ref()).filter(wanted);
        let (groups, next) = page.pick(all, |group| group.id.to_string());
        let mut xml = Xml::default();
        xml.items("securityGroupForVpcSet", groups, |xml, group| {
            xml.leaf("description", &group.description);
            xml.leaf("groupName", &group.name);
            xml.leaf("ownerId", &model.config().account);
            xml.leaf("groupId", &group.id);
            write_tags(xml, &group.tags);
            xml.leaf("primaryVpcId", &group.vpc);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// DescribeSecurityGroupReferences.
pub(super) fn references(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids: Vec<SecurityGroupId> = params.ids("GroupId")?;
    if ids.is_empty() {
        return Err(params.missing("GroupId"));
    }
    Ok(Call::new(move |model, _| {
        for id in &ids {
            model.require_group(id)?;
        }
        let of = |id| {
            let across = model.references_across(id);
            across
                .into_iter()
                .map(move |(vpc, peering)| (id, vpc, peering))
        };
        let mut xml = Xml::default();
        xml.items(
            "securityGroupReferenceSet",
            ids.iter().flat_map(of),
            |xml, (id, vpc, peering)| {
                xml.leaf("groupId", id);
                xml.leaf("referencingVpcId", vpc);
                xml.leaf("vpcPeeringConnectionId", &peering.id);
            },
        );
        Ok(xml)
    }))
}

/// DescribeStaleSecurityGroups.
pub(super) fn stale(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let page = Page::take_within(params, "DescribeStaleSecurityGroups", 1..=255)?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        model.require_vpc(&vpc)?;
        let stale = |group: &&SecurityGroup| {
            group.vpc == vpc && group.rules.iter().any(|rule| model.is_stale(group, rule))
        };
        let all = SecurityGroup::after(model, after.as_ref()).filter(stale);
        let (groups, next) = page.pick(all, |group: &&SecurityGroup| group.id.to_string());
        let mut xml = Xml::default();
        xml.items("staleSecurityGroupSet", groups, |xml, group| {
            xml.leaf("description", &group.description);
            xml.leaf("groupId", &group.id);
            xml.leaf("groupName", &group.name);
            xml.leaf("vpcId", &group.vpc);
            write_stale(xml, model, group);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

fn write_stale(xml: &mut Xml, model: &Model, group: &SecurityGroup) {
    for (name, direction) in [
        ("staleIpPermissions", RuleDirection::Ingress),
        ("staleIpPermissionsEgress", RuleDirection::Egress),
    ] {
        let rules = group.rules_of(direction);
        let stale: Vec<&Rule> = rules.filter(|rule| model.is_stale(group, rule)).collect();
        write_grouped(xml, model, name, group, &stale);
    }
}
