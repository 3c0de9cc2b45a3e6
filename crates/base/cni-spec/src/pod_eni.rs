//! The annotation that names a pod's branch ENI, as the VPC resource controller writes it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Map, Value};
use underlay_types::{BranchIpv4, EniId, Families, Family, Mac, PodAddresses, VlanId};

/// The name of the annotation: a JSON list of one object.
pub const POD_ENI: &str = "vpc.amazonaws.com/pod-eni";
/// A subnet keeps its first four addresses for itself, and its last.
const KEPT: u32 = 4;

/// A branch ENI that a controller gave a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEni {
    /// Its id.
    pub eni: EniId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// What it has of IPv4; it has this or an IPv6 address.
    pub ipv4: Option<BranchIpv4>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The tag of its frames on the trunk.
    pub vlan: VlanId,
}

/// What is wrong with the annotation: the field, and why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PodEniError(String);

impl PodEni {
    /// Reads the annotation, of each family in `families`: others do not matter.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(text: &str, families: Families) -> Result<Self, PodEniError> {
        parse(text, families).map_err(PodEniError)
    }
}

fn parse(text: &str, families: Families) -> Result<PodEni, String> {
    let shape = "must be a JSON list of one object";
    let list: Vec<Map<String, Value>> =
        serde_json::from_str(text).map_err(|error| format!("{shape}: {error}"))?;
    let [object] = list.as_slice() else {
        return Err(format!("{shape}, not of {}", list.len()));
    };
    let found = PodEni {
        eni: field(object, &["eniId"], |text| {
            text.parse()
                .map_err(|error: underlay_types::ResourceIdError| error.to_string())
        })?,
        mac: field(object, &["ifAddress"], |text| {
            text.parse()
                .map_err(|error: underlay_types::MacError| error.to_string())
        })?,
        ipv4: families
            .has(Family::V4)
            .then(|| ipv4(object))
            .transpose()?
            .flatten(),
        ipv6: families
            .has(Family::V6)
            .then(|| ipv6(object))
            .transpose()?
            .flatten(),
        // The controller writes the one, the AWS VPC CNI reads the other; Go takes either.
        vlan: field(object, &["vlanID", "vlanId"], vlan)?,
    };
    if PodAddresses::new(found.ipv4.map(|ipv4| ipv4.address), found.ipv6).is_none() {
        return Err(match families {
            Families::V4 => "privateIp: is missing, and pods of this node have IPv4 addresses",
            Families::V6 => "ipv6Addr: is missing, and pods of this node have IPv6 addresses",
            Families::Dual => "privateIp, ipv6Addr: both are missing",
        }
        .to_owned());
    }
    Ok(found)
}

/// The controller writes an empty text where there is none.
fn has(object: &Map<String, Value>, name: &str) -> bool {
    let value = object.get(name);
    value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

fn ipv4(object: &Map<String, Value>) -> Result<Option<BranchIpv4>, String> {
    if !has(object, "privateIp") {
        return Ok(None);
    }
    let subnet: Ipv4Net = block(object, "subnetCidr", "an IPv4 block like \"10.0.1.0/24\"")?;
    let address = field(object, &["privateIp"], |text| {
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_unreadable| format!("{text:?} is not an IPv4 address"))?;
        let first = u32::from(subnet.network()).saturating_add(KEPT);
        (first..u32::from(subnet.broadcast()))
            .contains(&u32::from(address))
            .then_some(address)
            .ok_or_else(|| format!("{address} is no address of a host in subnetCidr {subnet}"))
    })?;
    let router = Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1));
    Ok(Some(BranchIpv4 { address, router }))
}

fn ipv6(object: &Map<String, Value>) -> Result<Option<Ipv6Addr>, String> {
    if !has(object, "ipv6Addr") {
        return Ok(None);
    }
    let subnet: Ipv6Net = block(object, "subnetV6Cidr", "an IPv6 block like \"2600::/64\"")?;
    field(object, &["ipv6Addr"], |text| {
        let address: Ipv6Addr = text
            .parse()
            .map_err(|_unreadable| format!("{text:?} is not an IPv6 address"))?;
        let first = u128::from(subnet.network()).saturating_add(KEPT.into());
        (first..u128::from(subnet.broadcast()))
            .contains(&u128::from(address))
            .then_some(address)
            .ok_or_else(|| format!("{address} is no address of a host in subnetV6Cidr {subnet}"))
    })
    .map(Some)
}

fn block<T: FromStr>(object: &Map<String, Value>, name: &str, what: &str) -> Result<T, String> {
    field(object, &[name], |text| {
        text.parse()
            .map_err(|_unreadable| format!("{text:?} is not {what}"))
    })
}

/// The fields that hold a number are numbers or texts.
fn field<T>(
    object: &Map<String, Value>,
    names: &[&str],
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let name = names.first().copied().unwrap_or_default();
    let value = names.iter().find_map(|name| object.get(*name));
    let text = match value {
        None => return Err(format!("{name}: is missing")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(format!("{name}: {other} is neither a text nor a number")),
    };
    parse(&text).map_err(|what| format!("{name}: {what}"))
}

fn vlan(text: &str) -> Result<VlanId, String> {
    let number: u64 = text
        .parse()
        .map_err(|_unreadable| format!("{text:?} is not a whole number"))?;
    number
        .try_into()
        .map_err(|error: underlay_types::VlanIdError| error.to_string())
}
