//! VPC actions.

use ipnet::Ipv4Net;
use underlay_types::VpcId;
use underlay_vpc_model::{Ec2Error, ErrorCode, Model, Vpc, VpcAttribute};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    vpc_cidrs::{refuse_pools, take_border_group, write_v4, write_v6},
    xml::Xml,
};

static FILTERS: FilterTable<Vpc> = FilterTable {
    fields: &[
        ("cidr", |_, vpc| {
            let primary = vpc.cidrs.first();
            primary
                .map(|each| each.cidr.to_string())
                .into_iter()
                .collect()
        }),
        ("cidr-block", |_, vpc| {
            let primary = vpc.cidrs.first();
            primary
                .map(|each| each.cidr.to_string())
                .into_iter()
                .collect()
        }),
        ("cidr-block-association.association-id", |_, vpc| {
            vpc.cidrs.iter().map(|each| each.id.to_string()).collect()
        }),
        ("cidr-block-association.cidr-block", |_, vpc| {
            vpc.cidrs.iter().map(|each| each.cidr.to_string()).collect()
        }),
        ("cidr-block-association.state", |_, vpc| {
            let states = vpc.cidrs.iter().map(|each| each.state.as_str());
            states.map(str::to_owned).collect()
        }),
        ("dhcp-options-id", |_, _| vec!["default".to_owned()]),
        ("ipv6-cidr-block-association.association-id", |_, vpc| {
            vpc.v6_cidrs
                .iter()
                .map(|each| each.id.to_string())
                .collect()
        }),
        ("ipv6-cidr-block-association.ipv6-cidr-block", |_, vpc| {
            let blocks = vpc.v6_cidrs.iter();
            blocks.map(|each| each.cidr.to_string()).collect()
        }),
        ("ipv6-cidr-block-association.ipv6-pool", |_, vpc| {
            vpc.v6_cidrs.iter().map(|_| "Amazon".to_owned()).collect()
        }),
        ("ipv6-cidr-block-association.state", |_, vpc| {
            let states = vpc.v6_cidrs.iter().map(|each| each.state.as_str());
            states.map(str::to_owned).collect()
        }),
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
pub(super) static DESCRIBE: Describe<Vpc> = Describe {
    action: "DescribeVpcs",
    ids: "VpcId",
    set: "vpcSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_vpc(id).map(drop),
    write,
};

fn write(xml: &mut Xml, model: &Model, vpc: &Vpc) {
    xml.leaf("vpcId", &vpc.id);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("state", "available");
    xml.optional("cidrBlock", vpc.cidrs.first().map(|each| each.cidr));
    xml.items("cidrBlockAssociationSet", &vpc.cidrs, write_v4);
    if !vpc.v6_cidrs.is_empty() {
        xml.items("ipv6CidrBlockAssociationSet", &vpc.v6_cidrs, |xml, each| {
            write_v6(xml, model, each);
        });
    }
    xml.leaf("dhcpOptionsId", "default");
    xml.leaf("instanceTenancy", "default");
    xml.leaf("isDefault", false);
    write_tags(xml, &vpc.tags);
}

/// CreateVpc.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    refuse_pools(params)?;
    let cidr: Ipv4Net = params.required_parsed("CidrBlock")?;
    let v6 = params.flag("AmazonProvidedIpv6CidrBlock")?.unwrap_or(false);
    let group = take_border_group(params, v6)?;
    refuse_other_than(params, "InstanceTenancy", "default")?;
    let [tags] = take_specifications(params, ["vpc"])?;
    Ok(Call::new(move |model, context| {
        group.check(model)?;
        let id = if v6 {
            model.create_dual_stack_vpc(cidr, tags, context.now)?
        } else {
            model.create_vpc(cidr, tags)?
        };
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

/// DescribeVpcClassicLink, DescribeVpcClassicLinkDnsSupport: EC2-Classic has been retired, but
/// older clients still ask, and go on after this refusal.
pub(super) fn classic_link(_: &mut Params) -> Result<Call, Ec2Error> {
    let text = "The functionality you requested is not available in this region.";
    Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text))
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
        "enableNetworkAddressUsageMetrics" => |vpc| vpc.address_usage_metrics,
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

/// The name of an attribute that is on or off, and what to make of its value.
type Switch = (&'static str, fn(bool) -> VpcAttribute);

/// ModifyVpcAttribute: exactly one attribute a call.
pub(super) fn modify_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: VpcId = params.id("VpcId")?;
    let attributes: [Switch; 3] = [
        ("EnableDnsHostnames", VpcAttribute::DnsHostnames),
        ("EnableDnsSupport", VpcAttribute::DnsSupport),
        (
            "EnableNetworkAddressUsageMetrics",
            VpcAttribute::AddressUsageMetrics,
        ),
    ];
    let mut named = Vec::new();
    for (name, make) in attributes {
        named.extend(params.structure(name, |p| p.flag("Value"))?.map(make));
    }
    let attribute = only_one(named)?;
    Ok(Call::new(move |model, _| {
        model.set_vpc_attribute(&id, attribute)?;
        Ok(done())
    }))
}

/// The one attribute that a call changes.
///
/// # Errors
/// `InvalidParameterCombination` for none or several.
pub(super) fn only_one<T>(mut named: Vec<T>) -> Result<T, Ec2Error> {
    match (named.pop(), named.is_empty()) {
        (Some(attribute), true) => Ok(attribute),
        _ => {
            let text = "Exactly one attribute must be specified.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
    }
}
