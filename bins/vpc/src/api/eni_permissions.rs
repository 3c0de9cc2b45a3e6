//! Permissions on network interfaces.

use underlay_types::{AccountId, EniId, EniPermissionId};
use underlay_vpc_model::{
    Ec2Error, EniPermission, EniPermissionKind, ErrorCode, Model, PermissionGrantee,
};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    xml::Xml,
};

static FILTERS: FilterTable<EniPermission> = FilterTable {
    fields: &[
        ("network-interface-permission.aws-account-id", |_, each| {
            account(each).into_iter().collect()
        }),
        ("network-interface-permission.aws-service", |_, each| {
            service(each).into_iter().collect()
        }),
        (
            "network-interface-permission.network-interface-id",
            |_, each| vec![each.eni.to_string()],
        ),
        (
            "network-interface-permission.network-interface-permission-id",
            |_, each| vec![each.id.to_string()],
        ),
        ("network-interface-permission.permission", |_, each| {
            vec![each.kind.as_str().to_owned()]
        }),
    ],
    tags: None,
};

/// DescribeNetworkInterfacePermissions.
pub(super) static DESCRIBE: Describe<EniPermission> = Describe {
    action: "DescribeNetworkInterfacePermissions",
    ids: "NetworkInterfacePermissionId",
    set: "networkInterfacePermissions",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_eni_permission(id).map(drop),
    write,
};

fn account(permission: &EniPermission) -> Option<String> {
    match &permission.grantee {
        PermissionGrantee::Account(account) => Some(account.to_string()),
        PermissionGrantee::Service(_) => None,
    }
}

fn service(permission: &EniPermission) -> Option<String> {
    match &permission.grantee {
        PermissionGrantee::Account(_) => None,
        PermissionGrantee::Service(name) => Some(name.clone()),
    }
}

fn write(xml: &mut Xml, _: &Model, permission: &EniPermission) {
    xml.leaf("networkInterfacePermissionId", &permission.id);
    xml.leaf("networkInterfaceId", &permission.eni);
    xml.optional("awsAccountId", account(permission));
    xml.optional("awsService", service(permission));
    xml.leaf("permission", permission.kind.as_str());
    xml.tree("permissionState", |xml| xml.leaf("state", "granted"));
}

/// CreateNetworkInterfacePermission.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let eni: EniId = params.id("NetworkInterfaceId")?;
    let kind = match params.required("Permission")?.as_str() {
        "EIP-ASSOCIATE" => EniPermissionKind::EipAssociate,
        "INSTANCE-ATTACH" => EniPermissionKind::InstanceAttach,
        other => return Err(params.invalid("Permission", other)),
    };
    let grantee = take_grantee(params)?;
    Ok(Call::new(move |model, _| {
        let id = model.create_eni_permission(&eni, grantee, kind)?;
        let permission = model.require_eni_permission(&id)?;
        let mut xml = Xml::default();
        xml.tree("interfacePermission", |xml| write(xml, model, permission));
        Ok(xml)
    }))
}

fn take_grantee(params: &mut Params) -> Result<PermissionGrantee, Ec2Error> {
    let account: Option<AccountId> = params.parsed("AwsAccountId")?;
    match (account, params.text("AwsService")) {
        (Some(account), None) => Ok(PermissionGrantee::Account(account)),
        (None, Some(service)) if !service.is_empty() => Ok(PermissionGrantee::Service(service)),
        (None, _) => Err(params.missing("AwsAccountId")),
        (Some(_), Some(_)) => {
            let text = "AwsAccountId and AwsService cannot be used together";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
    }
}

/// DeleteNetworkInterfacePermission.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniPermissionId = params.id("NetworkInterfacePermissionId")?;
    let force = params.flag("Force")?.unwrap_or(false);
    Ok(Call::new(move |model, _| {
        model.delete_eni_permission(&id, force)?;
        Ok(done())
    }))
}
