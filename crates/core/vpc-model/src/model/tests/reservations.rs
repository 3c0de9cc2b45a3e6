//! Parts of subnets that are kept for one use, and what a subnet in pieces has left.

use ipnet::IpNet;

use super::*;
use crate::{ReservationKind, ReservationRequest, SubnetRequest, V6Request};

fn subnet_of(cidr: &str) -> (Model, SubnetId) {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let vpc = model
        .create_dual_stack_vpc(net("10.0.0.0/16"), Tags::new(), NOW)
        .unwrap();
    let block = model.vpc(&vpc).unwrap().v6_cidrs[0].cidr;
    let request = SubnetRequest {
        vpc,
        cidr: net(cidr),
        v6: block.subnets(64).unwrap().next(),
        zone: None,
        tags: Tags::new(),
    };
    let subnet = model.create_subnet_with(request, NOW).unwrap();
    (model, subnet)
}

fn part(subnet: &SubnetId, cidr: &str, kind: ReservationKind) -> ReservationRequest {
    ReservationRequest {
        subnet: subnet.clone(),
        cidr: cidr.parse().unwrap(),
        kind,
        description: None,
        tags: Tags::new(),
    }
}

fn with(subnet: &SubnetId, v4: V4Request) -> EniRequest {
    EniRequest {
        v4,
        ..EniRequest::new(subnet.clone())
    }
}

#[test]
fn nothing_is_chosen_from_an_explicit_part_and_all_of_it_can_be_named() {
    let (mut model, subnet) = subnet_of("10.0.1.0/27");
    // It may cover the subnet's own addresses.
    let low = part(&subnet, "10.0.1.0/28", ReservationKind::Explicit);
    let id = model.reserve(low).unwrap();
    assert_eq!(model.available_addresses(&subnet), 15);
    let eni = model
        .create_eni(&with(&subnet, V4Request::Count(14)))
        .unwrap();
    assert_eq!(model.available_addresses(&subnet), 0);
    let lowest = model.eni(&eni).unwrap().addresses.primary;
    assert_eq!(lowest, Ipv4Addr::new(10, 0, 1, 16));
    assert_eq!(
        code(model.create_eni(&EniRequest::new(subnet.clone()))),
        "InsufficientFreeAddressesInSubnet"
    );
    let named = EniRequest {
        primary: Some(Ipv4Addr::new(10, 0, 1, 9)),
        ..EniRequest::new(subnet.clone())
    };
    model.create_eni(&named).unwrap();
    assert_eq!(model.available_addresses(&subnet), 0);
    // What is in use stays so; the rest can be chosen again.
    model.unreserve(&id).unwrap();
    assert_eq!(model.available_addresses(&subnet), 16 - 4 - 1);
    assert_eq!(
        code(model.unreserve(&id)),
        "InvalidSubnetCidrReservationID.NotFound"
    );
    check_invariants(&model);
}

#[test]
fn prefixes_are_chosen_from_the_parts_that_are_kept_for_them() {
    let (mut model, subnet) = subnet_of("10.0.1.0/24");
    for cidr in ["10.0.1.64/27", "10.0.1.128/28"] {
        let kept = part(&subnet, cidr, ReservationKind::Prefix);
        model.reserve(kept).unwrap();
    }
    let eni = model
        .create_eni(&with(&subnet, V4Request::PrefixCount(3)))
        .unwrap();
    let prefixes = &model.eni(&eni).unwrap().addresses.prefixes;
    assert_eq!(
        *prefixes,
        ["10.0.1.64/28", "10.0.1.80/28", "10.0.1.128/28"].map(net)
    );
    // Many addresses are free, and none of them for prefixes.
    let free = model.available_addresses(&subnet);
    assert_eq!(free, 256 - 5 - 48 - 1);
    assert_eq!(
        code(model.create_eni(&with(&subnet, V4Request::PrefixCount(1)))),
        "InsufficientCidrBlocks"
    );
    let elsewhere = V4Request::Prefixes(vec![net("10.0.1.16/28")]);
    model.create_eni(&with(&subnet, elsewhere)).unwrap();
    check_invariants(&model);
}

#[test]
fn parts_lie_in_the_subnet_apart_from_each_other() {
    let (mut model, subnet) = subnet_of("10.0.1.0/24");
    let first = part(&subnet, "10.0.1.70/27", ReservationKind::Explicit);
    let id = model.reserve(first).unwrap();
    let made = model.reservations().next().unwrap();
    assert_eq!((&made.id, made.cidr), (&id, IpNet::V4(net("10.0.1.64/27"))));
    for (cidr, kind) in [
        ("10.0.1.80/28", ReservationKind::Explicit),
        ("10.0.1.0/25", ReservationKind::Explicit),
        ("10.0.2.0/28", ReservationKind::Explicit),
        ("10.0.0.0/16", ReservationKind::Explicit),
        ("10.0.1.128/29", ReservationKind::Prefix),
        ("2001:db8::/80", ReservationKind::Prefix),
    ] {
        let refused = model.reserve(part(&subnet, cidr, kind));
        assert_eq!(code(refused), "InvalidParameterValue", "{cidr}");
    }
    model.delete_subnet(&subnet).unwrap();
    assert_eq!(model.reservations().count(), 0);
}

#[test]
fn parts_of_ipv6_are_kept_too() {
    let (mut model, subnet) = subnet_of("10.0.1.0/24");
    let block = model.subnet(&subnet).unwrap().v6_cidr().unwrap();
    let nth = |n| block.subnets(80).unwrap().nth(n).unwrap();
    let low = nth(0).to_string();
    let low = model.reserve(part(&subnet, &low, ReservationKind::Explicit));
    low.unwrap();
    let fifth = nth(5).to_string();
    let kept = model.reserve(part(&subnet, &fifth, ReservationKind::Prefix));
    let kept = kept.unwrap();
    let eni = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let mut assign = |request| model.assign_v6(&eni, &request, NOW);
    let chosen = assign(V6Request::Count(1)).unwrap().addresses;
    assert_eq!(chosen, [nth(1).network()]);
    let chosen = assign(V6Request::PrefixCount(1)).unwrap().prefixes;
    assert_eq!(chosen, [nth(5)]);
    assert_eq!(
        code(assign(V6Request::PrefixCount(1))),
        "InsufficientCidrBlocks"
    );
    model.unreserve(&kept).unwrap();
    let chosen = model.assign_v6(&eni, &V6Request::PrefixCount(1), NOW);
    assert_eq!(chosen.unwrap().prefixes, [nth(2)]);
    check_invariants(&model);
}

#[test]
fn a_subnet_in_pieces_has_addresses_and_no_block() {
    let (mut model, subnet) = subnet_of("10.0.1.0/26");
    for block in 1..3 {
        let primary = Some(Ipv4Addr::new(10, 0, 1, block * 16 + 3));
        let request = EniRequest {
            primary,
            ..EniRequest::new(subnet.clone())
        };
        model.create_eni(&request).unwrap();
    }
    let fresh = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let mut ask = |request| code(model.assign(&fresh, &request, false, NOW));
    // Three refusals for three things: no room in one piece, not so much room, no room.
    assert_eq!(ask(V4Request::PrefixCount(1)), "InsufficientCidrBlocks");
    assert_eq!(ask(V4Request::Count(60)), "InvalidParameterValue");
    model
        .assign(&fresh, &V4Request::Count(56), false, NOW)
        .unwrap();
    let code = code(model.assign(&fresh, &V4Request::Count(1), false, NOW));
    assert_eq!(code, "InsufficientFreeAddressesInSubnet");
    check_invariants(&model);
}
