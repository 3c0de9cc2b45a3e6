//! Rules of security groups: what counts, what is there already, what is refused.

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
