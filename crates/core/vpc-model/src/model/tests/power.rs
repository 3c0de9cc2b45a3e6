//! Stopping and starting instances, and their attributes.

use super::*;
use crate::{InstanceAttribute, Route, RouteDestination, RouteState, RouteTarget};

fn ids(instance: &InstanceId) -> &[InstanceId] {
    std::slice::from_ref(instance)
}

fn state(model: &Model, id: &InstanceId) -> InstanceState {
    model.instance(id).unwrap().state
}

#[test]
fn a_stopped_instance_keeps_its_interfaces_and_has_no_devices() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let primary = model.primary_eni_of(&instance).unwrap().clone();
    let second = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
    model.attach(&second, &instance, 1, 0, NOW).unwrap();
    let route = Route {
        destination: "192.168.0.0/16".parse::<RouteDestination>().unwrap(),
        target: RouteTarget::Eni(second.clone()),
    };
    assert_eq!(model.route_state(&route), RouteState::Active);
    model.take_changes();

    let before = model.stop(ids(&instance), NOW).unwrap();
    assert_eq!(before, [(instance.clone(), InstanceState::Running)]);
    assert_eq!(state(&model, &instance), InstanceState::Stopped);
    let detached = |eni: &EniId| Change::EniDetached {
        eni: eni.clone(),
        instance: instance.clone(),
    };
    assert_eq!(
        model.take_changes(),
        [
            detached(&second),
            detached(&primary.id),
            Change::InstanceStopped(instance.clone()),
        ]
    );
    assert_eq!(model.route_state(&route), RouteState::Blackhole);
    assert_eq!(model.eni(&primary.id), Some(&primary), "as it was");

    // Attaching and detaching go on without devices.
    let third = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let attachment = model.attach(&third, &instance, 2, 0, NOW).unwrap();
    assert_eq!(model.take_changes(), [Change::EniCreated(third.clone())]);
    model.detach(&attachment, NOW).unwrap();
    assert_eq!(model.take_changes(), []);

    model.start(ids(&instance), NOW).unwrap();
    assert_eq!(state(&model, &instance), InstanceState::Running);
    let attached = |eni: &EniId, device_index| Change::EniAttached {
        eni: eni.clone(),
        instance: instance.clone(),
        device_index,
    };
    assert_eq!(
        model.take_changes(),
        [
            Change::InstanceStarted(instance.clone()),
            attached(&primary.id, 0),
            attached(&second, 1),
        ]
    );
    assert_eq!(model.route_state(&route), RouteState::Active);
}

#[test]
fn a_stopped_instance_is_terminated_without_devices() {
    let (mut model, _, instance) = with_instance("10.0.1.0/24", "m5.large");
    let primary = model.primary_eni_of(&instance).unwrap().id.clone();
    model.stop(ids(&instance), NOW).unwrap();
    model.take_changes();
    model.terminate(ids(&instance), NOW).unwrap();
    assert_eq!(
        model.take_changes(),
        [
            Change::EniDeleted(primary),
            Change::InstanceTerminated(instance.clone()),
        ]
    );
    for refused in [
        code(model.stop(ids(&instance), NOW)),
        code(model.start(ids(&instance), NOW)),
    ] {
        assert_eq!(refused, "IncorrectInstanceState");
    }
    model.reboot(ids(&instance)).unwrap();
}

#[test]
fn stopping_and_starting_take_their_time() {
    let (mut model, _, instance) = with_instance("10.0.1.0/24", "m5.large");
    model.config.timings = crate::Timings::of(Preset::Realistic);
    model.stop(ids(&instance), NOW).unwrap();
    assert_eq!(state(&model, &instance), InstanceState::Stopping);
    assert_eq!(
        code(model.start(ids(&instance), NOW)),
        "IncorrectInstanceState"
    );
    assert_eq!(code(model.reboot(ids(&instance))), "IncorrectInstanceState");
    let later = NOW + std::time::Duration::from_secs(600);
    model.tick(later);
    assert_eq!(state(&model, &instance), InstanceState::Stopped);
    model.start(ids(&instance), later).unwrap();
    assert_eq!(state(&model, &instance), InstanceState::Pending);
    assert_eq!(
        code(model.stop(ids(&instance), later)),
        "IncorrectInstanceState"
    );
    model.tick(later + std::time::Duration::from_secs(600));
    assert_eq!(state(&model, &instance), InstanceState::Running);
}

