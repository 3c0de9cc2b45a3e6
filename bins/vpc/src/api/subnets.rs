//! Subnet actions.

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{SubnetId, VpcId};
use underlay_vpc_model::{Ec2Error, Model, Subnet, SubnetAttribute, SubnetRequest};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    subnet_cidrs::write_association,
    tags::{take_specifications, write_tags},
    vpc_cidrs::{refuse_pools, unsupported},
    vpcs::only_one,
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
        ("availabilityZoneId", |_, subnet| {
            vec![subnet.zone.id.clone()]
        }),
        ("available-ip-address-count", |model, subnet| {
            vec![model.available_addresses(&subnet.id).to_string()]
        }),
        ("cidr", |_, subnet| vec![subnet.cidr.to_string()]),
        ("cidr-block", |_, subnet| vec![subnet.cidr.to_string()]),
        ("cidrBlock", |_, subnet| vec![subnet.cidr.to_string()]),
        // There are no Outposts, nor addresses that a customer brought.
        ("customer-owned-ipv4-pool", |_, _| Vec::new()),
        ("default-for-az", |_, _| vec!["false".to_owned()]),
        ("defaultForAz", |_, _| vec!["false".to_owned()]),
        ("enable-dns64", |_, subnet| vec![subnet.dns64.to_string()]),
        ("enable-lni-at-device-index", |_, _| Vec::new()),
        ("ipv6-cidr-block-association.association-id", |_, subnet| {
            let held = subnet.v6.iter();
            held.map(|held| held.id.to_string()).collect()
        }),
        (
            "ipv6-cidr-block-association.ipv6-cidr-block",
            |_, subnet| {
                let held = subnet.v6.iter();
                held.map(|held| held.cidr.to_string()).collect()
            },
        ),
        ("ipv6-cidr-block-association.state", |_, subnet| {
            let held = subnet.v6.iter();
            held.map(|held| held.state.as_str().to_owned()).collect()
        }),
        ("ipv6-native", |_, _| vec!["false".to_owned()]),
        ("map-customer-owned-ip-on-launch", |_, _| {
            vec!["false".to_owned()]
        }),
        ("map-public-ip-on-launch", |_, subnet| {
            vec![subnet.map_public_ip_on_launch.to_string()]
        }),
        ("outpost-arn", |_, _| Vec::new()),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        (
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
            |_, subnet| vec![subnet.launch_names.a_record.to_string()],
        ),
        (
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
            |_, subnet| vec![subnet.launch_names.aaaa_record.to_string()],
        ),
        (
            "private-dns-name-options-on-launch.hostname-type",
            |_, subnet| vec![host_name_type(subnet).to_owned()],
        ),
        ("state", |_, _| vec!["available".to_owned()]),
        ("subnet-arn", |model, subnet| vec![arn(model, subnet)]),
        ("subnet-id", |_, subnet| vec![subnet.id.to_string()]),
        ("vpc-id", |_, subnet| vec![subnet.vpc.to_string()]),
    ],
    tags: Some(|subnet| &subnet.tags),
};

/// DescribeSubnets.
pub(super) static DESCRIBE: Describe<Subnet> = Describe {
    action: "DescribeSubnets",
    ids: "SubnetId",
    set: "subnetSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_subnet(id).map(drop),
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
    xml.leaf("assignIpv6AddressOnCreation", subnet.assign_v6_on_creation);
    xml.items("ipv6CidrBlockAssociationSet", &subnet.v6, write_association);
    xml.leaf("enableDns64", subnet.dns64);
    xml.leaf("ipv6Native", false);
    xml.tree("privateDnsNameOptionsOnLaunch", |xml| {
        let names = subnet.launch_names;
        xml.leaf("hostnameType", host_name_type(subnet));
        xml.leaf("enableResourceNameDnsARecord", names.a_record);
        xml.leaf("enableResourceNameDnsAAAARecord", names.aaaa_record);
    });
    write_tags(xml, &subnet.tags);
}

const fn host_name_type(subnet: &Subnet) -> &'static str {
    if subnet.launch_names.by_instance {
        "resource-name"
    } else {
        "ip-name"
    }
}

/// CreateSubnet.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    refuse_pools(params)?;
    if params.flag("Ipv6Native")? == Some(true) {
        return Err(unsupported("IPv6-only subnets"));
    }
    if params.text("OutpostArn").is_some() {
        return Err(unsupported("Outposts"));
    }
    let cidr: Ipv4Net = params.required_parsed("CidrBlock")?;
    let v6: Option<Ipv6Net> = params.parsed("Ipv6CidrBlock")?;
    // Go's SDK sends what its caller left empty.
    let mut zone = |name| params.text(name).filter(|zone| !zone.is_empty());
    let name = zone("AvailabilityZone");
    let zone = zone("AvailabilityZoneId").or(name);
    let [tags] = take_specifications(params, ["subnet"])?;
    let request = SubnetRequest {
        vpc,
        cidr,
        v6,
        zone,
        tags,
    };
    Ok(Call::new(move |model, context| {
        let id = model.create_subnet_with(request, context.now)?;
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

/// The name of an attribute that is on or off, and what to make of its value.
type Switch = (&'static str, fn(bool) -> SubnetAttribute);

/// ModifySubnetAttribute: exactly one attribute a call.
pub(super) fn modify_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: SubnetId = params.id("SubnetId")?;
    for name in [
        "CustomerOwnedIpv4Pool",
        "DisableLniAtDeviceIndex.Value",
        "EnableLniAtDeviceIndex",
        "MapCustomerOwnedIpOnLaunch.Value",
    ] {
        if params.text(name).is_some() {
            return Err(unsupported("Outposts"));
        }
    }
    let attributes: [Switch; 5] = [
        (
            "AssignIpv6AddressOnCreation",
            SubnetAttribute::AssignV6OnCreation,
        ),
        ("EnableDns64", SubnetAttribute::Dns64),
        (
            "EnableResourceNameDnsAAAARecordOnLaunch",
            SubnetAttribute::NameHasAaaaRecord,
        ),
        (
            "EnableResourceNameDnsARecordOnLaunch",
            SubnetAttribute::NameHasARecord,
        ),
        ("MapPublicIpOnLaunch", SubnetAttribute::MapPublicIpOnLaunch),
    ];
    let mut named = Vec::new();
    for (name, make) in attributes {
        named.extend(params.structure(name, |p| p.flag("Value"))?.map(make));
    }
    match params.text("PrivateDnsHostnameTypeOnLaunch").as_deref() {
        None => {}
        Some("ip-name") => named.push(SubnetAttribute::NameByInstance(false)),
        Some("resource-name") => named.push(SubnetAttribute::NameByInstance(true)),
        Some(other) => return Err(params.invalid("PrivateDnsHostnameTypeOnLaunch", other)),
    }
    let attribute = only_one(named)?;
    Ok(Call::new(move |model, _| {
        model.set_subnet_attribute(&id, attribute)?;
        Ok(done())
    }))
}
