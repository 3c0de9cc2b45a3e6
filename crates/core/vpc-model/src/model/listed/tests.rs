//! What indexes and listings answer is what a look at every object would.

use std::fmt::Debug;

use super::*;
use crate::{InstanceState, TagEntry};

/// Checks every index of a model.
pub(in crate::model) fn check_listings(model: &Model) {
    let enis: Vec<_> = model.known_enis().collect();
    check_order(enis.iter().filter_map(|id| model.described_eni(id)), model);
    check_order(model.groups(), model);
    for eni in model.enis() {
        for key in keys_of_eni(eni) {
            let alike = |each: &&Eni| match &key {
                EniKey::Address(address) => each.addresses.contains(*address),
                key => keys_of_eni(each).contains(key),
            };
            check_found::<Eni>(model, &key, model.enis().filter(alike).map(Listed::id));
        }
    }
    let described: Vec<_> = model.instances().map(|each| &each.id).collect();
    let described = described
        .iter()
        .filter_map(|id| model.described_instance(id));
    check_order(described, model);
    for instance in model.instances() {
        for key in keys_of_instance(model, instance) {
            let alike = |each: &&Instance| match &key {
                InstanceKey::Address(address) => {
                    let mut enis = model.enis_of(&each.id).into_iter();
                    enis.any(|eni| eni.addresses.contains(*address))
                }
                key => keys_of_instance(model, each).contains(key),
            };
            let ids = model.instances().filter(alike).map(Listed::id);
            check_found::<Instance>(model, &key, ids);
        }
    }
    check_small_tables(model);
    check_tags(model);
}

/// A listing from any id on is that of all objects but those before.
fn check_order<'a, T: Listed + PartialEq + Debug>(
    all: impl Iterator<Item = &'a T>,
    model: &'a Model,
) {
    let all: Vec<_> = all.collect();
    assert!(all.is_sorted_by_key(|each| each.id()));
    assert!(T::after(model, None).eq(all.iter().copied()));
    for (place, each) in all.iter().enumerate() {
        let later = all.iter().skip(place + 1).copied();
        assert!(T::after(model, Some(each.id())).eq(later));
        assert_eq!(T::shown(model, each.id()), Some(*each));
    }
}

/// An index may have more than what there is now: what is still seen so.
fn check_found<'a, T: Listed<Id: Debug>>(
    model: &'a Model,
    key: &T::Key,
    expected: impl Iterator<Item = &'a T::Id>,
) where
    T::Key: Clone + Debug,
{
    let Some(found) = T::found(model, std::slice::from_ref(key), None) else {
        return;
    };
    let most = found.most;
    let ids: Vec<_> = found.ids.collect();
    assert!(ids.is_sorted() && ids.len() <= most, "{key:?}: {ids:?}");
    let mut count = 0;
    for id in expected {
        assert!(ids.contains(&id), "{key:?} does not find {id:?}");
        count += 1;
        let later = T::found(model, &[key.clone(), key.clone()], Some(id)).unwrap();
        assert!(later.ids.eq(ids.iter().copied().filter(|each| *each > id)));
    }
    if !model.sees_any_past() {
        assert_eq!(ids.len(), count, "{key:?}: {ids:?}");
    }
}

fn keys_of_eni(eni: &Eni) -> Vec<EniKey> {
    let mut keys: Vec<_> = eni.addresses.iter().map(EniKey::Address).collect();
    keys.extend(
        eni.attachment
            .iter()
            .map(|held| EniKey::Attachment(held.id.clone())),
    );
    keys.extend(eni.groups.iter().cloned().map(EniKey::Group));
    keys.extend(eni.instance().cloned().map(EniKey::Instance));
    let tags = eni.tags.clone().into_iter();
    keys.extend(tags.map(|(key, value)| EniKey::Tag(key, value)));
    keys.extend([
        EniKey::Id(eni.id.clone()),
        EniKey::Mac(eni.mac),
        EniKey::Subnet(eni.subnet.clone()),
        EniKey::Vpc(eni.vpc.clone()),
    ]);
    keys
}

