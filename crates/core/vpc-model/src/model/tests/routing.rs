//! What holds of gateways, public addresses, routes, ACLs and peering after whatever calls.

use std::collections::BTreeSet;

use proptest::prelude::*;
use underlay_types::{AllocationId, RouteTableId, SubnetId, VpcId};

use super::{NOW, launch, model, net, *};
use crate::{
    AclAction, AclDirection, AclTraffic, AssociationTarget, Connectivity, NatGatewayRequest,
    NetworkAclEntry, RouteDestination,
};

/// An action by number, and numbers that pick among what is there.
type Op = (u8, usize, usize);

fn nth<T>(mut all: impl Iterator<Item = T>, index: usize) -> Option<T> {
    all.nth(index)
}

fn check(model: &Model) {
    for subnet in model.subnets() {
        let acls = model.network_acls();
        let held = acls.flat_map(|acl| &acl.associations);
        assert_eq!(held.filter(|each| each.subnet == subnet.id).count(), 1);
    }
    for (public, eni, private) in model.public_addresses() {
        assert!(
            eni.addresses.contains(private),
            "{public} stands for nothing"
        );
        let shown = model.public_address_of(&eni.id, private).unwrap();
        assert_eq!(shown.address, public);
        assert_eq!(model.holder_of_public(public), Some((eni, private)));
    }
    for elastic in model.elastic_addresses() {
        assert_eq!(model.elastic_address_of(elastic.address), Some(elastic));
        let held = model.holder_of_public(elastic.address);
        let held = held.map(|(eni, private)| (&eni.id, private));
        let own = elastic.association.as_ref();
        assert_eq!(own.map(|own| (&own.eni, own.private)), held);
    }
    for table in model.route_tables() {
        let destinations: BTreeSet<_> = table.routes.iter().map(|each| &each.destination).collect();
        assert_eq!(destinations.len(), table.routes.len());
        let vpc = model.vpc(&table.vpc).unwrap();
        let local = |block| destinations.contains(&RouteDestination::from(block));
        assert!(vpc.blocks().all(local));
    }
    for gateway in model.nat_gateways().filter(|each| each.is_available()) {
        let eni = model.eni(gateway.eni().unwrap()).unwrap();
        assert_eq!(eni.subnet, gateway.subnet);
    }
    let attached: Vec<_> = model
        .internet_gateways()
        .filter_map(|each| each.vpc.as_ref())
        .collect();
    assert_eq!(
        attached.iter().collect::<BTreeSet<_>>().len(),
        attached.len()
    );
}

fn apply(model: &mut Model, (kind, a, b): Op, now: Timestamp) -> Option<Result<(), Ec2Error>> {
    match kind {
        0..=3 => apply_gateway(model, kind, a, b),
        4..=7 => apply_address(model, kind, a, b),
        8..=10 => apply_route(model, kind, a, b),
        11..=13 => apply_acl(model, kind, a, b),
        _ => apply_other(model, kind, (a, b), now),
    }
}

fn vpc_id(model: &Model, index: usize) -> Option<VpcId> {
    nth(model.vpcs().map(|each| each.id.clone()), index % 2)
}

fn subnet_id(model: &Model, index: usize) -> Option<SubnetId> {
    nth(model.subnets().map(|each| each.id.clone()), index)
}

fn allocation(model: &Model, index: usize) -> Option<AllocationId> {
    nth(model.elastic_addresses().map(|each| each.id.clone()), index)
}

fn apply_gateway(model: &mut Model, kind: u8, a: usize, b: usize) -> Option<Result<(), Ec2Error>> {
    let gateway = nth(model.internet_gateways().map(|each| each.id.clone()), a);
    let vpc = vpc_id(model, b)?;
    Some(match kind {
        0 => model.create_internet_gateway(Tags::new()).map(drop),
        1 => model.attach_internet_gateway(&gateway?, &vpc),
        2 => model.detach_internet_gateway(&gateway?, &vpc),
        _ => model.delete_internet_gateway(&gateway?),
    })
}

fn apply_address(model: &mut Model, kind: u8, a: usize, b: usize) -> Option<Result<(), Ec2Error>> {
    Some(match kind {
        4 => model.allocate_address(None, Tags::new()).map(drop),
        5 => {
            let eni = nth(model.enis().map(|each| each.id.clone()), b)?;
            let target = AssociationTarget::Eni(eni);
            let id = allocation(model, a)?;
            model
                .associate_address(&id, &target, None, b.is_multiple_of(2))
                .map(drop)
        }
        6 => {
            let id = allocation(model, a)?;
            let held = model.elastic_address(&id)?.association.clone()?;
            model.disassociate_address(&held.id)
        }
        _ => model.release_address(&allocation(model, a)?),
    })
}

