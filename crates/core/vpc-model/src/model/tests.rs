//! The model's rules, one by one.

mod blocks;
mod dns;
mod dual_stack;
mod eni_permissions;
mod groups;
mod invariants;
mod power;
mod prefix_lists;
mod requests;
mod reservations;
mod routing;
mod shown;
mod trunks;
mod v6;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use self::invariants::check_invariants;
use super::*;
use crate::{
    AddressOrder, Ec2Error, EniStatus, InstanceState, MetadataOptions, Preset, RouteState,
    RouteTarget, Tags,
};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn model(preset: Preset, address_order: AddressOrder) -> Model {
    Model::new(ModelConfig {
        address_order,
        ..ModelConfig::of(preset)
    })
}

fn launch(subnet: &SubnetId, kind: &str, count: u32) -> LaunchRequest {
    LaunchRequest {
        image: "ami-0dc0000000000000a".parse().unwrap(),
        instance_type: kind.to_owned(),
        min_count: count,
        max_count: count,
        zone: None,
        zone_id: None,
        interfaces: vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(EniRequest::new(subnet.clone())),
            delete_on_termination: None,
            public_address: None,
        }],
        metadata: MetadataOptions::default(),
        profile: None,
        key_name: None,
        user_data: None,
        client_token: None,
        attributes: crate::InstanceAttributes::default(),
        tags: Tags::new(),
    }
}

/// A VPC with a subnet and an instance.
fn with_instance(cidr: &str, kind: &str) -> (Model, SubnetId, InstanceId) {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let vpc = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
    let subnet = model
        .create_subnet(&vpc, net(cidr), None, Tags::new())
        .unwrap();
    model.launch(&launch(&subnet, kind, 1), NOW).unwrap();
    let instance = model.instances().next().unwrap().id.clone();
    (model, subnet, instance)
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Ec2Error>) -> &'static str {
    outcome.unwrap_err().code.as_str()
}

#[test]
fn a_launch_and_a_termination_tell_their_changes_in_order() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let primary = model.primary_eni_of(&instance).unwrap().id.clone();
    let second = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
    model.attach(&second, &instance, 1, 0, NOW).unwrap();
    let started: Vec<_> = model.take_changes().into_iter().skip(6).collect();
    assert_eq!(
        started,
        [
            Change::EniCreated(primary.clone()),
            Change::InstanceStarted(instance.clone()),
            Change::EniAttached {
                eni: primary.clone(),
                instance: instance.clone(),
                device_index: 0
            },
            Change::EniCreated(second.clone()),
            Change::EniAttached {
                eni: second.clone(),
                instance: instance.clone(),
                device_index: 1
            },
        ]
    );
    model
        .terminate(std::slice::from_ref(&instance), NOW)
        .unwrap();
    assert_eq!(
        model.take_changes(),
        [
            Change::EniDetached {
                eni: second.clone(),
                instance: instance.clone()
            },
            Change::EniDetached {
                eni: primary.clone(),
                instance: instance.clone()
            },
            Change::EniDeleted(primary),
            Change::InstanceTerminated(instance.clone()),
        ]
    );
    // What was attached later stays, free for another instance.
    assert_eq!(model.eni(&second).unwrap().status(), EniStatus::Available);
    assert_eq!(model.available_addresses(&subnet), 250);
    assert_eq!(
        model.instance(&instance).unwrap().state,
        InstanceState::Terminated
    );
    model.tick(NOW + std::time::Duration::from_secs(3_600));
    assert_eq!(model.instance(&instance), None);
}

#[test]
fn the_three_kinds_of_exhaustion_have_their_own_codes() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/26", "m5.large");
    // 64 - 5 reserved - 1 primary = 58 free. Fragment every aligned block.
    for last in [20, 40, 50] {
        let primary = Some(Ipv4Addr::new(10, 0, 1, last));
        model
            .create_eni(&EniRequest {
                primary,
                ..EniRequest::new(subnet.clone())
            })
            .unwrap();
    }
    let eni = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
    let mut assign = |request| model.assign(&eni, &request, false, NOW);
    assert_eq!(
        code(assign(V4Request::PrefixCount(1))),
        "InsufficientCidrBlocks"
    );
    assert_eq!(code(assign(V4Request::Count(55))), "InvalidParameterValue");
    assert_eq!(
        code(assign(V4Request::PrefixCount(4))),
        "InvalidParameterValue"
    );
    assert_eq!(assign(V4Request::Count(54)).unwrap().addresses.len(), 54);
    assert_eq!(
        code(assign(V4Request::Count(1))),
        "InsufficientFreeAddressesInSubnet"
    );
    assert_eq!(
        code(assign(V4Request::PrefixCount(1))),
        "InsufficientFreeAddressesInSubnet"
    );
    let full = model.create_eni(&EniRequest::new(subnet));
    assert_eq!(code(full), "InsufficientFreeAddressesInSubnet");
}

