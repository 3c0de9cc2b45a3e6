//! Actions on the blocks of VPCs.

use ipnet::{IpNet, Ipv4Net};
use underlay_types::{VpcCidrAssociationId, VpcId};
use underlay_vpc_model::{
    CidrState, Ec2Error, ErrorCode, Model, VpcCidrAssociation, VpcIpv6CidrAssociation,
};

use super::{call::Call, params::Params, xml::Xml};

/// Where an IPv6 block is advertised, if the caller says so.
pub(super) struct BorderGroup(Option<String>);

impl BorderGroup {
    /// Whether the Region has it: there is one, of the Region's name.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub(super) fn check(&self, model: &Model) -> Result<(), Ec2Error> {
        match &self.0 {
            Some(name) if *name != model.config().region => {
                let text = format!("The network border group '{name}' does not exist.");
                Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
            }
            _ => Ok(()),
        }
    }
}

/// Takes `Ipv6CidrBlockNetworkBorderGroup`, which belongs to a block that Amazon provides.
///
/// # Errors
/// `InvalidParameterCombination`.
pub(super) fn take_border_group(
    params: &mut Params,
    provided: bool,
) -> Result<BorderGroup, Ec2Error> {
    let name = params.text("Ipv6CidrBlockNetworkBorderGroup");
    if name.is_some() && !provided {
        let text = "Ipv6CidrBlockNetworkBorderGroup needs AmazonProvidedIpv6CidrBlock.";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    Ok(BorderGroup(name))
}

/// Refuses blocks that come from pools of the account's own.
///
/// # Errors
/// `UnsupportedOperation`.
pub(super) fn refuse_pools(params: &mut Params) -> Result<(), Ec2Error> {
    for name in [
        "Ipv4IpamPoolId",
        "Ipv4NetmaskLength",
        "Ipv6IpamPoolId",
        "Ipv6NetmaskLength",
        "Ipv6Pool",
    ] {
        if params.text(name).is_some() {
            return Err(unsupported("Address pools"));
        }
    }
    Ok(())
}

/// EC2 has it and this VPC does not.
pub(super) fn unsupported(what: &str) -> Ec2Error {
    let text = format!("{what} are not supported by this VPC.");
    Ec2Error::new(ErrorCode::UnsupportedOperation, text)
}

/// Writes an IPv4 block of a VPC.
pub(super) fn write_v4(xml: &mut Xml, held: &VpcCidrAssociation) {
    xml.leaf("associationId", &held.id);
    xml.leaf("cidrBlock", held.cidr);
    xml.tree("cidrBlockState", |xml| {
        xml.leaf("state", held.state.as_str());
    });
}

/// Writes an IPv6 block of a VPC.
pub(super) fn write_v6(xml: &mut Xml, model: &Model, held: &VpcIpv6CidrAssociation) {
    xml.leaf("associationId", &held.id);
    xml.leaf("ipv6CidrBlock", held.cidr);
    xml.tree("ipv6CidrBlockState", |xml| {
        xml.leaf("state", held.state.as_str());
    });
    xml.leaf("networkBorderGroup", &model.config().region);
    xml.leaf("ipv6Pool", "Amazon");
    xml.leaf("ipv6AddressAttribute", "public");
    xml.leaf("ipSource", "amazon");
}

/// AssociateVpcCidrBlock.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcId = params.id("VpcId")?;
    refuse_pools(params)?;
    let v4: Option<Ipv4Net> = params.parsed("CidrBlock")?;
    let v6 = params.flag("AmazonProvidedIpv6CidrBlock")?.unwrap_or(false);
    let group = take_border_group(params, v6)?;
    if v4.is_some() && v6 {
        let text = "Only one of CidrBlock and AmazonProvidedIpv6CidrBlock can be specified.";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    if v4.is_none() && !v6 {
        return Err(params.missing("CidrBlock"));
    }
    Ok(Call::new(move |model, context| {
        group.check(model)?;
        let association = match v4 {
            Some(cidr) => model.associate_vpc_cidr(&id, cidr, context.now)?,
            None => model.associate_vpc_v6(&id, context.now)?,
        };
        answer(model, &id, &association)
    }))
}

/// DisassociateVpcCidrBlock.
pub(super) fn disassociate(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: VpcCidrAssociationId = params.id("AssociationId")?;
    Ok(Call::new(move |model, context| {
        let (vpc, block) = model.disassociate_vpc_cidr(&association, context.now)?;
        let (id, state) = (association, CidrState::Disassociating);
        let mut xml = Xml::default();
        xml.leaf("vpcId", vpc);
        match block {
            IpNet::V4(cidr) => xml.tree("cidrBlockAssociation", |xml| {
                write_v4(xml, &VpcCidrAssociation { id, cidr, state });
            }),
            IpNet::V6(cidr) => xml.tree("ipv6CidrBlockAssociation", |xml| {
                write_v6(xml, model, &VpcIpv6CidrAssociation { id, cidr, state });
            }),
        }
        Ok(xml)
    }))
}

/// What an answer says of the association.
fn answer(model: &Model, id: &VpcId, association: &VpcCidrAssociationId) -> Result<Xml, Ec2Error> {
    let vpc = model.require_vpc(id)?;
    let mut xml = Xml::default();
    xml.leaf("vpcId", id);
    if let Some(held) = vpc.cidrs.iter().find(|each| &each.id == association) {
        xml.tree("cidrBlockAssociation", |xml| write_v4(xml, held));
    }
    if let Some(held) = vpc.v6_cidrs.iter().find(|each| &each.id == association) {
        xml.tree("ipv6CidrBlockAssociation", |xml| write_v6(xml, model, held));
    }
    Ok(xml)
}
