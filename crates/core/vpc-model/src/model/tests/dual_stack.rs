//! What holds of blocks, IPv6 addresses, prefixes and reserved parts after whatever calls.

use std::{collections::BTreeSet, net::Ipv6Addr, time::Duration};

use ipnet::{IpNet, Ipv6Net};
use proptest::prelude::*;

use super::{
    invariants::{check_indexes, check_written_and_read, taken_in},
    *,
};
use crate::{ReservationKind, ReservationRequest, SubnetAttribute, SubnetRequest, V6Request};

/// An action by number, and numbers that pick among what is there and of what to ask for.
type Op = (u8, usize, usize, u8);

/// Whether a call chose addresses by itself, or was told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Free,
    Told,
}

fn check(model: &Model) {
    let mut taken = BTreeSet::new();
    for subnet in model.subnets() {
        taken_in(model, subnet);
        let vpc = model.vpc(&subnet.vpc).unwrap();
        assert!(vpc.v4_blocks().any(|block| block.contains(&subnet.cidr)));
        let block = subnet.v6_cidr();
        if let Some(block) = block {
            assert!(vpc.v6_blocks().any(|each| each.contains(&block)), "{block}");
        }
        for eni in model.enis_in(&subnet.id) {
            for address in &eni.addresses.v6 {
                check_v6(block.unwrap(), *address);
                assert!(taken.insert(*address), "{address} is taken twice");
            }
            for prefix in &eni.addresses.v6_prefixes {
                assert_eq!((prefix.prefix_len(), prefix.trunc()), (80, *prefix));
                assert!(block.unwrap().contains(prefix), "{prefix}");
            }
        }
    }
    let prefixes: Vec<_> = model
        .enis()
        .flat_map(|eni| eni.addresses.v6_prefixes.clone())
        .collect();
    for (index, prefix) in prefixes.iter().enumerate() {
        assert!(!prefixes[..index].contains(prefix), "{prefix} twice");
        assert!(!taken.iter().any(|address| prefix.contains(address)));
    }
    let blocks = |vpc: &Vpc| vpc.blocks().collect::<Vec<_>>();
    for all in model.vpcs().map(blocks) {
        check_apart(&all);
    }
    let of_subnets = model.subnets().flat_map(|subnet| {
        let v6 = subnet.v6_cidr().map(IpNet::V6);
        std::iter::once(IpNet::V4(subnet.cidr)).chain(v6)
    });
    check_apart(&of_subnets.collect::<Vec<_>>());
    check_indexes(model);
}

/// An address that an interface may have: in the block, and not one of the five reserved ones.
fn check_v6(block: Ipv6Net, address: Ipv6Addr) {
    assert!(block.contains(&address), "{address} lies outside {block}");
    let host = address.to_bits() - block.network().to_bits();
    assert!(host >= 4 && address != block.broadcast(), "{address}");
}

fn check_apart(blocks: &[IpNet]) {
    for (index, block) in blocks.iter().enumerate() {
        let clash = |each: &&IpNet| each.contains(block) || block.contains(*each);
        assert_eq!(blocks[..index].iter().find(clash), None, "{block}");
    }
}

/// What interfaces have by now and did not have before: addresses and prefixes as blocks.
fn gained(before: &Model, after: &Model) -> Vec<(SubnetId, IpNet)> {
    let all = |model: &Model| {
        let of = |eni: &Eni| {
            let subnet = eni.subnet.clone();
            let blocks: Vec<_> = eni.addresses.blocks().collect();
            blocks.into_iter().map(move |block| (subnet.clone(), block))
        };
        model.enis().flat_map(of).collect::<Vec<_>>()
    };
    let held = all(before);
    let new = all(after).into_iter();
    new.filter(|each| !held.contains(each)).collect()
}

/// Nothing that is chosen comes from an explicit part, and addresses from no reserved part at all.
fn check_choice(before: &Model, after: &Model) {
    for (subnet, block) in gained(before, after) {
        let is_address = block.prefix_len() == block.max_prefix_len();
        let reserved = before.reservations().find(|part| {
            part.subnet == subnet
                && part.cidr.contains(&block)
                && (is_address || part.kind == ReservationKind::Explicit)
        });
        assert_eq!(reserved, None, "{block} was chosen");
    }
}

fn nth<T>(mut all: impl Iterator<Item = T>, index: usize) -> Option<T> {
    all.nth(index)
}