#[test]
fn limits_of_the_type_hold_at_attach_and_at_assign() {
    // m5.large: 3 interfaces of 10 slots.
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let mut create = |v4| {
        model.create_eni(&EniRequest {
            v4,
            ..EniRequest::new(subnet.clone())
        })
    };
    let fat = create(V4Request::Count(10)).unwrap();
    let [second, third, fourth] = [(); 3].map(|()| create(V4Request::Nothing).unwrap());
    assert_eq!(
        code(model.attach(&fat, &instance, 1, 0, NOW)),
        "PrivateIpAddressLimitExceeded"
    );
    model.attach(&second, &instance, 1, 0, NOW).unwrap();
    assert_eq!(
        code(model.attach(&third, &instance, 1, 0, NOW)),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(model.attach(&third, &instance, 2, 1, NOW)),
        "InvalidParameterValue"
    );
    model.attach(&third, &instance, 2, 0, NOW).unwrap();
    assert_eq!(
        code(model.attach(&third, &instance, 3, 0, NOW)),
        "InvalidNetworkInterface.InUse"
    );
    let error = model.attach(&fourth, &instance, 3, 0, NOW).unwrap_err();
    assert_eq!(error.code, crate::ErrorCode::AttachmentLimitExceeded);
    assert_eq!(
        error.message,
        "Interface count 4 exceeds the limit for m5.large"
    );
    let mut assign = |request| model.assign(&second, &request, false, NOW);
    assert_eq!(
        code(assign(V4Request::Count(10))),
        "PrivateIpAddressLimitExceeded"
    );
    assign(V4Request::Count(8)).unwrap();
    assign(V4Request::PrefixCount(1)).unwrap();
    assert_eq!(
        code(assign(V4Request::PrefixCount(1))),
        "PrivateIpAddressLimitExceeded"
    );
}

#[test]
fn a_reassigned_address_leaves_its_former_interface() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/24", "m5.large");
    let request = EniRequest {
        v4: V4Request::Count(1),
        ..EniRequest::new(subnet.clone())
    };
    let former = model.create_eni(&request).unwrap();
    let next = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let address = model.eni(&former).unwrap().addresses.secondary[0];
    let primary = model.eni(&former).unwrap().addresses.primary;
    let wanted = V4Request::Addresses(vec![address]);
    assert_eq!(
        code(model.assign(&next, &wanted, false, NOW)),
        "InvalidIPAddress.InUse"
    );
    let of_primary = V4Request::Addresses(vec![primary]);
    assert_eq!(
        code(model.assign(&next, &of_primary, true, NOW)),
        "InvalidIPAddress.InUse"
    );
    model.take_changes();
    assert_eq!(
        model.assign(&next, &wanted, true, NOW).unwrap().addresses,
        [address]
    );
    assert_eq!(
        model.take_changes(),
        [
            Change::EniChanged(former.clone()),
            Change::EniChanged(next.clone())
        ]
    );
    assert!(model.eni(&former).unwrap().addresses.secondary.is_empty());
    // Again: it is there already, and nothing is new.
    assert!(
        model
            .assign(&next, &wanted, true, NOW)
            .unwrap()
            .addresses
            .is_empty()
    );
    check_invariants(&model);
    listed::tests::check_listings(&model);
}

#[test]
fn a_route_lives_and_dies_with_the_attachment_of_its_target() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let vpc = model.subnet(&subnet).unwrap().vpc.clone();
    let table = model.create_route_table(&vpc, Tags::new()).unwrap();
    model.associate_route_table(&table, &subnet).unwrap();
    let eni = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
    model
        .create_route(
            &table,
            net("192.168.0.0/16").into(),
            RouteTarget::Eni(eni.clone()),
        )
        .unwrap();
    let state = |model: &Model| {
        let table = model.route_table_of(&subnet).unwrap();
        assert_eq!(table.routes.len(), 2);
        model.route_state(&table.routes[1])
    };
    assert_eq!(state(&model), RouteState::Blackhole);
    let attachment = model.attach(&eni, &instance, 1, 0, NOW).unwrap();
    assert_eq!(state(&model), RouteState::Active);
    model.take_changes();
    model.detach(&attachment, NOW).unwrap();
    assert_eq!(state(&model), RouteState::Blackhole);
    assert!(
        model
            .take_changes()
            .contains(&Change::RouteTableChanged(table.clone()))
    );
    for (destination, expected) in [
        ("10.0.0.0/16", "RouteAlreadyExists"),
        ("10.0.1.0/25", "InvalidParameterValue"),
        ("169.254.168.0/24", "InvalidParameterValue"),
        ("192.168.0.0/16", "RouteAlreadyExists"),
    ] {
        let outcome = model.create_route(
            &table,
            net(destination).into(),
            RouteTarget::Eni(eni.clone()),
        );
        assert_eq!(code(outcome), expected, "{destination}");
    }
    model
        .create_route(
            &table,
            net("10.0.1.0/24").into(),
            RouteTarget::Eni(eni.clone()),
        )
        .unwrap();
}

