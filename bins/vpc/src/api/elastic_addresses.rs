//! Actions on elastic addresses, and how public addresses are shown.

use std::net::Ipv4Addr;

use underlay_types::{AllocationId, ElasticAssociationId, EniId, InstanceId};
use underlay_vpc_model::{AssociationTarget, Ec2Error, ElasticAddress, Eni, ErrorCode, Model};

use super::{
    call::{Call, done},
    filter::{FilterTable, Filters},
    page::Page,
    params::Params,
    tags::{take_specifications, write_tags},
    vpcs::refuse_other_than,
    xml::Xml,
};

static FILTERS: FilterTable<ElasticAddress> = FilterTable {
    fields: &[
        ("allocation-id", |_, elastic| vec![elastic.id.to_string()]),
        ("association-id", |_, elastic| {
            let held = elastic.association.iter();
            held.map(|held| held.id.to_string()).collect()
        }),
        ("domain", |_, _| vec!["vpc".to_owned()]),
        ("instance-id", |model, elastic| {
            let instance = holder(model, elastic).and_then(Eni::instance);
            instance.map(ToString::to_string).into_iter().collect()
        }),
        ("network-border-group", |model, _| {
            vec![model.config().region.clone()]
        }),
        ("network-interface-id", |_, elastic| {
            let held = elastic.association.iter();
            held.map(|held| held.eni.to_string()).collect()
        }),
        ("network-interface-owner-id", |model, elastic| {
            let held = elastic.association.iter();
            held.map(|_| model.config().account.to_string()).collect()
        }),
        ("private-ip-address", |_, elastic| {
            let held = elastic.association.iter();
            held.map(|held| held.private.to_string()).collect()
        }),
        ("public-ip", |_, elastic| vec![elastic.address.to_string()]),
    ],
    tags: Some(|elastic| &elastic.tags),
};

fn holder<'a>(model: &'a Model, elastic: &ElasticAddress) -> Option<&'a Eni> {
    model.eni(&elastic.association.as_ref()?.eni)
}

fn write(xml: &mut Xml, model: &Model, elastic: &ElasticAddress) {
    xml.leaf("publicIp", elastic.address);
    xml.leaf("allocationId", &elastic.id);
    xml.leaf("publicIpv4Pool", "amazon");
    xml.leaf("networkBorderGroup", &model.config().region);
    xml.leaf("domain", "vpc");
    if let Some(held) = &elastic.association {
        xml.leaf("associationId", &held.id);
        xml.leaf("networkInterfaceId", &held.eni);
        xml.leaf("networkInterfaceOwnerId", &model.config().account);
        xml.leaf("privateIpAddress", held.private);
        let instance = holder(model, elastic).and_then(Eni::instance);
        xml.optional("instanceId", instance);
    }
    write_tags(xml, &elastic.tags);
}

/// Writes the `association` of an interface's private address, if it has a public one.
pub(super) fn write_association(xml: &mut Xml, model: &Model, eni: &Eni, private: Ipv4Addr) {
    let Some(public) = model.public_address_of(&eni.id, private) else {
        return;
    };
    xml.tree("association", |xml| {
        if let Some(elastic) = public.elastic {
            xml.leaf("allocationId", &elastic.id);
            let association = elastic.association.as_ref();
            xml.optional("associationId", association.map(|held| &held.id));
            xml.leaf("ipOwnerId", &model.config().account);
        } else {
            xml.leaf("ipOwnerId", "amazon");
        }
        xml.leaf("publicDnsName", public_dns_name(model, eni, public.address));
        xml.leaf("publicIp", public.address);
    });
}

/// The public name of an address; empty unless the VPC gives its instances names.
pub(super) fn public_dns_name(model: &Model, eni: &Eni, address: Ipv4Addr) -> String {
    if !model.vpc(&eni.vpc).is_some_and(|vpc| vpc.dns_hostnames) {
        return String::new();
    }
    let [a, b, c, d] = address.octets();
    let region = match model.config().region.as_str() {
        "us-east-1" => "compute-1".to_owned(),
        region => format!("{region}.compute"),
    };
    format!("ec2-{a}-{b}-{c}-{d}.{region}.amazonaws.com")
}

