//! What every account finds: instance types, zones, Regions, quotas.

use underlay_vpc_model::{AvailabilityZone, Ec2Error, ErrorCode, Hypervisor, InstanceType};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    page::Page,
    params::Params,
    xml::Xml,
};

static TYPE_FILTERS: FilterTable<InstanceType> = FilterTable {
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
pub(super) fn instance_types(params: &mut Params) -> Result<Call, Ec2Error> {
    let names = params.list("InstanceType")?;
    params.flag("IncludeUnsupportedInRegion")?;
    let filters = Filters::take(params, &TYPE_FILTERS)?;
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
                && filters.pass(model, &TYPE_FILTERS, kind)
        };
        let all = InstanceType::all().filter(wanted).collect();
        let (kinds, next) = page.cut(all, |kind| kind.name.to_owned());
        let mut xml = Xml::default();
        xml.items("instanceTypeSet", kinds, write_type);
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

fn write_type(xml: &mut Xml, kind: &InstanceType) {
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

static ZONE_FILTERS: FilterTable<AvailabilityZone> = FilterTable {
    fields: &[
        ("opt-in-status", |_, _| {
            vec!["opt-in-not-required".to_owned()]
        }),
        ("region-name", |model, _| {
            vec![model.config().region.clone()]
        }),
        ("state", |_, _| vec!["available".to_owned()]),
        ("zone-id", |_, zone| vec![zone.id.clone()]),
        ("zone-name", |_, zone| vec![zone.name.clone()]),
        ("zone-type", |_, _| vec!["availability-zone".to_owned()]),
    ],
    tags: None,
};

/// DescribeAvailabilityZones.
pub(super) fn zones(params: &mut Params) -> Result<Call, Ec2Error> {
    let (names, ids) = (params.list("ZoneName")?, params.list("ZoneId")?);
    params.flag("AllAvailabilityZones")?;
    let filters = Filters::take(params, &ZONE_FILTERS)?;
    Ok(Call::new(move |model, _| {
        let all = &model.config().zones;
        let known = |text: &String| {
            all.iter()
                .any(|zone| &zone.name == text || &zone.id == text)
        };
        if let Some(name) = names.iter().chain(&ids).find(|text| !known(text)) {
            let text = format!("Invalid availability zone: [{name}]");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let wanted = |zone: &&AvailabilityZone| {
            (names.is_empty() || names.contains(&zone.name))
                && (ids.is_empty() || ids.contains(&zone.id))
                && filters.pass(model, &ZONE_FILTERS, zone)
        };
        let mut xml = Xml::default();
        xml.items(
            "availabilityZoneInfo",
            all.iter().filter(wanted),
            |xml, zone| {
                xml.leaf("zoneName", &zone.name);
                xml.leaf("zoneId", &zone.id);
                xml.leaf("zoneState", "available");
                xml.leaf("zoneType", "availability-zone");
                xml.leaf("regionName", &model.config().region);
                xml.leaf("groupName", &model.config().region);
                xml.leaf("networkBorderGroup", &model.config().region);
                xml.leaf("optInStatus", "opt-in-not-required");
            },
        );
        Ok(xml)
    }))
}

static REGION_FILTERS: FilterTable<String> = FilterTable {
    fields: &[
        ("endpoint", |_, region| {
            vec![format!("ec2.{region}.amazonaws.com")]
        }),
        ("region-name", |_, region| vec![region.clone()]),
    ],
    tags: None,
};

/// DescribeRegions: the one there is.
pub(super) fn regions(params: &mut Params) -> Result<Call, Ec2Error> {
    let names = params.list("RegionName")?;
    params.flag("AllRegions")?;
    let filters = Filters::take(params, &REGION_FILTERS)?;
    Ok(Call::new(move |model, _| {
        let region = &model.config().region;
        if let Some(name) = names.iter().find(|name| *name != region) {
            let text = format!("Invalid region name: [{name}]");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let shown = filters
            .pass(model, &REGION_FILTERS, region)
            .then_some(region);
        let mut xml = Xml::default();
        xml.items("regionInfo", shown, |xml, region| {
            xml.leaf("regionName", region);
            xml.leaf("regionEndpoint", format!("ec2.{region}.amazonaws.com"));
            xml.leaf("optInStatus", "opt-in-not-required");
        });
        Ok(xml)
    }))
}

/// DescribeAccountAttributes.
pub(super) fn account_attributes(params: &mut Params) -> Result<Call, Ec2Error> {
    let names = params.list("AttributeName")?;
    Ok(Call::new(move |model, _| {
        let limits = &model.config().limits;
        let all = [
            ("supported-platforms", "VPC".to_owned()),
            ("default-vpc", "none".to_owned()),
            ("max-instances", limits.instances.to_string()),
            (
                "vpc-max-security-groups-per-interface",
                limits.groups_per_eni.to_string(),
            ),
            ("max-elastic-ips", "0".to_owned()),
            ("vpc-max-elastic-ips", "0".to_owned()),
        ];
        if let Some(name) = names
            .iter()
            .find(|name| !all.iter().any(|(known, _)| known == name))
        {
            let text = format!("Value ({name}) for parameter attributeName is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let wanted =
            |(name, _): &&(&str, String)| names.is_empty() || names.iter().any(|each| each == name);
        let mut xml = Xml::default();
        xml.items(
            "accountAttributeSet",
            all.iter().filter(wanted),
            |xml, (name, value)| {
                xml.leaf("attributeName", name);
                xml.items("attributeValueSet", [value], |xml, value| {
                    xml.leaf("attributeValue", value)
                });
            },
        );
        Ok(xml)
    }))
}
