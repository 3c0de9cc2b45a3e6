//! Rules of security groups: what counts, what is there already, what is refused.

use underlay_types::SecurityGroupRuleId;

use super::*;
use crate::{
    AddressFamily, PortRange, PrefixListRequest, RuleDirection, RulePeer, RuleSpec, RuleTraffic,
};

pub(super) fn port(port: u16) -> RuleTraffic {
    RuleTraffic::Tcp(PortRange {
        from: port,
        to: port,
    })
}

pub(super) fn spec(traffic: RuleTraffic, peer: RulePeer) -> RuleSpec {
    RuleSpec {
        traffic,
        peer,
        description: None,
    }
}

pub(super) fn v4(block: &str) -> RulePeer {
    RulePeer::Ipv4(net(block))
}

pub(super) fn v6(block: &str) -> RulePeer {
    RulePeer::Ipv6(block.parse().unwrap())
}

/// A VPC's default group, whose ingress has one rule already: from itself.
pub(super) fn with_group() -> (Model, SecurityGroupId) {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let vpc = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
    let group = model.vpc(&vpc).unwrap().default_group.clone();
    (model, group)
}

pub(super) fn allow(
    model: &mut Model,
    group: &SecurityGroupId,
    specs: &[RuleSpec],
) -> Result<usize, Ec2Error> {
    let added = model.authorize(group, RuleDirection::Ingress, specs, &Tags::new())?;
    Ok(added.len())
}

#[test]
fn what_is_there_already_is_a_duplicate_even_in_a_full_group() {
    let (mut model, group) = with_group();
    let rules: Vec<_> = (1..60).map(|n| spec(port(n), v4("10.0.0.0/8"))).collect();
    assert_eq!(allow(&mut model, &group, &rules), Ok(59));
    let before = model.clone();
    // Not canonical, and the same rule all the same.
    let again = spec(port(1), v4("10.1.2.3/8"));
    let new = spec(port(60), v4("10.0.0.0/8"));
    for (specs, expected) in [
        (vec![again.clone()], "InvalidPermission.Duplicate"),
        (vec![new.clone(), again], "InvalidPermission.Duplicate"),
        (vec![new.clone(), new.clone()], "InvalidParameterValue"),
        (vec![new], "RulesPerSecurityGroupLimitExceeded"),
    ] {
        assert_eq!(code(allow(&mut model, &group, &specs)), expected);
    }
    assert!(model == before);
}

#[test]
fn rules_of_the_two_families_are_counted_apart_and_groups_as_both() {
    let (mut model, group) = with_group();
    let rules = |peer: RulePeer| -> Vec<_> {
        let rule = |n| spec(port(n), peer.clone());
        (1..60).map(rule).collect()
    };
    // The rule from the group itself counts for both.
    assert_eq!(allow(&mut model, &group, &rules(v4("10.0.0.0/8"))), Ok(59));
    assert_eq!(allow(&mut model, &group, &rules(v6("fd00::/8"))), Ok(59));
    for peer in [
        v4("10.0.0.0/8"),
        v6("fd00::/8"),
        RulePeer::Group(group.clone()),
    ] {
        assert_eq!(
            code(allow(&mut model, &group, &[spec(port(60), peer)])),
            "RulesPerSecurityGroupLimitExceeded"
        );
    }
    // Egress has a quota of its own.
    let egress = [spec(port(60), v4("10.0.0.0/8"))];
    model
        .authorize(&group, RuleDirection::Egress, &egress, &Tags::new())
        .unwrap();
}

#[test]
fn a_prefix_list_counts_as_many_rules_as_it_may_have_entries() {
    let (mut model, group) = with_group();
    let mut list = |family, max_entries| {
        let request = PrefixListRequest {
            name: "office".to_owned(),
            family,
            max_entries,
            entries: Vec::new(),
            tags: Tags::new(),
        };
        RulePeer::PrefixList(model.create_prefix_list(&request, NOW).unwrap())
    };
    let (large, small) = (list(AddressFamily::Ipv4, 55), list(AddressFamily::Ipv4, 4));
    let of_v6 = list(AddressFamily::Ipv6, 59);
    assert_eq!(allow(&mut model, &group, &[spec(port(1), large)]), Ok(1));
    assert_eq!(allow(&mut model, &group, &[spec(port(1), of_v6)]), Ok(1));
    assert_eq!(
        allow(&mut model, &group, &[spec(port(1), small.clone())]),
        Ok(1)
    );
    assert_eq!(
        code(allow(&mut model, &group, &[spec(port(2), small)])),
        "RulesPerSecurityGroupLimitExceeded"
    );
    let unknown = RulePeer::PrefixList("pl-0123456789abcdef0".parse().unwrap());
    assert_eq!(
        code(allow(&mut model, &group, &[spec(port(1), unknown)])),
        "InvalidPrefixListID.NotFound"
    );
}

