//! Security groups across VPCs: where they may be used, and by whom they are named.

use underlay_types::VpcId;
use underlay_vpc_model::{Ec2Error, SecurityGroup};

use super::{
    call::Call, filter::Filters, group_filters::FOR_VPC_FILTERS, page::Page, params::Params,
    tags::write_tags, xml::Xml,
};

/// GetSecurityGroupsForVpc: the VPC's own. Groups of other VPCs cannot be associated here.
pub(super) fn for_vpc(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let filters = Filters::take(params, &FOR_VPC_FILTERS)?;
    let page = Page::take(params, "GetSecurityGroupsForVpc", 1_000)?;
    Ok(Call::new(move |model, _| {
        model.require_vpc(&vpc)?;
        let wanted = |group: &&SecurityGroup| {
            group.vpc == vpc && filters.pass(model, &FOR_VPC_FILTERS, group)
        };
        let all = model.groups().filter(wanted).collect();
        let (groups, next) = page.cut(all, |group| group.id.to_string());
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
