//! What holds after whatever calls, refused ones included.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::{NOW, launch, model, net, *};
use crate::model::listed::tests::check_listings;

/// What holds after whatever calls.
pub(super) fn check_invariants(model: &Model) {
    check_indexes(model);
    for subnet in model.subnets() {
        let size = 1_usize << (32 - subnet.cidr.prefix_len());
        let taken = taken_in(model, subnet);
        let free = u32::try_from(size - taken.len()).unwrap();
        assert_eq!(model.available_addresses(&subnet.id), free);
    }
    let macs: BTreeSet<_> = model.enis().map(|eni| eni.mac).collect();
    assert_eq!(macs.len(), model.enis().count());
    for instance in model
        .instances()
        .filter(|each| each.state != InstanceState::Terminated)
    {
        let kind = crate::InstanceType::named(&instance.instance_type).unwrap();
        let enis = model.enis_of(&instance.id);
        assert!(enis.len() <= usize::try_from(kind.max_enis).unwrap());
        let places: BTreeSet<_> = enis
            .iter()
            .map(|eni| {
                eni.attachment
                    .as_ref()
                    .map(|held| (held.network_card, held.device_index))
            })
            .collect();
        assert_eq!(places.len(), enis.len());
        assert!(places.contains(&Some((0, 0))));
        let limit = usize::try_from(kind.ipv4_per_eni).unwrap();
        assert!(enis.iter().all(|eni| eni.addresses.slots() <= limit));
        assert!(enis.iter().all(|eni| eni.instance() == Some(&instance.id)));
    }
}

/// The addresses of a subnet that nobody else can have: reserved ones, and those of interfaces, each
/// of which is there once.
pub(super) fn taken_in(model: &Model, subnet: &Subnet) -> BTreeSet<Ipv4Addr> {
    let mut taken = BTreeSet::new();
    let mut take = |address: Ipv4Addr| {
        assert!(
            subnet.cidr.contains(&address),
            "{address} lies outside {}",
            subnet.cidr
        );
        assert!(taken.insert(address), "{address} is taken twice");
    };
    let base = subnet.cidr.network().to_bits();
    (base..base + 4).for_each(|bits| take(Ipv4Addr::from_bits(bits)));
    take(subnet.cidr.broadcast());
    for eni in model.enis().filter(|eni| eni.subnet == subnet.id) {
        take(eni.addresses.primary);
        eni.addresses
            .secondary
            .iter()
            .for_each(|address| take(*address));
        for prefix in &eni.addresses.prefixes {
            assert_eq!((prefix.prefix_len(), prefix.trunc()), (28, *prefix));
            (0..16).for_each(|i| take(Ipv4Addr::from_bits(prefix.network().to_bits() + i)));
        }
    }
    taken
}

/// What the indexes answer is what a look at every interface would.
pub(super) fn check_indexes(model: &Model) {
    for eni in model.enis() {
        assert_eq!(model.eni_by_mac(eni.mac), Some(eni));
        for block in eni.addresses.blocks() {
            assert_eq!(model.eni_by_address(&eni.vpc, block.broadcast()), Some(eni));
        }
    }
    for group in model.groups() {
        let carry = model.enis().filter(|eni| eni.groups.contains(&group.id));
        assert!(model.members_of(&group.id).eq(carry));
    }
    for subnet in model.subnets() {
        let inside = model.enis().filter(|eni| eni.subnet == subnet.id);
        assert!(model.enis_in(&subnet.id).eq(inside));
    }
}

/// A model that is written down and read again is the same, indexes included.
pub(super) fn check_written_and_read(model: &Model) {
    let mut quiet = model.clone();
    quiet.take_changes();
    let text = serde_json::to_string(&quiet).unwrap();
    assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), quiet);
}