#[test]
fn rules_are_modified_all_or_none() {
    let (mut model, group) = with_group();
    let rules = [
        spec(port(1), v4("10.0.0.0/8")),
        spec(port(2), v4("10.0.0.0/8")),
    ];
    let ingress = RuleDirection::Ingress;
    let ids = model
        .authorize(&group, ingress, &rules, &Tags::new())
        .unwrap();
    let unknown = "sgr-0123456789abcdef0".parse().unwrap();
    let before = model.clone();
    let to = |n, peer: RulePeer| spec(port(n), peer);
    for (changes, expected) in [
        // The second would be what the first is.
        (
            vec![(ids[1].clone(), rules[0].clone())],
            "InvalidPermission.Duplicate",
        ),
        (
            vec![
                (ids[0].clone(), to(3, v4("10.0.0.0/8"))),
                (unknown, to(4, v4("10.0.0.0/8"))),
            ],
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (
            vec![(ids[0].clone(), to(3, v4("0.0.0.0/0"))); 2],
            "InvalidParameterValue",
        ),
        (
            vec![(
                ids[0].clone(),
                to(3, RulePeer::Group("sg-0123456789abcdef0".parse().unwrap())),
            )],
            "InvalidGroup.NotFound",
        ),
    ] {
        assert_eq!(code(model.modify_rules(&group, &changes)), expected);
        assert!(model == before);
    }
    // Both change places: neither is a duplicate when all is done.
    let swapped = [
        (ids[0].clone(), rules[1].clone()),
        (ids[1].clone(), to(1, v6("fd00::1/8"))),
    ];
    model.modify_rules(&group, &swapped).unwrap();
    let held = |id: &SecurityGroupRuleId| {
        let rules = &model.group(&group).unwrap().rules;
        let rule = rules.iter().find(|rule| &rule.id == id).unwrap();
        (rule.traffic, rule.peer.clone())
    };
    assert_eq!(held(&ids[0]), (port(2), v4("10.0.0.0/8")));
    assert_eq!(held(&ids[1]), (port(1), v6("fd00::/8")));
}

#[test]
fn descriptions_are_replaced_or_removed() {
    let (mut model, group) = with_group();
    let rule = RuleSpec {
        description: Some("old".to_owned()),
        ..spec(port(1), v4("10.0.0.0/8"))
    };
    let ingress = RuleDirection::Ingress;
    let ids = model
        .authorize(&group, ingress, std::slice::from_ref(&rule), &Tags::new())
        .unwrap();
    let described = |model: &Model| {
        let rules = &model.group(&group).unwrap().rules;
        let rule = rules.iter().find(|rule| rule.id == ids[0]).unwrap();
        rule.description.clone()
    };
    let plain = spec(port(1), v4("10.1.2.3/8"));
    let egress = RuleDirection::Egress;
    assert_eq!(
        code(model.describe_rules_as(&group, egress, std::slice::from_ref(&plain))),
        "InvalidPermission.NotFound"
    );
    assert_eq!(
        code(model.describe_rules_by_id(&group, egress, &[(ids[0].clone(), None)])),
        "InvalidSecurityGroupRuleId.NotFound"
    );
    assert_eq!(described(&model).as_deref(), Some("old"));
    model.describe_rules_as(&group, ingress, &[plain]).unwrap();
    assert_eq!(described(&model), None);
    let new = [(ids[0].clone(), Some("new".to_owned()))];
    model.describe_rules_by_id(&group, ingress, &new).unwrap();
    assert_eq!(described(&model).as_deref(), Some("new"));
}

#[test]
fn a_rule_may_name_a_group_of_a_peered_vpc_and_is_stale_without_it() {
    let (mut model, group) = with_group();
    let own = model.group(&group).unwrap().vpc.clone();
    let other = model.create_vpc(net("10.1.0.0/16"), Tags::new()).unwrap();
    let peer = model
        .create_group(&other, "peer", "peer", Tags::new())
        .unwrap();
    let rule = spec(port(1), RulePeer::Group(peer.clone()));
    let rules = std::slice::from_ref(&rule);
    assert_eq!(
        code(allow(&mut model, &group, rules)),
        "InvalidGroup.NotFound"
    );

    let peering = model
        .create_peering(&own, &other, Tags::new(), NOW)
        .unwrap();
    model.accept_peering(&peering, NOW).unwrap();
    assert_eq!(allow(&mut model, &group, rules), Ok(1));
    let stale = |model: &Model| {
        let group = model.group(&group).unwrap();
        let rules = group.rules.iter();
        rules.filter(|rule| model.is_stale(group, rule)).count()
    };
    let references = |model: &Model| {
        let all = model.references_across(&peer);
        all.into_iter()
            .map(|(vpc, peering)| (vpc.clone(), peering.id.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(stale(&model), 0);
    assert_eq!(references(&model), [(own, peering.clone())]);
    // A rule of another VPC does not keep the group.
    let mut without_group = model.clone();
    without_group.delete_group(&peer).unwrap();
    assert_eq!(stale(&without_group), 1);
    model.delete_peering(&peering, NOW).unwrap();
    assert_eq!(stale(&model), 1);
    assert_eq!(references(&model), []);
    // What is stale can be removed.
    model.revoke(&group, RuleDirection::Ingress, rules).unwrap();
    assert_eq!(stale(&model), 0);
}