fn apply(model: &mut Model, op: Op, now: Timestamp) -> Option<(Choice, Result<(), Ec2Error>)> {
    let (kind, ..) = op;
    let told = |outcome| Some((Choice::Told, outcome));
    match kind {
        0..=5 => told(apply_to_block(model, op, now)?),
        6..=8 => told(apply_to_reservation(model, op)?),
        _ => apply_to_eni(model, op, now),
    }
}

fn apply_to_block(model: &mut Model, op: Op, now: Timestamp) -> Option<Result<(), Ec2Error>> {
    let (kind, a, b, c) = op;
    let vpc = nth(model.vpcs().map(|vpc| vpc.id.clone()), a % 2)?;
    let subnet = nth(model.subnets().map(|subnet| subnet.id.clone()), b);
    Some(match kind {
        0 if c % 3 == 0 => {
            let block = Ipv4Net::new(Ipv4Addr::new(10, c % 4, 0, 0), 16).unwrap();
            model.associate_vpc_cidr(&vpc, block, now).map(drop)
        }
        0 => model.associate_vpc_v6(&vpc, now).map(drop),
        1 => {
            let held = model.vpc(&vpc)?;
            let v4 = held.cidrs.iter().map(|each| each.id.clone());
            let v6 = held.v6_cidrs.iter().map(|each| each.id.clone());
            let id = nth(v4.chain(v6), b % 4)?;
            model.disassociate_vpc_cidr(&id, now).map(drop)
        }
        2 => {
            let blocks = model.vpc(&vpc)?.v6_blocks().next();
            let v6 = blocks.and_then(|block| nth(block.subnets(64).unwrap(), b % 4));
            let request = SubnetRequest {
                vpc,
                cidr: Ipv4Net::new(Ipv4Addr::new(10, c % 2, c, 0), 26).unwrap(),
                v6: v6.filter(|_| c % 4 > 0),
                zone: None,
                tags: Tags::new(),
            };
            model.create_subnet_with(request, now).map(drop)
        }
        3 => {
            let block = model.vpc(&vpc)?.v6_blocks().next()?;
            let block = nth(block.subnets(64).unwrap(), usize::from(c % 4))?;
            model.associate_subnet_v6(&subnet?, block, now).map(drop)
        }
        4 => {
            let held = model.subnet(&subnet?)?.v6.clone()?;
            model.disassociate_subnet_v6(&held.id, now).map(drop)
        }
        _ if c % 8 == 0 => model.delete_subnet(&subnet?),
        _ => {
            let attribute = SubnetAttribute::AssignV6OnCreation(c % 2 == 0);
            model.set_subnet_attribute(&subnet?, attribute)
        }
    })
}

fn apply_to_reservation(model: &mut Model, op: Op) -> Option<Result<(), Ec2Error>> {
    let (kind, a, b, c) = op;
    if kind == 8 {
        let id = nth(model.reservations().map(|part| part.id.clone()), a)?;
        return Some(model.unreserve(&id).map(drop));
    }
    let subnet = nth(model.subnets().cloned(), a)?;
    let step = u128::from(c);
    let cidr = match (kind, subnet.v6_cidr()) {
        (6, _) | (_, None) => {
            let base = subnet.cidr.network().to_bits() + u32::from(c % 80);
            IpNet::new(Ipv4Addr::from_bits(base).into(), 26 + c % 6).unwrap()
        }
        (_, Some(block)) => {
            let base = block.network().to_bits() + (step << 44);
            IpNet::new(Ipv6Addr::from_bits(base).into(), 76 + c % 8).unwrap()
        }
    };
    let kind = if b % 2 == 0 {
        ReservationKind::Explicit
    } else {
        ReservationKind::Prefix
    };
    let request = ReservationRequest {
        subnet: subnet.id,
        cidr: cidr.trunc(),
        kind,
        description: None,
        tags: Tags::new(),
    };
    Some(model.reserve(request).map(drop))
}

/// What to ask for, and whether it is named.
fn v6_request(block: Ipv6Net, c: u8) -> (Choice, V6Request) {
    let at = |bits: u128| Ipv6Addr::from_bits(block.network().to_bits() + bits);
    let number = u128::from(c);
    match c % 4 {
        0 => (Choice::Free, V6Request::Count(u32::from(c % 5))),
        1 => (Choice::Free, V6Request::PrefixCount(u32::from(c % 3))),
        2 => (Choice::Told, V6Request::Addresses(vec![at(number % 8)])),
        _ => {
            let prefix = Ipv6Net::new(at((number % 6) << 48), 80).unwrap();
            (Choice::Told, V6Request::Prefixes(vec![prefix]))
        }
    }
}