#[test]
fn protection_is_kept_until_it_is_lifted() {
    let (mut model, _, instance) = with_instance("10.0.1.0/24", "m5.large");
    let modify = |model: &mut Model, attribute| model.modify_instance(&instance, &attribute);
    modify(&mut model, InstanceAttribute::DisableApiStop(true)).unwrap();
    modify(&mut model, InstanceAttribute::DisableApiTermination(true)).unwrap();
    assert_eq!(
        code(model.stop(ids(&instance), NOW)),
        "OperationNotPermitted"
    );
    assert_eq!(
        code(model.terminate(ids(&instance), NOW)),
        "OperationNotPermitted"
    );
    modify(&mut model, InstanceAttribute::DisableApiStop(false)).unwrap();
    modify(&mut model, InstanceAttribute::DisableApiTermination(false)).unwrap();
    model.stop(ids(&instance), NOW).unwrap();
    model.terminate(ids(&instance), NOW).unwrap();
}

#[test]
fn some_attributes_change_only_while_stopped_and_only_to_what_fits() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let to = |name: &str| InstanceAttribute::InstanceType(name.to_owned());
    let modify = |model: &mut Model, attribute| model.modify_instance(&instance, &attribute);
    assert_eq!(
        code(modify(&mut model, to("m5.xlarge"))),
        "IncorrectInstanceState"
    );
    let data = InstanceAttribute::UserData(Some("aGk=".to_owned()));
    assert_eq!(code(modify(&mut model, data)), "IncorrectInstanceState");
    for index in 1..3 {
        let eni = model.create_eni(&EniRequest::new(subnet.clone())).unwrap();
        model.attach(&eni, &instance, index, 0, NOW).unwrap();
    }
    assert_eq!(
        code(modify(
            &mut model,
            InstanceAttribute::SourceDestCheck(false)
        )),
        "InvalidInstanceID"
    );
    model.stop(ids(&instance), NOW).unwrap();
    let before = model.clone();
    for (name, expected) in [
        ("m5.none", "InvalidParameterValue"),
        ("m6g.large", "InvalidParameterValue"),
        ("t3.nano", "AttachmentLimitExceeded"),
    ] {
        assert_eq!(code(modify(&mut model, to(name))), expected, "{name}");
        assert!(model == before);
    }
    modify(&mut model, to("m5.xlarge")).unwrap();
    assert_eq!(
        model.instance(&instance).unwrap().instance_type,
        "m5.xlarge"
    );
}

#[test]
fn a_stopped_instance_takes_an_elastic_address_and_a_route_does_not_lead_to_it() {
    let (mut model, _, instance) = with_instance("10.0.1.0/24", "m5.large");
    let vpc = model.instance(&instance).unwrap().vpc.clone();
    let gateway = model.create_internet_gateway(Tags::new()).unwrap();
    model.attach_internet_gateway(&gateway, &vpc).unwrap();
    let elastic = model.allocate_address(None, Tags::new()).unwrap();
    model.stop(ids(&instance), NOW).unwrap();
    let target = AssociationTarget::Instance(instance.clone());
    model
        .associate_address(&elastic, &target, None, false)
        .unwrap();
    let held = model.elastic_address(&elastic).unwrap().association.clone();
    let primary = model.primary_eni_of(&instance).unwrap();
    assert_eq!(held.unwrap().eni, primary.id);
    assert_eq!(code(model.route_target_of(&instance)), "InvalidInstanceID");
    model.terminate(ids(&instance), NOW).unwrap();
    assert_eq!(model.elastic_address(&elastic).unwrap().association, None);
    assert_eq!(
        code(model.associate_address(&elastic, &target, None, false)),
        "InvalidInstanceID"
    );
}
