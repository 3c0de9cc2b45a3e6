//! Managed prefix lists: versions, sizes, and what names them.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    groups::{allow, port, spec, with_group},
    *,
};
use crate::{
    AddressFamily, PrefixListChange, PrefixListEntry, PrefixListOwner, PrefixListRequest,
    PrefixListState, RuleDirection, RulePeer,
};

fn entry(block: &str, description: &str) -> PrefixListEntry {
    PrefixListEntry {
        cidr: block.parse().unwrap(),
        description: description.to_owned(),
    }
}

fn request(max_entries: u32, blocks: &[&str]) -> PrefixListRequest {
    PrefixListRequest {
        name: "office".to_owned(),
        family: AddressFamily::Ipv4,
        max_entries,
        entries: blocks.iter().map(|block| entry(block, "")).collect(),
        tags: Tags::new(),
    }
}

fn blocks(model: &Model, id: &PrefixListId, version: Option<u64>) -> Vec<String> {
    let entries = model.prefix_list_entries(id, version).unwrap();
    entries.iter().map(|entry| entry.cidr.to_string()).collect()
}

fn add(version: u64, block: &str) -> PrefixListChange {
    PrefixListChange {
        current_version: Some(version),
        add: vec![entry(block, "")],
        ..PrefixListChange::default()
    }
}

fn state(model: &Model, id: &PrefixListId) -> PrefixListState {
    model.prefix_list(id).unwrap().state
}

#[test]
fn entries_make_versions_and_names_do_not() {
    let (mut model, _) = with_group();
    let id = model
        .create_prefix_list(&request(3, &["10.1.2.3/16", "10.0.0.0/16"]), NOW)
        .unwrap();
    assert_eq!(state(&model, &id), PrefixListState::CreateComplete);
    assert_eq!(blocks(&model, &id, None), ["10.0.0.0/16", "10.1.0.0/16"]);
    let swap = PrefixListChange {
        remove: vec!["10.0.0.0/16".parse::<IpNet>().unwrap()],
        ..add(1, "10.2.0.0/16")
    };
    model.modify_prefix_list(&id, &swap, NOW).unwrap();
    let rename = PrefixListChange {
        name: Some("branch".to_owned()),
        ..PrefixListChange::default()
    };
    model.modify_prefix_list(&id, &rename, NOW).unwrap();
    let list = model.prefix_list(&id).unwrap();
    assert_eq!((list.version, list.name.as_str()), (2, "branch"));
    assert_eq!(blocks(&model, &id, None), ["10.1.0.0/16", "10.2.0.0/16"]);
    model.restore_prefix_list(&id, 1, 2, NOW).unwrap();
    assert_eq!(state(&model, &id), PrefixListState::RestoreComplete);
    assert_eq!(model.prefix_list(&id).unwrap().version, 3);
    assert_eq!(blocks(&model, &id, None), blocks(&model, &id, Some(1)));
    assert_eq!(model.delete_prefix_list(&id, NOW).unwrap().version, 3);
    assert_eq!(model.prefix_list(&id), None);
}

#[test]
fn what_ec2_does_not_take_is_refused_and_changes_nothing() {
    let (mut model, _) = with_group();
    let of_aws = model
        .prefix_lists()
        .find(|list| list.owner == PrefixListOwner::Aws)
        .map(|list| list.id.clone());
    let before = model.clone();
    let named = |name: &str| PrefixListRequest {
        name: name.to_owned(),
        ..request(1, &[])
    };
    for (request, expected) in [
        (request(0, &[]), "InvalidParameterValue"),
        (request(1_001, &[]), "InvalidParameterValue"),
        (named(""), "InvalidParameterValue"),
        (named("com.amazonaws.mine"), "InvalidParameterValue"),
        (request(2, &["fd00::/8"]), "InvalidParameterValue"),
        (
            request(2, &["10.0.0.0/8", "10.1.0.0/8"]),
            "InvalidParameterValue",
        ),
        (
            request(1, &["10.0.0.0/8", "11.0.0.0/8"]),
            "PrefixListMaxEntriesExceeded",
        ),
    ] {
        assert_eq!(code(model.create_prefix_list(&request, NOW)), expected);
    }
    assert_eq!(
        code(model.delete_prefix_list(&of_aws.unwrap(), NOW)),
        "UnsupportedOperation"
    );
    assert!(model == before);
}

