//! The actions by name.

use underlay_vpc_model::Ec2Error;

use super::{
    call::Call, catalogue, eni_request, enis, flow_logs, groups, images, instances, params::Params,
    prefix_lists, route_tables, routes, subnet_cidrs, subnets, tags, vpc_cidrs, vpcs,
};

/// Reads a call's parameters.
pub(super) type Read = fn(&mut Params) -> Result<Call, Ec2Error>;

/// How to read the parameters of an action of EC2.
pub(super) fn named(action: &str) -> Option<Read> {
    let place = ACTIONS
        .binary_search_by_key(&action, |(name, _)| name)
        .ok()?;
    ACTIONS.get(place).map(|(_, read)| *read)
}

/// Whether an action takes `ClientToken`.
pub(super) fn takes_token(action: &str) -> bool {
    [
        "CreateFlowLogs",
        "CreateManagedPrefixList",
        "CreateNetworkInterface",
        "CreateRouteTable",
        "RunInstances",
    ]
    .contains(&action)
}

/// Sorted by name.
const ACTIONS: &[(&str, Read)] = &[
    ("AssignPrivateIpAddresses", eni_request::assign),
    ("AssociateRouteTable", route_tables::associate),
    ("AssociateSubnetCidrBlock", subnet_cidrs::associate),
    ("AssociateVpcCidrBlock", vpc_cidrs::associate),
    ("AttachNetworkInterface", enis::attach),
    ("AuthorizeSecurityGroupEgress", groups::authorize_egress),
    ("AuthorizeSecurityGroupIngress", groups::authorize_ingress),
    ("CreateFlowLogs", flow_logs::create),
    ("CreateManagedPrefixList", prefix_lists::create),
    ("CreateNetworkInterface", enis::create),
    ("CreateRoute", routes::create),
    ("CreateRouteTable", route_tables::create),
    ("CreateSecurityGroup", groups::create),
    ("CreateSubnet", subnets::create),
    ("CreateTags", tags::create),
    ("CreateVpc", vpcs::create),
    ("DeleteFlowLogs", flow_logs::delete),
    ("DeleteManagedPrefixList", prefix_lists::delete),
    ("DeleteNetworkInterface", enis::delete),
    ("DeleteRoute", routes::delete),
    ("DeleteRouteTable", route_tables::delete),
    ("DeleteSecurityGroup", groups::delete),
    ("DeleteSubnet", subnets::delete),
    ("DeleteTags", tags::delete),
    ("DeleteVpc", vpcs::delete),
    ("DescribeAccountAttributes", catalogue::account_attributes),
    ("DescribeAvailabilityZones", catalogue::zones),
    ("DescribeFlowLogs", |p| flow_logs::DESCRIBE.call(p)),
    ("DescribeImages", images::describe),
    ("DescribeInstanceStatus", instances::describe_status),
    ("DescribeInstanceTypes", catalogue::instance_types),
    ("DescribeInstances", instances::describe),
    ("DescribeManagedPrefixLists", prefix_lists::describe),
    (
        "DescribeNetworkInterfaceAttribute",
        enis::describe_attribute,
    ),
    ("DescribeNetworkInterfaces", enis::describe),
    ("DescribePrefixLists", prefix_lists::describe_services),
    ("DescribeRegions", catalogue::regions),
    ("DescribeRouteTables", |p| route_tables::DESCRIBE.call(p)),
    ("DescribeSecurityGroupRules", groups::describe_rules),
    ("DescribeSecurityGroups", groups::describe),
    ("DescribeSubnets", |p| subnets::DESCRIBE.call(p)),
    ("DescribeTags", tags::describe),
    ("DescribeVpcAttribute", vpcs::describe_attribute),
    ("DescribeVpcs", |p| vpcs::DESCRIBE.call(p)),
    ("DetachNetworkInterface", enis::detach),
    ("DisassociateRouteTable", route_tables::disassociate),
    ("DisassociateSubnetCidrBlock", subnet_cidrs::disassociate),
    ("DisassociateVpcCidrBlock", vpc_cidrs::disassociate),
    (
        "GetManagedPrefixListAssociations",
        prefix_lists::associations,
    ),
    ("GetManagedPrefixListEntries", prefix_lists::entries),
    ("ModifyManagedPrefixList", prefix_lists::modify),
    ("ModifyNetworkInterfaceAttribute", enis::modify_attribute),
    ("ModifySubnetAttribute", subnets::modify_attribute),
    ("ModifyVpcAttribute", vpcs::modify_attribute),
    ("ReplaceRoute", routes::replace),
    (
        "ReplaceRouteTableAssociation",
        route_tables::replace_association,
    ),
    ("RestoreManagedPrefixListVersion", prefix_lists::restore),
    ("RevokeSecurityGroupEgress", groups::revoke_egress),
    ("RevokeSecurityGroupIngress", groups::revoke_ingress),
    ("RunInstances", instances::run),
    ("TerminateInstances", instances::terminate),
    ("UnassignPrivateIpAddresses", eni_request::unassign),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name() {
        for (name, _) in ACTIONS {
            assert!(named(name).is_some(), "{name}");
        }
        assert!(named("DescribeNothing").is_none());
    }
}
