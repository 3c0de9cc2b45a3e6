//! What every account finds: zones, Regions, quotas.

use underlay_vpc_model::{AvailabilityZone, Ec2Error, ErrorCode};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    params::Params,
    xml::Xml,
};

static ZONE_FILTERS: FilterTable<AvailabilityZone> = FilterTable {
    fields: &[
        ("group-name", |model, _| vec![model.config().region.clone()]),
        // No zone here has anything to say, or is within another one.
        ("message", |_, _| Vec::new()),
        ("opt-in-status", |_, _| {
            vec!["opt-in-not-required".to_owned()]
        }),
        ("parent-zone-id", |_, _| Vec::new()),
        ("parent-zone-name", |_, _| Vec::new()),
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
        ("opt-in-status", |_, _| {
            vec!["opt-in-not-required".to_owned()]
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
            // Those of EC2-Classic, which is no more.
            ("max-elastic-ips", "0".to_owned()),
            ("vpc-max-elastic-ips", limits.elastic_addresses.to_string()),
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
