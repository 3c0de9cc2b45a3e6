//! IPv6 addresses of interfaces.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::*;
use crate::{SubnetAttribute, SubnetRequest, V6Request};

/// A model with one dual-stack subnet, its block, and an instance of the type in it.
fn dual_stack(order: AddressOrder, kind: &str) -> (Model, SubnetId, Ipv6Net, InstanceId) {
    let mut model = model(Preset::Instant, order);
    let vpc = model
        .create_dual_stack_vpc(net("10.0.0.0/16"), Tags::new(), NOW)
        .unwrap();
    let block = model.vpc(&vpc).unwrap().v6_cidrs[0].cidr;
    let block = block.subnets(64).unwrap().next().unwrap();
    let request = SubnetRequest {
        vpc,
        cidr: net("10.0.1.0/24"),
        v6: Some(block),
        zone: None,
        tags: Tags::new(),
    };
    let subnet = model.create_subnet_with(request, NOW).unwrap();
    model.launch(&launch(&subnet, kind, 1), NOW).unwrap();
    let instance = model.instances().next().unwrap().id.clone();
    (model, subnet, block, instance)
}

fn host(block: Ipv6Net, number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(block.network().to_bits() + number)
}

fn prefix(block: Ipv6Net, number: u128) -> Ipv6Net {
    Ipv6Net::new(host(block, number << 48), 80).unwrap()
}

fn held(model: &Model, eni: &EniId) -> (Vec<Ipv6Addr>, Vec<Ipv6Net>) {
    let held = &model.eni(eni).unwrap().addresses;
    (held.v6.clone(), held.v6_prefixes.clone())
}

#[test]
fn addresses_and_prefixes_are_assigned_and_given_back() {
    let (mut model, subnet, block, instance) = dual_stack(AddressOrder::Sequential, "m5.large");
    let eni = model.primary_eni_of(&instance).unwrap().id.clone();
    let other = model.create_eni(&EniRequest::new(subnet)).unwrap();
    assert_eq!(held(&model, &eni), (vec![], vec![]));
    let mut assign = |eni: &EniId, request| model.assign_v6(eni, &request, NOW);
    let first = assign(&eni, V6Request::Count(2)).unwrap();
    assert_eq!(first.addresses, [host(block, 4), host(block, 5)]);
    let both = vec![host(block, 5), host(block, 99)];
    let named = assign(&eni, V6Request::Addresses(both.clone())).unwrap();
    assert_eq!(named.addresses, [host(block, 99)], "only what is new");
    assert_eq!(
        code(assign(&other, V6Request::Addresses(both))),
        "InvalidIPAddress.InUse"
    );
    let prefixes = assign(&other, V6Request::PrefixCount(2)).unwrap();
    // The first /80 has the reserved addresses.
    assert_eq!(prefixes.prefixes, [prefix(block, 1), prefix(block, 2)]);
    let within = V6Request::Addresses(vec![host(block, (1 << 48) + 7)]);
    assert_eq!(code(assign(&eni, within)), "InvalidIPAddress.InUse");
    let all = held(&model, &eni).0;
    assert_eq!(all, [host(block, 4), host(block, 5), host(block, 99)]);
    let address = host(block, (2 << 48) + 1);
    let vpc = model.eni(&other).unwrap().vpc.clone();
    assert_eq!(model.eni_by_address(&vpc, address).unwrap().id, other);
    model
        .unassign_v6(&other, &[], &[prefix(block, 1)], NOW)
        .unwrap();
    assert_eq!(
        code(model.unassign_v6(&other, &[host(block, 4)], &[], NOW)),
        "InvalidParameterValue"
    );
    model
        .unassign_v6(&eni, &[host(block, 4)], &[], NOW)
        .unwrap();
    let again = model
        .assign_v6(&other, &V6Request::PrefixCount(1), NOW)
        .unwrap();
    assert_eq!(again.prefixes, [prefix(block, 1)]);
    check_invariants(&model);
}

#[test]
fn an_address_that_is_not_free_is_refused_and_said_why() {
    let (mut model, subnet, block, instance) = dual_stack(AddressOrder::Sequential, "m5.large");
    let eni = model.primary_eni_of(&instance).unwrap().id.clone();
    let other = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let taken = V6Request::Prefixes(vec![prefix(block, 2)]);
    model.assign_v6(&other, &taken, NOW).unwrap();
    for (bad, expected) in [
        (
            V6Request::Prefixes(vec![prefix(block, 0)]),
            "InvalidParameterValue",
        ),
        (
            V6Request::Prefixes(vec![prefix(block, 2)]),
            "InvalidIPAddress.InUse",
        ),
        (V6Request::Prefixes(vec![block]), "InvalidParameterValue"),
        (
            V6Request::Addresses(vec![host(block, 3)]),
            "InvalidParameterValue",
        ),
        (
            V6Request::Addresses(vec![block.broadcast()]),
            "InvalidParameterValue",
        ),
        (
            V6Request::Addresses(vec!["2001:db8::9".parse().unwrap()]),
            "InvalidParameterValue",
        ),
        (V6Request::Count(0), "InvalidParameterValue"),
    ] {
        assert_eq!(code(model.assign_v6(&eni, &bad, NOW)), expected, "{bad:?}");
    }
    assert_eq!(held(&model, &eni), (vec![], vec![]));
}

