//! Trunk interfaces and their branches.

use super::*;
use crate::{InstanceType, InterfaceType, TrunkAssociation};

/// An interface of a kind in the subnet.
fn eni(model: &mut Model, subnet: &SubnetId, interface_type: InterfaceType) -> EniId {
    let request = EniRequest {
        interface_type,
        ..EniRequest::new(subnet.clone())
    };
    model.create_eni(&request).unwrap()
}

fn with_trunk(kind: &str) -> (Model, SubnetId, InstanceId, EniId) {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", kind);
    let trunk = eni(&mut model, &subnet, InterfaceType::Trunk);
    (model, subnet, instance, trunk)
}

#[test]
fn a_branch_lives_as_long_as_its_association_and_its_trunks_attachment() {
    let (mut model, subnet, instance, trunk) = with_trunk("m5.large");
    let branch = eni(&mut model, &subnet, InterfaceType::Interface);
    let live = |model: &Model| model.is_live(model.eni(&branch).unwrap());
    let id = model.associate_trunk(&branch, &trunk, 7, NOW).unwrap();
    let held: Vec<_> = model.trunk_associations().cloned().collect();
    let association = TrunkAssociation {
        id: id.clone(),
        branch: branch.clone(),
        trunk: trunk.clone(),
        vlan: 7,
    };
    assert_eq!(held, [association]);
    assert!(!live(&model), "its trunk is attached to nothing");
    model.take_changes();

    let attachment = model.attach(&trunk, &instance, 1, 0, NOW).unwrap();
    let attached = Change::BranchAttached {
        branch: branch.clone(),
        trunk: trunk.clone(),
        vlan: 7,
    };
    let changes = model.take_changes();
    assert!(
        matches!(changes[0], Change::EniAttached { .. }),
        "{changes:?}"
    );
    assert_eq!(changes[1..], [attached]);
    assert!(live(&model));
    let seen = model.eni(&branch).unwrap();
    assert_eq!(seen.status(), EniStatus::Associated);
    assert_eq!(seen.shown_type(), InterfaceType::Branch);
    assert_eq!(seen.shown_attachment(), None);
    assert_eq!(model.enis_of(&instance).len(), 2, "it takes no slot");

    model.detach(&attachment, NOW).unwrap();
    let detached = Change::BranchDetached {
        branch: branch.clone(),
        trunk: trunk.clone(),
    };
    let changes = model.take_changes();
    assert_eq!(changes[0], detached);
    assert!(
        matches!(changes[1], Change::EniDetached { .. }),
        "{changes:?}"
    );
    assert!(!live(&model));

    assert_eq!(code(model.delete_eni(&branch)), "InvalidParameterValue");
    assert_eq!(code(model.delete_eni(&trunk)), "InvalidParameterValue");
    model.disassociate_trunk(&id).unwrap();
    assert_eq!(
        code(model.disassociate_trunk(&id)),
        "InvalidAssociationID.NotFound"
    );
    assert_eq!(model.eni(&branch).unwrap().status(), EniStatus::Available);
    model.delete_eni(&branch).unwrap();
    model.delete_eni(&trunk).unwrap();
}

#[test]
fn what_cannot_be_associated_is_refused_and_changes_nothing() {
    let (mut model, subnet, instance, trunk) = with_trunk("m5.large");
    let [plain, taken, other_trunk] = [
        InterfaceType::Interface,
        InterfaceType::Branch,
        InterfaceType::Trunk,
    ]
    .map(|kind| eni(&mut model, &subnet, kind));
    model.associate_trunk(&taken, &trunk, 7, NOW).unwrap();
    let primary = model.primary_eni_of(&instance).unwrap().id.clone();
    let unknown: EniId = "eni-0123456789abcdef0".parse().unwrap();
    let before = model.clone();
    for (branch, trunk, vlan, expected) in [
        (&unknown, &trunk, 1, "InvalidNetworkInterfaceID.NotFound"),
        (&plain, &unknown, 1, "InvalidNetworkInterfaceID.NotFound"),
        (&plain, &taken, 1, "InvalidParameterValue"),
        (&other_trunk, &trunk, 1, "InvalidParameterValue"),
        (&plain, &trunk, 0, "InvalidParameterValue"),
        (&plain, &trunk, 4_095, "InvalidParameterValue"),
        (&plain, &trunk, 7, "InvalidParameterValue"),
        (&taken, &trunk, 1, "InvalidNetworkInterface.InUse"),
        (&primary, &trunk, 1, "InvalidNetworkInterface.InUse"),
    ] {
        assert_eq!(
            code(model.associate_trunk(branch, trunk, vlan, NOW)),
            expected
        );
        assert!(model == before, "{branch} {trunk} {vlan}");
    }
    assert_eq!(
        code(model.attach(&taken, &instance, 1, 0, NOW)),
        "InvalidNetworkInterface.InUse"
    );
}

#[test]
fn a_type_carries_so_many_branches_and_some_types_none() {
    let (mut model, subnet, instance, trunk) = with_trunk("m5.large");
    for vlan in 1..=10 {
        let branch = eni(&mut model, &subnet, InterfaceType::Branch);
        model.associate_trunk(&branch, &trunk, vlan, NOW).unwrap();
    }
    let attach = |model: &mut Model| model.attach(&trunk, &instance, 1, 0, NOW);
    assert_eq!(code(attach(&mut model)), "AttachmentLimitExceeded");
    model.config.branch_limits.insert("m5.large".to_owned(), 10);
    attach(&mut model).unwrap();
    let branch = eni(&mut model, &subnet, InterfaceType::Branch);
    assert_eq!(
        code(model.associate_trunk(&branch, &trunk, 11, NOW)),
        "AttachmentLimitExceeded"
    );

    let (mut model, _, instance, trunk) = with_trunk("t3.medium");
    assert_eq!(
        code(model.attach(&trunk, &instance, 1, 0, NOW)),
        "InvalidParameterCombination"
    );
}

#[test]
fn a_trunk_that_goes_with_its_instance_frees_its_branches() {
    let (mut model, subnet, instance, trunk) = with_trunk("m5.large");
    let branch = eni(&mut model, &subnet, InterfaceType::Branch);
    let attachment = model.attach(&trunk, &instance, 1, 0, NOW).unwrap();
    model
        .set_delete_on_termination(&trunk, &attachment, true)
        .unwrap();
    model.associate_trunk(&branch, &trunk, 7, NOW).unwrap();
    model
        .terminate(std::slice::from_ref(&instance), NOW)
        .unwrap();
    assert_eq!(model.eni(&trunk), None);
    assert_eq!(model.trunk_associations().count(), 0);
    assert_eq!(model.eni(&branch).unwrap().status(), EniStatus::Available);
}

#[test]
fn branch_counts_are_those_of_the_resource_controller() {
    for (name, branches) in [
        ("a1.medium", 10),
        ("c7g.medium", 4),
        ("m5.large", 9),
        ("m8i.large", 9),
        ("m5.xlarge", 18),
        ("c5.2xlarge", 38),
        ("m5.4xlarge", 54),
        ("m5.12xlarge", 54),
        ("c5a.16xlarge", 107),
        ("c5.metal", 107),
        ("p4d.24xlarge", 62),
        ("p5.48xlarge", 120),
        ("t2.large", 0),
        ("t3.large", 0),
        ("t4g.nano", 0),
        ("c3.8xlarge", 0),
    ] {
        assert_eq!(
            InstanceType::named(name).unwrap().branches(),
            branches,
            "{name}"
        );
    }
}
