//! Actions on the IPv6 blocks of subnets.

use ipnet::Ipv6Net;
use underlay_types::{SubnetCidrAssociationId, SubnetId};
use underlay_vpc_model::{CidrState, Ec2Error, SubnetCidrAssociation};

use super::{call::Call, params::Params, vpc_cidrs::refuse_pools, xml::Xml};

/// Writes the IPv6 block of a subnet.
pub(super) fn write_association(xml: &mut Xml, held: &SubnetCidrAssociation) {
    xml.leaf("associationId", &held.id);
    xml.leaf("ipv6CidrBlock", held.cidr);
    xml.tree("ipv6CidrBlockState", |xml| {
        xml.leaf("state", held.state.as_str());
    });
    xml.leaf("ipv6AddressAttribute", "public");
    xml.leaf("ipSource", "amazon");
}

/// AssociateSubnetCidrBlock.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SubnetId = params.id("SubnetId")?;
    refuse_pools(params)?;
    let cidr: Ipv6Net = params.required_parsed("Ipv6CidrBlock")?;
    Ok(Call::new(move |model, context| {
        model.associate_subnet_v6(&id, cidr, context.now)?;
        Ok(answer(&id, model.require_subnet(&id)?.v6.as_ref()))
    }))
}

/// DisassociateSubnetCidrBlock.
pub(super) fn disassociate(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: SubnetCidrAssociationId = params.id("AssociationId")?;
    Ok(Call::new(move |model, context| {
        let (id, cidr) = model.disassociate_subnet_v6(&association, context.now)?;
        let gone = SubnetCidrAssociation {
            id: association,
            cidr,
            state: CidrState::Disassociating,
        };
        Ok(answer(&id, Some(&gone)))
    }))
}

fn answer(id: &SubnetId, held: Option<&SubnetCidrAssociation>) -> Xml {
    let mut xml = Xml::default();
    xml.leaf("subnetId", id);
    if let Some(held) = held {
        xml.tree("ipv6CidrBlockAssociation", |xml| {
            write_association(xml, held);
        });
    }
    xml
}
