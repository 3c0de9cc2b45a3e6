//! Actions on internet gateways, and on egress-only ones.

use underlay_types::{EgressOnlyInternetGatewayId, InternetGatewayId, VpcId};
use underlay_vpc_model::{Ec2Error, EgressOnlyInternetGateway, InternetGateway, Model};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<InternetGateway> = FilterTable {
    fields: &[
        ("attachment.state", |_, gateway| {
            let attached = gateway.vpc.iter();
            attached.map(|_| "available".to_owned()).collect()
        }),
        ("attachment.vpc-id", |_, gateway| {
            gateway.vpc.iter().map(ToString::to_string).collect()
        }),
        ("internet-gateway-id", |_, gateway| {
            vec![gateway.id.to_string()]
        }),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
    ],
    tags: Some(|gateway| &gateway.tags),
};

static EGRESS_ONLY_FILTERS: FilterTable<EgressOnlyInternetGateway> = FilterTable {
    fields: &[],
    tags: Some(|gateway| &gateway.tags),
};

/// DescribeInternetGateways.
pub(super) static DESCRIBE: Describe<InternetGateway> = Describe {
    action: "DescribeInternetGateways",
    ids: "InternetGatewayId",
    set: "internetGatewaySet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_internet_gateway(id).map(drop),
    write,
};

/// DescribeEgressOnlyInternetGateways.
pub(super) static DESCRIBE_EGRESS_ONLY: Describe<EgressOnlyInternetGateway> = Describe {
    action: "DescribeEgressOnlyInternetGateways",
    ids: "EgressOnlyInternetGatewayId",
    set: "egressOnlyInternetGatewaySet",
    filters: &EGRESS_ONLY_FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_egress_only_gateway(id).map(drop),
    write: write_egress_only,
};

fn write(xml: &mut Xml, model: &Model, gateway: &InternetGateway) {
    xml.leaf("internetGatewayId", &gateway.id);
    xml.leaf("ownerId", &model.config().account);
    xml.items("attachmentSet", &gateway.vpc, |xml, vpc| {
        xml.leaf("vpcId", vpc);
        xml.leaf("state", "available");
    });
    write_tags(xml, &gateway.tags);
}

fn write_egress_only(xml: &mut Xml, _: &Model, gateway: &EgressOnlyInternetGateway) {
    xml.leaf("egressOnlyInternetGatewayId", &gateway.id);
    xml.items("attachmentSet", [&gateway.vpc], |xml, vpc| {
        xml.leaf("vpcId", vpc);
        xml.leaf("state", "attached");
    });
    write_tags(xml, &gateway.tags);
}

/// CreateInternetGateway.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let [tags] = take_specifications(params, ["internet-gateway"])?;
    Ok(Call::new(move |model, _| {
        let id = model.create_internet_gateway(tags)?;
        let mut xml = Xml::default();
        let gateway = model.require_internet_gateway(&id)?;
        xml.tree("internetGateway", |xml| write(xml, model, gateway));
        Ok(xml)
    }))
}

/// AttachInternetGateway.
pub(super) fn attach(params: &mut Params) -> Result<Call, Ec2Error> {
    let (id, vpc) = take_both(params)?;
    Ok(Call::new(move |model, _| {
        model.attach_internet_gateway(&id, &vpc)?;
        Ok(done())
    }))
}

/// DetachInternetGateway.
pub(super) fn detach(params: &mut Params) -> Result<Call, Ec2Error> {
    let (id, vpc) = take_both(params)?;
    Ok(Call::new(move |model, _| {
        model.detach_internet_gateway(&id, &vpc)?;
        Ok(done())
    }))
}

fn take_both(params: &mut Params) -> Result<(InternetGatewayId, VpcId), Ec2Error> {
    Ok((params.id("InternetGatewayId")?, params.id("VpcId")?))
}

/// DeleteInternetGateway.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: InternetGatewayId = params.id("InternetGatewayId")?;
    Ok(Call::new(move |model, _| {
        model.delete_internet_gateway(&id)?;
        Ok(done())
    }))
}

/// CreateEgressOnlyInternetGateway.
pub(super) fn create_egress_only(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let [tags] = take_specifications(params, ["egress-only-internet-gateway"])?;
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            let made = model.create_egress_only_gateway(&vpc, tags);
            made.map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let gateway = model.require_egress_only_gateway(&super::ids::parse_id(text)?)?;
            xml.tree("egressOnlyInternetGateway", |xml| {
                write_egress_only(xml, model, gateway);
            });
        }
        let token = context.token.as_ref().map(|(token, _)| token);
        xml.optional("clientToken", token);
        Ok(xml)
    }))
}

/// DeleteEgressOnlyInternetGateway.
pub(super) fn delete_egress_only(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EgressOnlyInternetGatewayId = params.id("EgressOnlyInternetGatewayId")?;
    Ok(Call::new(move |model, _| {
        model.delete_egress_only_gateway(&id)?;
        let mut xml = Xml::default();
        xml.leaf("returnCode", true);
        Ok(xml)
    }))
}