fn v4_request(block: Ipv4Net, c: u8) -> (Choice, V4Request) {
    let at = |offset: u8| Ipv4Addr::from_bits(block.network().to_bits() + u32::from(offset));
    match c % 4 {
        0 => (Choice::Free, V4Request::Count(u32::from(c % 7))),
        1 => (Choice::Free, V4Request::PrefixCount(u32::from(c % 3))),
        2 => (Choice::Told, V4Request::Addresses(vec![at(c % 64)])),
        _ => {
            let prefix = Ipv4Net::new(at(c % 64 / 16 * 16), 28).unwrap();
            (Choice::Told, V4Request::Prefixes(vec![prefix]))
        }
    }
}

fn apply_to_eni(
    model: &mut Model,
    op: Op,
    now: Timestamp,
) -> Option<(Choice, Result<(), Ec2Error>)> {
    let (kind, a, b, c) = op;
    if kind < 11 {
        return create(model, op, now);
    }
    let eni = nth(model.enis().cloned(), a)?;
    let subnet = model.subnet(&eni.subnet)?.clone();
    Some(match kind {
        11 | 12 => {
            let (choice, request) = v6_request(subnet.v6_cidr()?, c);
            (choice, model.assign_v6(&eni.id, &request, now).map(drop))
        }
        13 => {
            let (choice, request) = v4_request(subnet.cidr, c);
            (
                choice,
                model.assign(&eni.id, &request, false, now).map(drop),
            )
        }
        14 => {
            let address: Vec<_> = nth(eni.addresses.v6.iter().copied(), b)
                .into_iter()
                .collect();
            let prefix = nth(
                eni.addresses.v6_prefixes.iter().copied(),
                usize::from(c % 3),
            );
            let prefixes: Vec<_> = prefix.into_iter().collect();
            let outcome = model.unassign_v6(&eni.id, &address, &prefixes, now);
            (Choice::Told, outcome)
        }
        15 => (Choice::Told, model.set_primary_v6(&eni.id, c % 2 == 0, now)),
        _ => (Choice::Told, model.delete_eni(&eni.id)),
    })
}

fn create(model: &mut Model, op: Op, now: Timestamp) -> Option<(Choice, Result<(), Ec2Error>)> {
    let (kind, a, _, c) = op;
    let subnet = nth(model.subnets().cloned(), a)?;
    if kind == 10 {
        let request = launch(&subnet.id, "m5.large", u32::from(c % 3) + 1);
        return Some((Choice::Free, model.launch(&request, now).map(drop)));
    }
    let (choice, v6) = match subnet.v6_cidr() {
        Some(block) => {
            let (choice, request) = v6_request(block, c);
            (choice, Some(request))
        }
        None => (Choice::Free, None),
    };
    let request = EniRequest {
        v6,
        ..EniRequest::new(subnet.id)
    };
    Some((choice, model.create_eni(&request).map(drop)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_address_of_either_family_is_given_twice_or_from_a_reserved_part(
        ops in proptest::collection::vec((0..17_u8, 0..6_usize, 0..6_usize, any::<u8>()), 1..80),
        random in any::<bool>(),
    ) {
        let order = if random { AddressOrder::Random } else { AddressOrder::Sequential };
        let mut model = model(Preset::Instant, order);
        for (number, cidr) in [(0, "10.0.0.0/16"), (1, "10.1.0.0/16")] {
            let vpc = model.create_dual_stack_vpc(net(cidr), Tags::new(), NOW).unwrap();
            let block = model.vpc(&vpc).unwrap().v6_blocks().next().unwrap();
            let request = SubnetRequest {
                vpc,
                cidr: Ipv4Net::new(Ipv4Addr::new(10, number, 200, 0), 26).unwrap(),
                v6: block.subnets(64).unwrap().next(),
                zone: None,
                tags: Tags::new(),
            };
            model.create_subnet_with(request, NOW).unwrap();
        }
        for (seconds, op) in (0_u64..).zip(ops) {
            let before = model.clone();
            match apply(&mut model, op, NOW + Duration::from_secs(seconds)) {
                Some((_, Err(refusal))) => {
                    prop_assert!(model == before, "{op:?}, {refusal}, changed something");
                }
                Some((Choice::Free, Ok(()))) => check_choice(&before, &model),
                Some((Choice::Told, Ok(()))) | None => {}
            }
            check(&model);
        }
        check_written_and_read(&model);
    }
}