#[test]
fn rules_are_canonical_counted_and_never_twice() {
    let (mut model, ..) = with_instance("10.0.1.0/24", "m5.large");
    let vpc = model.vpcs().next().unwrap().id.clone();
    let group = model
        .create_group(&vpc, "web", "web servers", Tags::new())
        .unwrap();
    let spec = |cidr: &str, port| RuleSpec {
        traffic: crate::RuleTraffic::Tcp(crate::PortRange {
            from: port,
            to: port,
        }),
        peer: crate::RulePeer::Ipv4(net(cidr)),
        description: None,
    };
    let mut add = |specs: &[RuleSpec]| {
        model.authorize(&group, crate::RuleDirection::Ingress, specs, &Tags::new())
    };
    add(&[spec("10.0.0.1/8", 80)]).unwrap();
    assert_eq!(
        code(add(&[spec("10.9.9.9/8", 80)])),
        "InvalidPermission.Duplicate"
    );
    assert_eq!(
        code(add(&[spec("0.0.0.0/0", 1), spec("0.0.0.0/0", 1)])),
        "InvalidParameterValue"
    );
    let many: Vec<_> = (1..=60).map(|port| spec("10.0.0.0/8", port)).collect();
    assert_eq!(code(add(&many)), "RulesPerSecurityGroupLimitExceeded");
    add(&many[..59]).unwrap();
    assert_eq!(code(add(&many[59..])), "RulesPerSecurityGroupLimitExceeded");
    let stored = &model.group(&group).unwrap().rules[1].peer;
    assert_eq!(stored, &crate::RulePeer::Ipv4(net("10.0.0.0/8")));
}

#[test]
fn groups_in_use_and_default_groups_cannot_be_deleted() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/24", "m5.large");
    let vpc = model.vpcs().next().unwrap().clone();
    assert_eq!(code(model.delete_group(&vpc.default_group)), "CannotDelete");
    let [used, named, free] = ["used", "named", "free"]
        .map(|name| model.create_group(&vpc.id, name, "x", Tags::new()).unwrap());
    let rule = RuleSpec {
        traffic: crate::RuleTraffic::All,
        peer: crate::RulePeer::Group(named.clone()),
        description: None,
    };
    model
        .authorize(&free, crate::RuleDirection::Ingress, &[rule], &Tags::new())
        .unwrap();
    let request = EniRequest {
        groups: vec![used.clone()],
        ..EniRequest::new(subnet)
    };
    model.create_eni(&request).unwrap();
    assert_eq!(code(model.delete_group(&used)), "DependencyViolation");
    assert_eq!(code(model.delete_group(&named)), "DependencyViolation");
    model.delete_group(&free).unwrap();
    model.delete_group(&named).unwrap();
}

#[test]
fn realistic_transitions_take_their_time_and_end_at_their_deadline() {
    let mut model = model(Preset::Realistic, AddressOrder::Random);
    let vpc = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
    let subnet = model
        .create_subnet(&vpc, net("10.0.1.0/24"), None, Tags::new())
        .unwrap();
    model.launch(&launch(&subnet, "m5.large", 1), NOW).unwrap();
    let instance = model.instances().next().unwrap().clone();
    assert_eq!(instance.state, InstanceState::Pending);
    let eni = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let attachment = model.attach(&eni, &instance.id, 1, 0, NOW).unwrap();
    assert!(!model.eni(&eni).unwrap().is_attached());
    model.take_changes();
    model
        .assign(&eni, &V4Request::Count(2), false, NOW)
        .unwrap();
    assert_eq!(model.metadata_eni(&eni).unwrap().addresses.slots(), 1);
    while let Some(deadline) = model.next_deadline() {
        model.tick(deadline);
    }
    assert_eq!(
        model.instance(&instance.id).unwrap().state,
        InstanceState::Running
    );
    assert_eq!(
        model.metadata_eni(&eni).unwrap().addresses,
        model.eni(&eni).unwrap().addresses
    );
    let attached = Change::EniAttached {
        eni: eni.clone(),
        instance: instance.id,
        device_index: 1,
    };
    assert!(model.take_changes().contains(&attached));
    model.detach(&attachment, NOW).unwrap();
    assert_eq!(model.eni(&eni).unwrap().status(), EniStatus::Detaching);
    assert_eq!(code(model.delete_eni(&eni)), "InvalidParameterValue");
    while let Some(deadline) = model.next_deadline() {
        model.tick(deadline);
    }
    model.delete_eni(&eni).unwrap();
}

#[test]
fn an_interface_given_to_something_else_is_in_use_and_not_ours_to_detach() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let eni = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let attachment = model.give_to_external(&eni, "amazon-rds", NOW).unwrap();
    assert_eq!(model.eni(&eni).unwrap().status(), EniStatus::InUse);
    assert_eq!(model.eni(&eni).unwrap().instance(), None);
    assert_eq!(
        code(model.detach(&attachment, NOW)),
        "OperationNotPermitted"
    );
    assert_eq!(code(model.delete_eni(&eni)), "InvalidParameterValue");
    assert_eq!(
        code(model.attach(&eni, &instance, 1, 0, NOW)),
        "InvalidNetworkInterface.InUse"
    );
    model.take_from_external(&eni).unwrap();
    model.delete_eni(&eni).unwrap();
}