fn keys_of_instance(model: &Model, instance: &Instance) -> Vec<InstanceKey> {
    let enis = model.enis_of(&instance.id);
    let mut keys: Vec<_> = enis
        .iter()
        .map(|eni| InstanceKey::Eni(eni.id.clone()))
        .collect();
    let addresses = enis.iter().flat_map(|eni| eni.addresses.iter());
    keys.extend(addresses.map(InstanceKey::Address));
    let tags = instance.tags.clone().into_iter();
    keys.extend(tags.map(|(key, value)| InstanceKey::Tag(key, value)));
    keys.extend([
        InstanceKey::Id(instance.id.clone()),
        InstanceKey::Launch(instance.reservation.clone()),
        InstanceKey::Subnet(instance.subnet.clone()),
        InstanceKey::Vpc(instance.vpc.clone()),
    ]);
    keys
}

fn check_small_tables(model: &Model) {
    let alive = |each: &&Instance| each.state != InstanceState::Terminated;
    let alive = model.instances().filter(alive).count();
    assert_eq!(model.instances.index().alive(), alive);
    for subnet in model.subnets() {
        let uses = |table: &&RouteTable| {
            let mut associations = table.associations.iter();
            associations.any(|each| each.subnet.as_ref() == Some(&subnet.id))
        };
        let main = || model.route_table(&model.vpc(&subnet.vpc)?.main_route_table);
        let table = model.route_tables().find(uses).or_else(main);
        assert_eq!(model.route_table_of(&subnet.id), table);
        let has = |acl: &&NetworkAcl| acl.associations.iter().any(|each| each.subnet == subnet.id);
        assert_eq!(
            model.network_acl_of(&subnet.id),
            model.network_acls().find(has)
        );
    }
    for group in model.groups() {
        for rule in &group.rules {
            assert_eq!(model.rule(&rule.id), Some((group, rule)));
        }
        let ids = group.rules.iter().map(Listed::id);
        check_found::<Rule>(model, &RuleKey::Group(group.id.clone()), ids);
    }
    let rules = model.groups().flat_map(|group| &group.rules);
    assert_eq!(Rule::after(model, None).count(), rules.count());
    for eni in model.enis() {
        let carried = |each: &&TrunkAssociation| each.trunk == eni.id;
        let carried = model.trunk_associations().filter(carried);
        assert!(model.branches_of(&eni.id).eq(carried));
        let leads = |table: &&RouteTable| {
            let target = crate::RouteTarget::Eni(eni.id.clone());
            table.routes.iter().any(|route| route.target == target)
        };
        let leading = model.route_tables().filter(leads).map(|table| &table.id);
        assert!(model.route_tables.index().to_eni(&eni.id).eq(leading));
    }
}

fn check_tags(model: &Model) {
    let all: Vec<_> = model.tags_after(None).collect();
    let place = |entry: &TagEntry<'_>| format!("{} {}", entry.resource, entry.key);
    assert!(all.is_sorted_by_key(place));
    let held = model.enis().map(|eni| eni.tags.len()).sum::<usize>();
    assert_eq!(
        all.iter()
            .filter(|each| each.kind == "network-interface")
            .count(),
        held
    );
    for (number, entry) in all.iter().enumerate() {
        let after = Some((entry.resource, entry.key));
        assert!(
            model
                .tags_after(after)
                .eq(all.iter().skip(number + 1).copied())
        );
        assert!(model.tags_on(entry.resource).any(|each| each == *entry));
    }
}

#[test]
fn sequences_in_order_become_one() {
    let (odd, even, all) = ([1, 3, 5], [2, 4], [1, 2, 3, 4, 5]);
    let parts: Vec<Box<dyn Iterator<Item = &i32>>> = vec![
        Box::new(odd.iter()),
        Box::new(all.iter()),
        Box::new(even.iter()),
    ];
    assert!(merged(parts).eq(all.iter()));
}