#[test]
fn a_change_that_ec2_does_not_take_is_refused_and_changes_nothing() {
    let (mut model, _) = with_group();
    let id = model
        .create_prefix_list(&request(2, &["10.0.0.0/16"]), NOW)
        .unwrap();
    let before = model.clone();
    let remove = |block: &str| PrefixListChange {
        remove: vec![block.parse().unwrap()],
        ..PrefixListChange::default()
    };
    let resize = |size| PrefixListChange {
        max_entries: Some(size),
        ..PrefixListChange::default()
    };
    let both = PrefixListChange {
        remove: vec!["10.1.0.0/16".parse().unwrap()],
        ..add(1, "10.1.0.0/16")
    };
    let sized = PrefixListChange {
        max_entries: Some(3),
        ..add(1, "10.1.0.0/16")
    };
    for (change, expected) in [
        (add(2, "10.1.0.0/16"), "PrefixListVersionMismatch"),
        (add(1, "10.0.0.0/16"), "InvalidPrefixListModification"),
        (remove("10.1.0.0/16"), "InvalidPrefixListModification"),
        (both, "InvalidParameterValue"),
        (sized, "InvalidParameterCombination"),
        (resize(0), "InvalidParameterValue"),
    ] {
        assert_eq!(code(model.modify_prefix_list(&id, &change, NOW)), expected);
    }
    assert_eq!(
        code(model.restore_prefix_list(&id, 2, 1, NOW)),
        "InvalidParameterValue"
    );
    assert!(model == before);
}

#[test]
fn a_list_that_a_rule_names_is_not_deleted_and_does_not_outgrow_the_group() {
    let (mut model, group) = with_group();
    let id = model.create_prefix_list(&request(2, &[]), NOW).unwrap();
    let rule = spec(port(1), RulePeer::PrefixList(id.clone()));
    allow(&mut model, &group, std::slice::from_ref(&rule)).unwrap();
    assert_eq!(model.prefix_list_references(&id), [group.to_string()]);

    model.delete_prefix_list(&id, NOW).unwrap();
    assert_eq!(state(&model, &id), PrefixListState::DeleteFailed);
    let resize = |size| PrefixListChange {
        max_entries: Some(size),
        ..PrefixListChange::default()
    };
    model.modify_prefix_list(&id, &resize(60), NOW).unwrap();
    let list = model.prefix_list(&id).unwrap();
    assert_eq!(
        (list.state, list.max_entries),
        (PrefixListState::ModifyFailed, 2)
    );
    assert!(
        list.state_message
            .as_ref()
            .unwrap()
            .contains(group.as_str())
    );
    // 59, with the rule from the group itself, are 60.
    model.modify_prefix_list(&id, &resize(59), NOW).unwrap();
    let list = model.prefix_list(&id).unwrap();
    assert_eq!(
        (list.state, list.max_entries),
        (PrefixListState::ModifyComplete, 59)
    );
    assert_eq!(list.state_message, None);

    let ingress = RuleDirection::Ingress;
    model.revoke(&group, ingress, &[rule]).unwrap();
    model.delete_prefix_list(&id, NOW).unwrap();
    assert_eq!(model.prefix_list(&id), None);
}

#[test]
fn what_is_under_way_is_not_interrupted() {
    let mut model = model(Preset::Realistic, AddressOrder::Sequential);
    let id = model.create_prefix_list(&request(2, &[]), NOW).unwrap();
    assert_eq!(state(&model, &id), PrefixListState::CreateInProgress);
    assert_eq!(code(model.delete_prefix_list(&id, NOW)), "IncorrectState");
    let later = NOW + Duration::from_secs(60);
    model.tick(later);
    assert_eq!(state(&model, &id), PrefixListState::CreateComplete);
    model.delete_prefix_list(&id, later).unwrap();
    assert_eq!(state(&model, &id), PrefixListState::DeleteInProgress);
    model.tick(later + Duration::from_secs(60));
    assert_eq!(model.prefix_list(&id), None);
}

#[test]
fn the_oldest_versions_go_first() {
    let (mut model, _) = with_group();
    model.config.limits.versions_per_prefix_list = 2;
    let id = model.create_prefix_list(&request(9, &[]), NOW).unwrap();
    for version in 1..4_u8 {
        let change = add(version.into(), &format!("10.{version}.0.0/16"));
        model.modify_prefix_list(&id, &change, NOW).unwrap();
    }
    let kept: Vec<_> = model.prefix_list(&id).unwrap().versions.keys().collect();
    assert_eq!(kept, [&3, &4]);
}