/// AllocateAddress.
pub(super) fn allocate(params: &mut Params) -> Result<Call, Ec2Error> {
    refuse_other_than(params, "Domain", "vpc")?;
    refuse_other_than(params, "PublicIpv4Pool", "amazon")?;
    let group = params.text("NetworkBorderGroup");
    let wanted: Option<Ipv4Addr> = params.parsed("Address")?;
    let [tags] = take_specifications(params, ["elastic-ip"])?;
    Ok(Call::new(move |model, _| {
        if group.is_some_and(|group| group != model.config().region) {
            let text = "The network border group is not one of this Region.";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let id = model.allocate_address(wanted, tags)?;
        let elastic = model.require_elastic_address(&id)?;
        let mut xml = Xml::default();
        xml.leaf("publicIp", elastic.address);
        xml.leaf("allocationId", &id);
        xml.leaf("publicIpv4Pool", "amazon");
        xml.leaf("networkBorderGroup", &model.config().region);
        xml.leaf("domain", "vpc");
        Ok(xml)
    }))
}

/// AssociateAddress.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let which = take_address(params)?;
    let instance: Option<InstanceId> = params.optional_id("InstanceId")?;
    let eni: Option<EniId> = params.optional_id("NetworkInterfaceId")?;
    let private: Option<Ipv4Addr> = params.parsed("PrivateIpAddress")?;
    let reassociate = params.flag("AllowReassociation")?.unwrap_or(true);
    let target = match (instance, eni) {
        (Some(instance), None) => AssociationTarget::Instance(instance),
        (None, Some(eni)) => AssociationTarget::Eni(eni),
        (None, None) => return Err(params.missing("InstanceId or NetworkInterfaceId")),
        (Some(_), Some(_)) => {
            let text = "You may specify either the instance ID or the network interface ID, but \
                        not both";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
    };
    Ok(Call::new(move |model, _| {
        let id = which.find(model)?;
        let association = model.associate_address(&id, &target, private, reassociate)?;
        let mut xml = done();
        xml.leaf("associationId", association);
        Ok(xml)
    }))
}

/// DisassociateAddress.
pub(super) fn disassociate(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: Option<ElasticAssociationId> = params.optional_id("AssociationId")?;
    let public: Option<Ipv4Addr> = params.parsed("PublicIp")?;
    if association.is_none() && public.is_none() {
        return Err(params.missing("AssociationId"));
    }
    Ok(Call::new(move |model, _| {
        let of_public = || {
            let id = Which::Public(public?).find(model).ok()?;
            let held = model.elastic_address(&id)?.association.as_ref()?;
            Some(held.id.clone())
        };
        if let Some(association) = association.clone().or_else(of_public) {
            model.disassociate_address(&association)?;
        }
        Ok(done())
    }))
}

/// ReleaseAddress.
pub(super) fn release(params: &mut Params) -> Result<Call, Ec2Error> {
    let which = take_address(params)?;
    let group = params.text("NetworkBorderGroup");
    Ok(Call::new(move |model, _| {
        if group.is_some_and(|group| group != model.config().region) {
            let text = "The address is not of this network border group.";
            return Err(Ec2Error::new(ErrorCode::InvalidAddressNotFound, text));
        }
        let id = which.find(model)?;
        model.release_address(&id)?;
        Ok(done())
    }))
}

/// DescribeAddresses.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids: Vec<AllocationId> = params.ids("AllocationId")?;
    let publics = params.list("PublicIp")?;
    let filters = Filters::take(params, &FILTERS)?;
    Ok(Call::new(move |model, _| {
        for id in &ids {
            model.require_elastic_address(id)?;
        }
        for text in &publics {
            let address = text.parse().ok();
            let known = address.and_then(|address| model.elastic_address_of(address));
            known.ok_or_else(|| no_address(text))?;
        }
        let all = model.elastic_addresses().filter(|each| {
            (ids.is_empty() || ids.contains(&each.id))
                && (publics.is_empty() || publics.contains(&each.address.to_string()))
                && filters.pass(model, &FILTERS, each)
        });
        let mut xml = Xml::default();
        xml.items("addressesSet", all, |xml, each| write(xml, model, each));
        Ok(xml)
    }))
}

/// DescribeAddressesAttribute: no address here has a name of its owner's.
pub(super) fn describe_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids: Vec<AllocationId> = params.ids("AllocationId")?;
    refuse_other_than(params, "Attribute", "domain-name")?;
    let page = Page::take(params, "DescribeAddressesAttribute", 1_000)?;
    Ok(Call::new(move |model, _| {
        for id in &ids {
            model.require_elastic_address(id)?;
        }
        let all = model.elastic_addresses();
        let all = all.filter(|each| ids.is_empty() || ids.contains(&each.id));
        let (part, next) = page.pick(all, |each| each.id.to_string());
        let mut xml = Xml::default();
        xml.items("addressSet", part, |xml, each| {
            xml.leaf("publicIp", each.address);
            xml.leaf("allocationId", &each.id);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// How a caller names an elastic address.
enum Which {
    Allocation(AllocationId),
    Public(Ipv4Addr),
}

impl Which {
    fn find(&self, model: &Model) -> Result<AllocationId, Ec2Error> {
        match self {
            Self::Allocation(id) => Ok(id.clone()),
            Self::Public(address) => {
                let elastic = model.elastic_address_of(*address);
                let elastic = elastic.ok_or_else(|| no_address(&address.to_string()))?;
                Ok(elastic.id.clone())
            }
        }
    }
}

fn take_address(params: &mut Params) -> Result<Which, Ec2Error> {
    let id: Option<AllocationId> = params.optional_id("AllocationId")?;
    let public: Option<Ipv4Addr> = params.parsed("PublicIp")?;
    match (id, public) {
        (Some(id), None) => Ok(Which::Allocation(id)),
        (None, Some(public)) => Ok(Which::Public(public)),
        (None, None) => Err(params.missing("AllocationId")),
        (Some(_), Some(_)) => {
            let text = "You may specify public IP or allocation id, but not both in the same call";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
    }
}

fn no_address(text: &str) -> Ec2Error {
    let text = format!("Address '{text}' not found.");
    Ec2Error::new(ErrorCode::InvalidAddressNotFound, text)
}
