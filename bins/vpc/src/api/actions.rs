//! The actions by name.

use underlay_vpc_model::Ec2Error;

use super::{
    call::Call, catalogue, elastic_addresses, eni_permissions, eni_request, eni_v6, enis,
    flow_logs, group_peers, groups, images, instance_attributes, instance_types, instances,
    internet_gateways, metadata_options, nat_gateways, network_acls, params::Params, peerings,
    power, prefix_lists, reservations, route_tables, routes, rule_changes, subnet_cidrs, subnets,
    tags, trunks, vpc_cidrs, vpcs,
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

/// The names of all actions, in their order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|(name, _)| *name)
}

/// Whether an action takes `ClientToken`.
pub(super) fn takes_token(action: &str) -> bool {
    [
        "CreateEgressOnlyInternetGateway",
        "AssociateTrunkInterface",
        "CreateFlowLogs",
        "CreateManagedPrefixList",
        "CreateNatGateway",
        "CreateNetworkAcl",
        "CreateNetworkInterface",
        "CreateRouteTable",
        "DisassociateTrunkInterface",
        "RunInstances",
    ]
    .contains(&action)
}

/// Sorted by name.
const ACTIONS: &[(&str, Read)] = &[
    ("AcceptVpcPeeringConnection", peerings::accept),
    ("AllocateAddress", elastic_addresses::allocate),
    ("AssignIpv6Addresses", eni_v6::assign),
    ("AssignPrivateIpAddresses", eni_request::assign),
    ("AssociateAddress", elastic_addresses::associate),
    ("AssociateRouteTable", route_tables::associate),
    ("AssociateSubnetCidrBlock", subnet_cidrs::associate),
    ("AssociateTrunkInterface", trunks::associate),
    ("AssociateVpcCidrBlock", vpc_cidrs::associate),
    ("AttachInternetGateway", internet_gateways::attach),
    ("AttachNetworkInterface", enis::attach),
    ("AuthorizeSecurityGroupEgress", groups::authorize_egress),
    ("AuthorizeSecurityGroupIngress", groups::authorize_ingress),
    (
        "CreateEgressOnlyInternetGateway",
        internet_gateways::create_egress_only,
    ),
    ("CreateFlowLogs", flow_logs::create),
    ("CreateInternetGateway", internet_gateways::create),
    ("CreateManagedPrefixList", prefix_lists::create),
    ("CreateNatGateway", nat_gateways::create),
    ("CreateNetworkAcl", network_acls::create),
    ("CreateNetworkAclEntry", network_acls::create_entry),
    ("CreateNetworkInterface", enis::create),
    ("CreateNetworkInterfacePermission", eni_permissions::create),
    ("CreateRoute", routes::create),
    ("CreateRouteTable", route_tables::create),
    ("CreateSecurityGroup", groups::create),
    ("CreateSubnet", subnets::create),
    ("CreateSubnetCidrReservation", reservations::create),
    ("CreateTags", tags::create),
    ("CreateVpc", vpcs::create),
    ("CreateVpcPeeringConnection", peerings::create),
    (
        "DeleteEgressOnlyInternetGateway",
        internet_gateways::delete_egress_only,
    ),
    ("DeleteFlowLogs", flow_logs::delete),
    ("DeleteInternetGateway", internet_gateways::delete),
    ("DeleteManagedPrefixList", prefix_lists::delete),
    ("DeleteNatGateway", nat_gateways::delete),
    ("DeleteNetworkAcl", network_acls::delete),
    ("DeleteNetworkAclEntry", network_acls::delete_entry),
    ("DeleteNetworkInterface", enis::delete),
    ("DeleteNetworkInterfacePermission", eni_permissions::delete),
    ("DeleteRoute", routes::delete),
    ("DeleteRouteTable", route_tables::delete),
    ("DeleteSecurityGroup", groups::delete),
    ("DeleteSubnet", subnets::delete),
    ("DeleteSubnetCidrReservation", reservations::delete),
    ("DeleteTags", tags::delete),
    ("DeleteVpc", vpcs::delete),
    ("DeleteVpcPeeringConnection", peerings::delete),
    ("DescribeAccountAttributes", catalogue::account_attributes),
    ("DescribeAddresses", elastic_addresses::describe),
    (
        "DescribeAddressesAttribute",
        elastic_addresses::describe_attribute,
    ),
    ("DescribeAvailabilityZones", catalogue::zones),
    ("DescribeEgressOnlyInternetGateways", |p| {
        internet_gateways::DESCRIBE_EGRESS_ONLY.call(p)
    }),
    ("DescribeFlowLogs", |p| flow_logs::DESCRIBE.call(p)),
    ("DescribeImages", images::describe),
    ("DescribeInstanceAttribute", instance_attributes::describe),
    ("DescribeInstanceStatus", instances::describe_status),
    ("DescribeInstanceTypeOfferings", instance_types::offerings),
    ("DescribeInstanceTypes", instance_types::describe),
    ("DescribeInstances", instances::describe),
    ("DescribeInternetGateways", |p| {
        internet_gateways::DESCRIBE.call(p)
    }),
    ("DescribeManagedPrefixLists", prefix_lists::describe),
    ("DescribeNatGateways", |p| nat_gateways::DESCRIBE.call(p)),
    ("DescribeNetworkAcls", |p| network_acls::DESCRIBE.call(p)),
    (
        "DescribeNetworkInterfaceAttribute",
        enis::describe_attribute,
    ),
    ("DescribeNetworkInterfacePermissions", |p| {
        eni_permissions::DESCRIBE.call(p)
    }),
    ("DescribeNetworkInterfaces", enis::describe),
    ("DescribePrefixLists", prefix_lists::describe_services),
    ("DescribeRegions", catalogue::regions),
    ("DescribeRouteTables", |p| route_tables::DESCRIBE.call(p)),
    ("DescribeSecurityGroupReferences", group_peers::references),
    ("DescribeSecurityGroupRules", groups::describe_rules),
    ("DescribeSecurityGroups", groups::describe),
    ("DescribeStaleSecurityGroups", group_peers::stale),
    ("DescribeSubnets", |p| subnets::DESCRIBE.call(p)),
    ("DescribeTags", tags::describe),
    ("DescribeTrunkInterfaceAssociations", |p| {
        trunks::DESCRIBE.call(p)
    }),
    ("DescribeVpcAttribute", vpcs::describe_attribute),
    ("DescribeVpcClassicLink", vpcs::classic_link),
    ("DescribeVpcClassicLinkDnsSupport", vpcs::classic_link),
    ("DescribeVpcPeeringConnections", |p| {
        peerings::DESCRIBE.call(p)
    }),
    ("DescribeVpcs", |p| vpcs::DESCRIBE.call(p)),
    ("DetachInternetGateway", internet_gateways::detach),
    ("DetachNetworkInterface", enis::detach),
    ("DisassociateAddress", elastic_addresses::disassociate),
    ("DisassociateRouteTable", route_tables::disassociate),
    ("DisassociateSubnetCidrBlock", subnet_cidrs::disassociate),
    ("DisassociateTrunkInterface", trunks::disassociate),
    ("DisassociateVpcCidrBlock", vpc_cidrs::disassociate),
    (
        "GetManagedPrefixListAssociations",
        prefix_lists::associations,
    ),
    ("GetManagedPrefixListEntries", prefix_lists::entries),
    ("GetSecurityGroupsForVpc", group_peers::for_vpc),
    ("GetSubnetCidrReservations", reservations::get),
    ("ModifyInstanceAttribute", instance_attributes::modify),
    ("ModifyInstanceMetadataOptions", metadata_options::modify),
    ("ModifyManagedPrefixList", prefix_lists::modify),
    ("ModifyNetworkInterfaceAttribute", enis::modify_attribute),
    ("ModifySecurityGroupRules", rule_changes::modify),
    ("ModifySubnetAttribute", subnets::modify_attribute),
    ("ModifyVpcAttribute", vpcs::modify_attribute),
    (
        "ModifyVpcPeeringConnectionOptions",
        peerings::modify_options,
    ),
    ("RebootInstances", power::reboot),
    ("RejectVpcPeeringConnection", peerings::reject),
    ("ReleaseAddress", elastic_addresses::release),
    (
        "ReplaceNetworkAclAssociation",
        network_acls::replace_association,
    ),
    ("ReplaceNetworkAclEntry", network_acls::replace_entry),
    ("ReplaceRoute", routes::replace),
    (
        "ReplaceRouteTableAssociation",
        route_tables::replace_association,
    ),
    ("ResetInstanceAttribute", instance_attributes::reset),
    ("ResetNetworkInterfaceAttribute", enis::reset_attribute),
    ("RestoreManagedPrefixListVersion", prefix_lists::restore),
    ("RevokeSecurityGroupEgress", groups::revoke_egress),
    ("RevokeSecurityGroupIngress", groups::revoke_ingress),
    ("RunInstances", instances::run),
    ("StartInstances", power::start),
    ("StopInstances", power::stop),
    ("TerminateInstances", instances::terminate),
    ("UnassignIpv6Addresses", eni_v6::unassign),
    ("UnassignPrivateIpAddresses", eni_request::unassign),
    (
        "UpdateSecurityGroupRuleDescriptionsEgress",
        rule_changes::describe_egress,
    ),
    (
        "UpdateSecurityGroupRuleDescriptionsIngress",
        rule_changes::describe_ingress,
    ),
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

    #[test]
    fn the_table_of_fidelity_lists_what_is_implemented() {
        let page = include_str!("../../../../docs/fidelity.md");
        let (_, after) = page.split_once("\n## Actions\n").unwrap();
        let (table, _) = after.split_once("\n## ").unwrap();
        let rows = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            Some((cells.next()?.strip_suffix('`')?, cells.next()?))
        });
        let (absent, present): (Vec<_>, Vec<_>) = rows.partition(|(_, state)| *state == "absent");
        for (name, state) in &present {
            assert!(["full", "partial"].contains(state), "{name}: {state}");
        }
        for (name, _) in absent {
            assert!(named(name).is_none(), "{name} is implemented");
        }
        let listed: Vec<_> = present.iter().map(|(name, _)| *name).collect();
        let implemented: Vec<_> = ACTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, implemented, "docs/fidelity.md, in order of names");
    }
}
