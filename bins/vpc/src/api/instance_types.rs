//! Instance types, and where they are offered.

use underlay_vpc_model::{Ec2Error, ErrorCode, Hypervisor, InstanceType, Model};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    page::Page,
    params::Params,
    xml::Xml,
};

static FILTERS: FilterTable<InstanceType> = FilterTable {
    fields: &[
        ("bare-metal", |_, kind| {
            vec![(kind.hypervisor == Hypervisor::Metal).to_string()]
        }),
        ("hypervisor", |_, kind| {
            hypervisor(kind).map(str::to_owned).into_iter().collect()
        }),
        ("instance-type", |_, kind| vec![kind.name.to_owned()]),
        ("memory-info.size-in-mib", |_, kind| {
            vec![kind.memory_mib.to_string()]
        }),
        ("network-info.ipv4-addresses-per-interface", |_, kind| {
            vec![kind.ipv4_per_eni.to_string()]
        }),
        ("network-info.ipv6-addresses-per-interface", |_, kind| {
            vec![kind.ipv6_per_eni.to_string()]
        }),
        ("network-info.ipv6-supported", |_, kind| {
            vec![(kind.ipv6_per_eni > 0).to_string()]
        }),
        ("network-info.maximum-network-cards", |_, kind| {
            vec![kind.cards.len().to_string()]
        }),
        ("network-info.maximum-network-interfaces", |_, kind| {
            vec![kind.max_enis.to_string()]
        }),
        ("processor-info.supported-architecture", |_, kind| {
            vec![kind.architecture.to_owned()]
        }),
        ("vcpu-info.default-vcpus", |_, kind| {
            vec![kind.vcpus.to_string()]
        }),
    ],
    tags: None,
};

const fn hypervisor(kind: &InstanceType) -> Option<&'static str> {
    match kind.hypervisor {
        Hypervisor::Metal => None,
        Hypervisor::Nitro => Some("nitro"),
        Hypervisor::Xen => Some("xen"),
    }
}

/// DescribeInstanceTypes.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let names = params.list("InstanceType")?;
    params.flag("IncludeUnsupportedInRegion")?;
    let filters = Filters::take(params, &FILTERS)?;
    let page = Page::take(params, "DescribeInstanceTypes", 100)?;
    if let Some(name) = names
        .iter()
        .find(|name| InstanceType::named(name).is_none())
    {
        let text = format!("The following supplied instance types do not exist: [{name}]");
        return Err(Ec2Error::new(ErrorCode::InvalidInstanceType, text));
    }
    if !names.is_empty() && page.is_wanted() {
        let text = "The parameter InstanceTypes cannot be used with the parameter MaxResults";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    let page = page.or_default(100);
    Ok(Call::new(move |model, _| {
        let wanted = |kind: &&InstanceType| {
            (names.is_empty() || names.iter().any(|name| name == kind.name))
                && filters.pass(model, &FILTERS, kind)
        };
        let all = InstanceType::all().filter(wanted);
        let (kinds, next) = page.pick(all, |kind| kind.name.to_owned());
        let mut xml = Xml::default();
        xml.items("instanceTypeSet", kinds, write);
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

fn write(xml: &mut Xml, kind: &InstanceType) {
    xml.leaf("instanceType", kind.name);
    xml.leaf("bareMetal", kind.hypervisor == Hypervisor::Metal);
    xml.optional("hypervisor", hypervisor(kind));
    xml.tree("processorInfo", |xml| {
        xml.tree("supportedArchitectures", |xml| {
            xml.leaf("item", kind.architecture)
        });
    });
    xml.tree("vCpuInfo", |xml| xml.leaf("defaultVCpus", kind.vcpus));
    xml.tree("memoryInfo", |xml| xml.leaf("sizeInMiB", kind.memory_mib));
    xml.tree("networkInfo", |xml| {
        xml.leaf("maximumNetworkInterfaces", kind.max_enis);
        xml.leaf("maximumNetworkCards", kind.cards.len());
        xml.leaf("defaultNetworkCardIndex", 0);
        xml.items(
            "networkCards",
            kind.cards.iter().enumerate(),
            |xml, (index, enis)| {
                xml.leaf("networkCardIndex", index);
                xml.leaf("maximumNetworkInterfaces", enis);
            },
        );
        xml.leaf("ipv4AddressesPerInterface", kind.ipv4_per_eni);
        xml.leaf("ipv6AddressesPerInterface", kind.ipv6_per_eni);
        xml.leaf("ipv6Supported", kind.ipv6_per_eni > 0);
        xml.tree("connectionTrackingConfiguration", |xml| {
            xml.leaf("defaultTcpEstablishedTimeout", kind.tcp_established_secs);
            xml.leaf("defaultUdpTimeout", 30);
            xml.leaf("defaultUdpStreamTimeout", 180);
        });
    });
}

/// An instance type at a location.
struct Offering {
    kind: &'static str,
    location: String,
}

static OFFERING_FILTERS: FilterTable<Offering> = FilterTable {
    fields: &[
        ("instance-type", |_, each| vec![each.kind.to_owned()]),
        ("location", |_, each| vec![each.location.clone()]),
    ],
    tags: None,
};

/// DescribeInstanceTypeOfferings: every type is offered everywhere, but on no Outpost.
pub(super) fn offerings(params: &mut Params) -> Result<Call, Ec2Error> {
    let of = params.text("LocationType");
    let of = of.unwrap_or_else(|| "region".to_owned());
    if ![
        "availability-zone",
        "availability-zone-id",
        "outpost",
        "region",
    ]
    .contains(&of.as_str())
    {
        return Err(params.invalid("LocationType", of));
    }
    let filters = Filters::take(params, &OFFERING_FILTERS)?;
    let page = Page::take(params, "DescribeInstanceTypeOfferings", 1_000)?.or_default(1_000);
    Ok(Call::new(move |model, _| {
        let places = locations(model, &of);
        let all = InstanceType::all().flat_map(|kind| {
            places.iter().map(|location| Offering {
                kind: kind.name,
                location: location.clone(),
            })
        });
        let wanted = all.filter(|each| filters.pass(model, &OFFERING_FILTERS, each));
        let (offerings, next) =
            page.pick(wanted, |each| format!("{} {}", each.kind, each.location));
        let mut xml = Xml::default();
        xml.items("instanceTypeOfferingSet", offerings, |xml, each| {
            xml.leaf("instanceType", each.kind);
            xml.leaf("locationType", &of);
            xml.leaf("location", each.location);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

fn locations(model: &Model, of: &str) -> Vec<String> {
    let config = model.config();
    match of {
        "availability-zone" => config.zones.iter().map(|zone| zone.name.clone()).collect(),
        "availability-zone-id" => config.zones.iter().map(|zone| zone.id.clone()).collect(),
        "region" => vec![config.region.clone()],
        _ => Vec::new(),
    }
}