#[test]
fn limits_count_each_family_apart() {
    let (mut model, subnet, _, instance) = dual_stack(AddressOrder::Random, "m5.large");
    let eni = model.primary_eni_of(&instance).unwrap().id.clone();
    model
        .assign(&eni, &V4Request::Count(9), false, NOW)
        .unwrap();
    model.assign_v6(&eni, &V6Request::Count(9), NOW).unwrap();
    model
        .assign_v6(&eni, &V6Request::PrefixCount(1), NOW)
        .unwrap();
    assert_eq!(
        code(model.assign_v6(&eni, &V6Request::Count(1), NOW)),
        "PrivateIpAddressLimitExceeded"
    );
    let eleven = EniRequest {
        v6: Some(V6Request::Count(11)),
        ..EniRequest::new(subnet.clone())
    };
    let free = model.create_eni(&eleven).unwrap();
    assert_eq!(
        code(model.attach(&free, &instance, 1, 0, NOW)),
        "PrivateIpAddressLimitExceeded"
    );
    let mut request = launch(&subnet, "t2.micro", 1);
    request.interfaces[0].source = LaunchInterfaceSource::New(EniRequest {
        v6: Some(V6Request::PrefixCount(1)),
        ..EniRequest::new(subnet)
    });
    assert_eq!(code(model.launch(&request, NOW)), "UnsupportedOperation");
    check_invariants(&model);
}

#[test]
fn a_subnet_gives_new_interfaces_an_address_unless_they_want_none() {
    let (mut model, subnet, block, _) = dual_stack(AddressOrder::Sequential, "m5.large");
    model
        .set_subnet_attribute(&subnet, SubnetAttribute::AssignV6OnCreation(true))
        .unwrap();
    let mut create = |v6| {
        let request = EniRequest {
            v6,
            ..EniRequest::new(subnet.clone())
        };
        let eni = model.create_eni(&request).unwrap();
        held(&model, &eni).0
    };
    assert_eq!(create(None), [host(block, 4)]);
    assert_eq!(create(Some(V6Request::Nothing)), Vec::<Ipv6Addr>::new());
    assert_eq!(
        create(Some(V6Request::Count(2))),
        [host(block, 5), host(block, 6)]
    );
    model.launch(&launch(&subnet, "m5.large", 1), NOW).unwrap();
    let with_v6 = |eni: &&Eni| eni.addresses.v6 == [host(block, 7)] && eni.instance().is_some();
    assert_eq!(model.enis().filter(with_v6).count(), 1);
}

#[test]
fn a_primary_address_stays_until_the_interface_is_detached() {
    let (mut model, subnet, block, instance) = dual_stack(AddressOrder::Sequential, "m5.large");
    let eni = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
    assert_eq!(
        code(model.set_primary_v6(&eni, true, NOW)),
        "InvalidParameterValue"
    );
    model.assign_v6(&eni, &V6Request::Count(2), NOW).unwrap();
    let attachment = model.attach(&eni, &instance, 1, 0, NOW).unwrap();
    model.set_primary_v6(&eni, true, NOW).unwrap();
    let primary = |model: &Model| model.eni(&eni).unwrap().addresses.primary_v6;
    assert_eq!(primary(&model), Some(host(block, 4)));
    assert_eq!(
        code(model.set_primary_v6(&eni, false, NOW)),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(model.unassign_v6(&eni, &[host(block, 4)], &[], NOW)),
        "InvalidParameterValue"
    );
    model
        .unassign_v6(&eni, &[host(block, 5)], &[], NOW)
        .unwrap();
    model.detach(&attachment, NOW).unwrap();
    assert_eq!(primary(&model), None);
    model
        .unassign_v6(&eni, &[host(block, 4)], &[], NOW)
        .unwrap();
    let request = EniRequest {
        primary_v6: true,
        ..EniRequest::new(subnet)
    };
    assert_eq!(code(model.create_eni(&request)), "InvalidParameterValue");
    let request = EniRequest {
        v6: Some(V6Request::Count(1)),
        ..request
    };
    let made = model.create_eni(&request).unwrap();
    let made = &model.eni(&made).unwrap().addresses;
    assert_eq!(made.primary_v6, made.v6.first().copied());
}

#[test]
fn a_subnet_without_ipv6_gives_none_and_one_in_use_keeps_its_block() {
    let (mut model, subnet, _, instance) = dual_stack(AddressOrder::Random, "m5.large");
    let eni = model.primary_eni_of(&instance).unwrap().id.clone();
    model.assign_v6(&eni, &V6Request::Count(1), NOW).unwrap();
    let association = model.subnet(&subnet).unwrap().v6.clone().unwrap().id;
    assert_eq!(
        code(model.disassociate_subnet_v6(&association, NOW)),
        "InvalidCidrBlock.InUse"
    );
    let address = held(&model, &eni).0;
    model.unassign_v6(&eni, &address, &[], NOW).unwrap();
    model.disassociate_subnet_v6(&association, NOW).unwrap();
    assert_eq!(
        code(model.assign_v6(&eni, &V6Request::Count(1), NOW)),
        "InvalidParameterValue"
    );
}
