//! VPC actions.

use ipnet::Ipv4Net;
use underlay_types::VpcId;
use underlay_vpc_model::{Ec2Error, Model, Vpc};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<Vpc> = FilterTable {
    fields: &[
        ("cidr", |_, vpc| cidrs(vpc)),
        ("cidr-block-association.association-id", |_, vpc| {
            vpc.cidrs.iter().map(|each| each.id.to_string()).collect()
        }),
        ("cidr-block-association.cidr-block", |_, vpc| cidrs(vpc)),
        ("cidr-block-association.state", |_, _| {
            vec!["associated".to_owned()]
        }),
        ("dhcp-options-id", |_, _| vec!["default".to_owned()]),
        ("is-default", |_, _| vec!["false".to_owned()]),
        ("isDefault", |_, _| vec!["false".to_owned()]),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("state", |_, _| vec!["available".to_owned()]),
        ("vpc-id", |_, vpc| vec![vpc.id.to_string()]),
    ],
    tags: Some(|vpc| &vpc.tags),
};

/// DescribeVpcs.
pub(super) static DESCRIBE: Describe<Vpc, VpcId> = Describe {
    action: "DescribeVpcs",
    ids: "VpcId",
    set: "vpcSet",
    filters: &FILTERS,
    all: |model| Box::new(model.vpcs()),
    require: |model, id| model.require_vpc(id).map(drop),
    id: |vpc| &vpc.id,
    write,
};

fn cidrs(vpc: &Vpc) -> Vec<String> {
    vpc.cidrs.iter().map(|each| each.cidr.to_string()).collect()
}

fn write(xml: &mut Xml, model: &Model, vpc: &Vpc) {
    xml.leaf("vpcId", &vpc.id);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("state", "available");
    xml.optional("cidrBlock", vpc.cidrs.first().map(|each| each.cidr));
    xml.items("cidrBlockAssociationSet", &vpc.cidrs, |xml, each| {
        xml.leaf("associationId", &each.id);
        xml.leaf("cidrBlock", each.cidr);
        xml.tree("cidrBlockState", |xml| xml.leaf("state", "associated"));
    });
    xml.leaf("dhcpOptionsId", "default");
    xml.leaf("instanceTenancy", "default");
    xml.leaf("isDefault", false);
    write_tags(xml, &vpc.tags);
}

/// CreateVpc.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let cidr: Ipv4Net = params.required_parsed("CidrBlock")?;
    refuse_other_than(params, "InstanceTenancy", "default")?;
    let [tags] = take_specifications(params, ["vpc"])?;
    Ok(Call::new(move |model, _| {
        let id = model.create_vpc(cidr, tags)?;
        let mut xml = Xml::default();
        if let Some(vpc) = model.vpc(&id) {
            xml.tree("vpc", |xml| write(xml, model, vpc));
        }
        Ok(xml)
    }))
}

/// A parameter that may say only what this VPC does anyway.
pub(super) fn refuse_other_than(
    params: &mut Params,
    name: &str,
    only: &str,
) -> Result<(), Ec2Error> {
    match params.text(name) {
        Some(value) if value != only => Err(params.invalid(name, value)),
        _ => Ok(()),
    }
}

/// DeleteVpc.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcId = params.id("VpcId")?;
    Ok(Call::new(move |model, _| {
        model.delete_vpc(&id)?;
        Ok(done())
    }))
}

/// DescribeVpcAttribute.
pub(super) fn describe_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcId = params.id("VpcId")?;
    let attribute = params.required("Attribute")?;
    let read: fn(&Vpc) -> bool = match attribute.as_str() {
        "enableDnsHostnames" => |vpc| vpc.dns_hostnames,
        "enableDnsSupport" => |vpc| vpc.dns_support,
        "enableNetworkAddressUsageMetrics" => |_| false,
        other => return Err(params.invalid("Attribute", other)),
    };
    Ok(Call::new(move |model, _| {
        let value = read(model.require_vpc(&id)?);
        let mut xml = Xml::default();
        xml.leaf("vpcId", &id);
        xml.tree(&attribute, |xml| xml.leaf("value", value));
        Ok(xml)
    }))
}

/// ModifyVpcAttribute.
pub(super) fn modify_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcId = params.id("VpcId")?;
    let support = params.structure("EnableDnsSupport", |p| p.flag("Value"))?;
    let hostnames = params.structure("EnableDnsHostnames", |p| p.flag("Value"))?;
    Ok(Call::new(move |model, _| {
        model.modify_vpc_dns(&id, support, hostnames)?;
        Ok(done())
    }))
}