/// A call with small numbers that pick among what is there.
#[derive(Debug, Clone)]
enum Op {
    Assign {
        eni: usize,
        kind: u8,
        amount: u32,
        offset: u32,
        allow: bool,
    },
    Attach {
        eni: usize,
        instance: usize,
        index: u32,
    },
    CreateEni {
        subnet: usize,
        kind: u8,
        amount: u32,
        offset: u32,
    },
    CreateSubnet {
        third: u8,
        length: u8,
    },
    DeleteEni {
        eni: usize,
    },
    DeleteSubnet {
        subnet: usize,
    },
    Detach {
        eni: usize,
    },
    Launch {
        subnet: usize,
        kind: usize,
        count: u32,
    },
    SetGroups {
        eni: usize,
        groups: usize,
    },
    Terminate {
        instance: usize,
    },
    Tick,
    Unassign {
        eni: usize,
        nth: usize,
        prefix: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..12_usize;
    prop_oneof![
        4 => (n.clone(), 0..4_u8, 0..20_u32, 0..70_u32, any::<bool>())
            .prop_map(|(eni, kind, amount, offset, allow)| Op::Assign { eni, kind, amount, offset, allow }),
        2 => (n.clone(), n.clone(), 0..5_u32)
            .prop_map(|(eni, instance, index)| Op::Attach { eni, instance, index }),
        3 => (n.clone(), 0..5_u8, 0..8_u32, 0..70_u32)
            .prop_map(|(subnet, kind, amount, offset)| Op::CreateEni { subnet, kind, amount, offset }),
        1 => (0..8_u8, 15..30_u8).prop_map(|(third, length)| Op::CreateSubnet { third, length }),
        1 => n.clone().prop_map(|eni| Op::DeleteEni { eni }),
        1 => n.clone().prop_map(|subnet| Op::DeleteSubnet { subnet }),
        1 => n.clone().prop_map(|eni| Op::Detach { eni }),
        2 => (n.clone(), 0..4_usize, 0..40_u32)
            .prop_map(|(subnet, kind, count)| Op::Launch { subnet, kind, count }),
        1 => (n.clone(), 0..8_usize).prop_map(|(eni, groups)| Op::SetGroups { eni, groups }),
        1 => n.clone().prop_map(|instance| Op::Terminate { instance }),
        1 => Just(Op::Tick),
        2 => (n, 0..6_usize, any::<bool>())
            .prop_map(|(eni, nth, prefix)| Op::Unassign { eni, nth, prefix }),
    ]
}

fn pick<T: Clone>(mut all: impl Iterator<Item = T>, nth: usize) -> Option<T> {
    all.nth(nth)
}

fn request(kind: u8, amount: u32, offset: u32, cidr: Ipv4Net) -> V4Request {
    let address = Ipv4Addr::from_bits(cidr.network().to_bits() + offset);
    match kind {
        0 => V4Request::Count(amount),
        1 => V4Request::PrefixCount(amount % 3),
        2 => V4Request::Addresses(vec![address]),
        3 => V4Request::Prefixes(vec![Ipv4Net::new(address, 28).unwrap()]),
        _ => V4Request::Nothing,
    }
}

/// Does what is asked for, or nothing when it names what is not there.
fn apply(model: &mut Model, op: &Op, now: Timestamp) -> Result<(), Ec2Error> {
    match op {
        Op::Assign { eni, .. }
        | Op::Attach { eni, .. }
        | Op::DeleteEni { eni }
        | Op::Detach { eni }
        | Op::SetGroups { eni, .. }
        | Op::Unassign { eni, .. } => match pick(model.enis().cloned(), *eni) {
            Some(eni) => apply_to_eni(model, &eni, op, now),
            None => Ok(()),
        },
        Op::CreateEni { subnet, .. } | Op::DeleteSubnet { subnet } | Op::Launch { subnet, .. } => {
            match pick(model.subnets().cloned(), *subnet) {
                Some(subnet) => apply_to_subnet(model, &subnet, op, now),
                None => Ok(()),
            }
        }
        Op::CreateSubnet { third, length } => {
            let vpc = model.vpcs().next().unwrap().id.clone();
            let cidr = Ipv4Net::new(Ipv4Addr::new(10, 0, *third, 0), *length).unwrap();
            model.create_subnet(&vpc, cidr, None, Tags::new()).map(drop)
        }
        Op::Terminate { instance } => match nth_instance(model, *instance) {
            Some(instance) => model.terminate(&[instance], now).map(drop),
            None => Ok(()),
        },
        Op::Tick => {
            model.tick(now);
            Ok(())
        }
    }
}

fn nth_instance(model: &Model, nth: usize) -> Option<InstanceId> {
    pick(model.instances().map(|each| each.id.clone()), nth)
}

fn apply_to_eni(model: &mut Model, eni: &Eni, op: &Op, now: Timestamp) -> Result<(), Ec2Error> {
    match op {
        Op::Assign {
            kind,
            amount,
            offset,
            allow,
            ..
        } => {
            let cidr = model.subnet(&eni.subnet).unwrap().cidr;
            let request = request(*kind, *amount, *offset, cidr);
            model.assign(&eni.id, &request, *allow, now).map(drop)
        }
        Op::Attach {
            instance, index, ..
        } => match nth_instance(model, *instance) {
            Some(instance) => model.attach(&eni.id, &instance, *index, 0, now).map(drop),
            None => Ok(()),
        },
        Op::DeleteEni { .. } => model.delete_eni(&eni.id),
        Op::Detach { .. } => match &eni.attachment {
            Some(held) => model.detach(&held.id, now),
            None => Ok(()),
        },
        Op::SetGroups { groups, .. } => {
            let ids: Vec<_> = model
                .groups()
                .take(*groups)
                .map(|group| group.id.clone())
                .collect();
            model.set_eni_groups(&eni.id, &ids)
        }
        Op::Unassign { nth, prefix, .. } => {
            let held = &eni.addresses;
            let addresses = std::iter::once(&held.primary)
                .chain(&held.secondary)
                .copied();
            let addresses: Vec<_> = addresses.skip(*nth).take(usize::from(!prefix)).collect();
            let prefixes = held.prefixes.iter().copied().take(usize::from(*prefix));
            model.unassign(&eni.id, &addresses, &prefixes.collect::<Vec<_>>(), now)
        }
        other => panic!("{other:?} is about no interface"),
    }
}

fn apply_to_subnet(
    model: &mut Model,
    subnet: &Subnet,
    op: &Op,
    now: Timestamp,
) -> Result<(), Ec2Error> {
    match op {
        Op::CreateEni {
            kind,
            amount,
            offset,
            ..
        } => {
            let v4 = request(*kind, *amount, *offset, subnet.cidr);
            let request = EniRequest {
                v4,
                ..EniRequest::new(subnet.id.clone())
            };
            model.create_eni(&request).map(drop)
        }
        Op::DeleteSubnet { .. } => model.delete_subnet(&subnet.id),
        Op::Launch { kind, count, .. } => {
            let kinds = ["m5.large", "t2.micro", "t3.medium", "c6g.large"];
            let mut wanted = launch(&subnet.id, kinds[*kind], *count);
            wanted.min_count = (*count).min(2);
            model.launch(&wanted, now).map(drop)
        }
        other => panic!("{other:?} is about no subnet"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn addresses_stay_unique_and_counted_and_a_refused_call_changes_nothing(
        ops in proptest::collection::vec(op(), 1..80),
        realistic in any::<bool>(),
        random in any::<bool>(),
    ) {
        let preset = if realistic { Preset::Realistic } else { Preset::Instant };
        let order = if random { AddressOrder::Random } else { AddressOrder::Sequential };
        let mut model = model(preset, order);
        let vpc = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
        for cidr in ["10.0.0.0/26", "10.0.1.0/28"] {
            model.create_subnet(&vpc, net(cidr), None, Tags::new()).unwrap();
        }
        for name in ["a", "b", "c", "d", "e", "f"] {
            model.create_group(&vpc, name, name, Tags::new()).unwrap();
        }
        for (seconds, op) in (0_u64..).zip(&ops) {
            let before = model.clone();
            if apply(&mut model, op, NOW + Duration::from_secs(seconds)).is_err() {
                prop_assert!(model == before, "{op:?} was refused and changed something");
            }
            check_invariants(&model);
        }
        check_written_and_read(&model);
        check_listings(&model);
    }
}
