//! What filters of DescribeSecurityGroups see.

use underlay_vpc_model::{Model, Rule, RuleDirection, RulePeer, SecurityGroup};

use super::{filter::FilterTable, rules::WireTraffic};

/// The filters, by name.
pub(super) static FILTERS: FilterTable<SecurityGroup> = FilterTable {
    fields: &[
        ("description", |_, group| vec![group.description.clone()]),
        ("egress.ip-permission.cidr", |_, group| {
            each(group, RuleDirection::Egress, cidr)
        }),
        ("egress.ip-permission.from-port", |_, group| {
            each(group, RuleDirection::Egress, from_port)
        }),
        ("egress.ip-permission.group-id", |_, group| {
            each(group, RuleDirection::Egress, peer_id)
        }),
        ("egress.ip-permission.group-name", |model, group| {
            peer_names(model, group, RuleDirection::Egress)
        }),
        ("egress.ip-permission.ipv6-cidr", |_, group| {
            each(group, RuleDirection::Egress, ipv6_cidr)
        }),
        ("egress.ip-permission.prefix-list-id", |_, group| {
            each(group, RuleDirection::Egress, prefix_list)
        }),
        ("egress.ip-permission.protocol", |_, group| {
            each(group, RuleDirection::Egress, protocol)
        }),
        ("egress.ip-permission.to-port", |_, group| {
            each(group, RuleDirection::Egress, to_port)
        }),
        ("egress.ip-permission.user-id", |model, group| {
            peer_owners(model, group, RuleDirection::Egress)
        }),
        ("group-id", |_, group| vec![group.id.to_string()]),
        ("group-name", |_, group| vec![group.name.clone()]),
        ("ip-permission.cidr", |_, group| {
            each(group, RuleDirection::Ingress, cidr)
        }),
        ("ip-permission.from-port", |_, group| {
            each(group, RuleDirection::Ingress, from_port)
        }),
        ("ip-permission.group-id", |_, group| {
            each(group, RuleDirection::Ingress, peer_id)
        }),
        ("ip-permission.group-name", |model, group| {
            peer_names(model, group, RuleDirection::Ingress)
        }),
        ("ip-permission.ipv6-cidr", |_, group| {
            each(group, RuleDirection::Ingress, ipv6_cidr)
        }),
        ("ip-permission.prefix-list-id", |_, group| {
            each(group, RuleDirection::Ingress, prefix_list)
        }),
        ("ip-permission.protocol", |_, group| {
            each(group, RuleDirection::Ingress, protocol)
        }),
        ("ip-permission.to-port", |_, group| {
            each(group, RuleDirection::Ingress, to_port)
        }),
        ("ip-permission.user-id", |model, group| {
            peer_owners(model, group, RuleDirection::Ingress)
        }),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("vpc-id", |_, group| vec![group.vpc.to_string()]),
    ],
    tags: Some(|group| &group.tags),
};

/// The filters of GetSecurityGroupsForVpc.
pub(super) static FOR_VPC_FILTERS: FilterTable<SecurityGroup> = FilterTable {
    fields: &[
        ("description", |_, group| vec![group.description.clone()]),
        ("group-id", |_, group| vec![group.id.to_string()]),
        ("group-name", |_, group| vec![group.name.clone()]),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("primary-vpc-id", |_, group| vec![group.vpc.to_string()]),
    ],
    tags: None,
};

fn each(
    group: &SecurityGroup,
    direction: RuleDirection,
    value: fn(&Rule) -> Option<String>,
) -> Vec<String> {
    group.rules_of(direction).filter_map(value).collect()
}

fn cidr(rule: &Rule) -> Option<String> {
    match &rule.peer {
        RulePeer::Ipv4(block) => Some(block.to_string()),
        RulePeer::Group(_) | RulePeer::Ipv6(_) | RulePeer::PrefixList(_) => None,
    }
}

fn ipv6_cidr(rule: &Rule) -> Option<String> {
    match &rule.peer {
        RulePeer::Ipv6(block) => Some(block.to_string()),
        RulePeer::Group(_) | RulePeer::Ipv4(_) | RulePeer::PrefixList(_) => None,
    }
}

fn peer_id(rule: &Rule) -> Option<String> {
    match &rule.peer {
        RulePeer::Group(id) => Some(id.to_string()),
        RulePeer::Ipv4(_) | RulePeer::Ipv6(_) | RulePeer::PrefixList(_) => None,
    }
}

fn prefix_list(rule: &Rule) -> Option<String> {
    match &rule.peer {
        RulePeer::PrefixList(id) => Some(id.to_string()),
        RulePeer::Group(_) | RulePeer::Ipv4(_) | RulePeer::Ipv6(_) => None,
    }
}

fn peer_names(model: &Model, group: &SecurityGroup, direction: RuleDirection) -> Vec<String> {
    let name = |rule: &Rule| match &rule.peer {
        RulePeer::Group(id) => model.group(id).map(|group| group.name.clone()),
        RulePeer::Ipv4(_) | RulePeer::Ipv6(_) | RulePeer::PrefixList(_) => None,
    };
    group.rules_of(direction).filter_map(name).collect()
}

/// Every group that a rule names is the account's own.
fn peer_owners(model: &Model, group: &SecurityGroup, direction: RuleDirection) -> Vec<String> {
    let peers = each(group, direction, peer_id);
    peers
        .iter()
        .map(|_| model.config().account.to_string())
        .collect()
}

fn protocol(rule: &Rule) -> Option<String> {
    Some(WireTraffic::of(rule.traffic).protocol)
}

fn from_port(rule: &Rule) -> Option<String> {
    Some(WireTraffic::of(rule.traffic).from.to_string())
}

fn to_port(rule: &Rule) -> Option<String> {
    Some(WireTraffic::of(rule.traffic).to.to_string())
}