fn apply_route(model: &mut Model, kind: u8, a: usize, b: usize) -> Option<Result<(), Ec2Error>> {
    let table: RouteTableId = nth(model.route_tables().map(|each| each.id.clone()), a % 2)?;
    let blocks = [
        "0.0.0.0/0",
        "10.0.1.0/28",
        "10.0.0.0/16",
        "10.8.0.0/16",
        "::/0",
    ];
    let to: RouteDestination = blocks[b % blocks.len()].parse().unwrap();
    let target = match a % 5 {
        0 => RouteTarget::InternetGateway(nth(model.internet_gateways(), b % 2)?.id.clone()),
        1 => RouteTarget::NatGateway(nth(model.nat_gateways(), b % 3)?.id.clone()),
        2 => RouteTarget::Peering(nth(model.peerings(), b % 2)?.id.clone()),
        3 => RouteTarget::Eni(nth(model.enis(), b)?.id.clone()),
        _ => RouteTarget::Local,
    };
    Some(match kind {
        8 if target != RouteTarget::Local => model.create_route(&table, to, target),
        9 => model.delete_route(&table, &to),
        _ => model.replace_route(&table, &to, target),
    })
}

fn apply_acl(model: &mut Model, kind: u8, a: usize, b: usize) -> Option<Result<(), Ec2Error>> {
    let acl = nth(model.network_acls().map(|each| each.id.clone()), a)?;
    Some(match kind {
        11 => {
            let entry = NetworkAclEntry {
                number: u16::try_from(b).unwrap(),
                direction: AclDirection::Ingress,
                action: AclAction::Deny,
                traffic: AclTraffic::All,
                cidr: "10.0.0.0/8".parse().unwrap(),
            };
            model.create_network_acl_entry(&acl, entry)
        }
        12 => {
            let vpc = vpc_id(model, b)?;
            model.create_network_acl(&vpc, Tags::new()).map(drop)
        }
        _ => {
            let held = model.network_acls().flat_map(|each| &each.associations);
            let association = nth(held.map(|each| each.id.clone()), b)?;
            model
                .replace_network_acl_association(&association, &acl)
                .map(drop)
        }
    })
}

fn apply_other(
    model: &mut Model,
    kind: u8,
    (a, b): (usize, usize),
    now: Timestamp,
) -> Option<Result<(), Ec2Error>> {
    Some(match kind {
        14 => {
            let request = NatGatewayRequest {
                subnet: subnet_id(model, b)?,
                connectivity: Connectivity::Public,
                allocations: allocation(model, a).into_iter().collect(),
                private: None,
                secondary: V4Request::Nothing,
                tags: Tags::new(),
            };
            model.create_nat_gateway(&request, now).map(drop)
        }
        15 => {
            let id = nth(model.nat_gateways().map(|each| each.id.clone()), a)?;
            model.delete_nat_gateway(&id, now)
        }
        16 => {
            let (one, other) = (vpc_id(model, a)?, vpc_id(model, b)?);
            model
                .create_peering(&one, &other, Tags::new(), now)
                .map(drop)
        }
        17 => {
            let id = nth(model.peerings().map(|each| each.id.clone()), a)?;
            if b.is_multiple_of(2) {
                model.accept_peering(&id, now)
            } else {
                model.delete_peering(&id, now)
            }
        }
        18 => {
            let mut wanted = launch(&subnet_id(model, b)?, "m5.large", 1);
            wanted.interfaces[0].public_address = Some(true);
            model.launch(&wanted, now).map(drop)
        }
        19 => {
            let id = nth(model.instances().map(|each| each.id.clone()), a)?;
            model.terminate(&[id], now).map(drop)
        }
        20 => model.delete_eni(&nth(model.enis().map(|each| each.id.clone()), a)?),
        _ => {
            model.tick(now);
            Ok(())
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn ways_out_stay_consistent_and_a_refused_call_changes_nothing(
        ops in proptest::collection::vec((0..22_u8, 0..6_usize, 0..6_usize), 1..100),
        random in any::<bool>(),
    ) {
        let order = if random { AddressOrder::Random } else { AddressOrder::Sequential };
        let mut model = model(Preset::Realistic, order);
        for block in ["10.0.0.0/16", "10.8.0.0/16"] {
            model.create_vpc(net(block), Tags::new()).unwrap();
        }
        let vpcs: Vec<_> = model.vpcs().map(|vpc| (vpc.id.clone(), vpc.cidrs[0].cidr)).collect();
        for (vpc, block) in vpcs {
            let first = Ipv4Net::new(block.network(), 28).unwrap();
            model.create_subnet(&vpc, first, None, Tags::new()).unwrap();
        }
        for (minutes, op) in (0_u64..).zip(&ops) {
            let before = model.clone();
            let now = NOW + std::time::Duration::from_secs(60 * minutes);
            if matches!(apply(&mut model, *op, now), Some(Err(_))) {
                prop_assert!(model == before, "{op:?} was refused and changed something");
            }
            check(&model);
        }
        let mut quiet = model.clone();
        quiet.take_changes();
        let text = serde_json::to_string(&quiet).unwrap();
        prop_assert!(serde_json::from_str::<Model>(&text).unwrap() == quiet);
    }
}
