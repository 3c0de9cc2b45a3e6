//! Trunk interfaces and their branches.

use underlay_types::{EniId, TrunkAssociationId};
use underlay_vpc_model::{Ec2Error, ErrorCode, TrunkAssociation};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    tags::write_tags,
    xml::Xml,
};

static FILTERS: FilterTable<TrunkAssociation> = FilterTable {
    fields: &[
        // None here is by GRE key.
        ("gre-key", |_, _| Vec::new()),
        ("interface-protocol", |_, _| vec!["VLAN".to_owned()]),
    ],
    tags: None,
};

/// DescribeTrunkInterfaceAssociations.
pub(super) static DESCRIBE: Describe<TrunkAssociation> = Describe {
    action: "DescribeTrunkInterfaceAssociations",
    ids: "AssociationId",
    set: "interfaceAssociationSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_trunk_association(id).map(drop),
    write: |xml, _, association| write(xml, association),
};

fn write(xml: &mut Xml, association: &TrunkAssociation) {
    xml.leaf("associationId", &association.id);
    xml.leaf("branchInterfaceId", &association.branch);
    xml.leaf("trunkInterfaceId", &association.trunk);
    xml.leaf("interfaceProtocol", "VLAN");
    xml.leaf("vlanId", association.vlan);
    write_tags(xml, &underlay_vpc_model::Tags::new());
}

/// AssociateTrunkInterface.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let branch: EniId = params.id("BranchInterfaceId")?;
    let trunk: EniId = params.id("TrunkInterfaceId")?;
    let vlan: Option<i64> = params.parsed("VlanId")?;
    if params.parsed::<i64>("GreKey")?.is_some() {
        let text = "Trunks by GRE key are not supported by this VPC.";
        return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
    }
    let vlan = vlan.ok_or_else(|| params.missing("VlanId"))?;
    let vlan = u16::try_from(vlan).map_err(|_too_large| params.invalid("VlanId", vlan))?;
    Ok(Call::new(move |model, context| {
        let now = context.now;
        let made = context.once(model, |model| {
            let made = model.associate_trunk(&branch, &trunk, vlan, now);
            made.map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let association = model.require_trunk_association(&super::ids::parse_id(text)?)?;
            xml.tree("interfaceAssociation", |xml| write(xml, association));
        }
        xml.optional(
            "clientToken",
            context.token.as_ref().map(|(token, _)| token),
        );
        Ok(xml)
    }))
}

/// DisassociateTrunkInterface.
pub(super) fn disassociate(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: TrunkAssociationId = params.id("AssociationId")?;
    Ok(Call::new(move |model, context| {
        context.once(model, |model| {
            model.disassociate_trunk(&id).map(|()| Vec::new())
        })?;
        let mut xml = done();
        xml.optional(
            "clientToken",
            context.token.as_ref().map(|(token, _)| token),
        );
        Ok(xml)
    }))
}
