//! Permissions on interfaces.

use super::*;
use crate::{EniPermissionKind, PermissionGrantee};

#[test]
fn a_permission_lasts_as_its_interface_and_is_kept_while_it_is_used() {
    let (mut model, subnet, instance) = with_instance("10.0.1.0/24", "m5.large");
    let attached = model.primary_eni_of(&instance).unwrap().id.clone();
    let free = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let own = PermissionGrantee::Account(model.config().account.clone());
    let service = PermissionGrantee::Service("elb.amazonaws.com".to_owned());
    let mut grant = |eni: &EniId, grantee: &PermissionGrantee| {
        let kind = EniPermissionKind::InstanceAttach;
        model.create_eni_permission(eni, grantee.clone(), kind)
    };
    let used = grant(&attached, &own).unwrap();
    let of_service = grant(&attached, &service).unwrap();
    let unused = grant(&free, &own).unwrap();
    let gone = "eni-0123456789abcdef0".parse().unwrap();
    assert_eq!(
        code(grant(&gone, &own)),
        "InvalidNetworkInterfaceID.NotFound"
    );
    assert_eq!(
        code(model.delete_eni_permission(&used, false)),
        "OperationNotPermitted"
    );
    model.delete_eni_permission(&of_service, false).unwrap();
    model.delete_eni_permission(&used, true).unwrap();
    assert_eq!(
        code(model.delete_eni_permission(&used, true)),
        "InvalidPermissionID.NotFound"
    );
    assert_eq!(model.eni_permissions().next().unwrap().id, unused);
    model.delete_eni(&free).unwrap();
    assert_eq!(model.eni_permissions().count(), 0);
}
