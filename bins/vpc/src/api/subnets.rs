//! Subnet actions.

use ipnet::Ipv4Net;
use underlay_types::{SubnetId, VpcId};
use underlay_vpc_model::{Ec2Error, Model, Subnet};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<Subnet> = FilterTable {
    fields: &[
        ("availability-zone", |_, subnet| {
            vec![subnet.zone.name.clone()]
        }),
        ("availability-zone-id", |_, subnet| {
            vec![subnet.zone.id.clone()]
        }),
        ("availabilityZone", |_, subnet| {
            vec![subnet.zone.name.clone()]
        }),
        ("available-ip-address-count", |model, subnet| {
            vec![model.available_addresses(&subnet.id).to_string()]
        }),
        ("cidr", |_, subnet| vec![subnet.cidr.to_string()]),
        ("cidr-block", |_, subnet| vec![subnet.cidr.to_string()]),
        ("cidrBlock", |_, subnet| vec![subnet.cidr.to_string()]),
        ("default-for-az", |_, _| vec!["false".to_owned()]),
        ("map-public-ip-on-launch", |_, subnet| {
            vec![subnet.map_public_ip_on_launch.to_string()]
        }),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("state", |_, _| vec!["available".to_owned()]),
        ("subnet-arn", |model, subnet| vec![arn(model, subnet)]),
        ("subnet-id", |_, subnet| vec![subnet.id.to_string()]),
        ("vpc-id", |_, subnet| vec![subnet.vpc.to_string()]),
    ],
    tags: Some(|subnet| &subnet.tags),
};

/// DescribeSubnets.
pub(super) static DESCRIBE: Describe<Subnet, SubnetId> = Describe {
    action: "DescribeSubnets",
    ids: "SubnetId",
    set: "subnetSet",
    filters: &FILTERS,
    all: |model| Box::new(model.subnets()),
    require: |model, id| model.require_subnet(id).map(drop),
    id: |subnet| &subnet.id,
    write,
};

fn arn(model: &Model, subnet: &Subnet) -> String {
    let config = model.config();
    format!(
        "arn:aws:ec2:{}:{}:subnet/{}",
        config.region, config.account, subnet.id
    )
}

fn write(xml: &mut Xml, model: &Model, subnet: &Subnet) {
    xml.leaf("subnetId", &subnet.id);
    xml.leaf("subnetArn", arn(model, subnet));
    xml.leaf("vpcId", &subnet.vpc);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("state", "available");
    xml.leaf("cidrBlock", subnet.cidr);
    xml.leaf("availabilityZone", &subnet.zone.name);
    xml.leaf("availabilityZoneId", &subnet.zone.id);
    xml.leaf(
        "availableIpAddressCount",
        model.available_addresses(&subnet.id),
    );
    xml.leaf("defaultForAz", false);
    xml.leaf("mapPublicIpOnLaunch", subnet.map_public_ip_on_launch);
    xml.leaf("assignIpv6AddressOnCreation", false);
    xml.leaf("ipv6Native", false);
    write_tags(xml, &subnet.tags);
}

/// CreateSubnet.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let cidr: Ipv4Net = params.required_parsed("CidrBlock")?;
    let zone = params.text("AvailabilityZone");
    let zone = params.text("AvailabilityZoneId").or(zone);
    let [tags] = take_specifications(params, ["subnet"])?;
    Ok(Call::new(move |model, _| {
        let id = model.create_subnet(&vpc, cidr, zone.as_deref(), tags)?;
        let mut xml = Xml::default();
        if let Some(subnet) = model.subnet(&id) {
            xml.tree("subnet", |xml| write(xml, model, subnet));
        }
        Ok(xml)
    }))
}

/// DeleteSubnet.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SubnetId = params.id("SubnetId")?;
    Ok(Call::new(move |model, _| {
        model.delete_subnet(&id)?;
        Ok(done())
    }))
}

/// ModifySubnetAttribute.
pub(super) fn modify_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SubnetId = params.id("SubnetId")?;
    let public = params.structure("MapPublicIpOnLaunch", |p| p.flag("Value"))?;
    let public = public.ok_or_else(|| params.missing("MapPublicIpOnLaunch.Value"))?;
    Ok(Call::new(move |model, _| {
        model.modify_subnet(&id, public)?;
        Ok(done())
    }))
}
