//! Reading what interface somebody wants, alone or as part of a launch.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use ipnet::Ipv4Net;
use underlay_types::{EniId, SecurityGroupId, SubnetId};
use underlay_vpc_model::{
    ConnectionTracking, Ec2Error, EniRequest, ErrorCode, InterfaceType, LaunchInterface,
    LaunchInterfaceSource, Tags, V4Request,
};

use super::{call::Call, eni_v6::take_v6, params::Params, tags::take_specifications, xml::Xml};

/// Most addresses a call may ask for; a subnet has no more.
const MAX_COUNT: u32 = 65_536;

/// What counts may say when an interface is made: 0 is none.
pub(super) const AT_CREATION: RangeInclusive<u32> = 0..=MAX_COUNT;

/// What counts may say when addresses are assigned to an interface.
pub(super) const ON_ASSIGNMENT: RangeInclusive<u32> = 1..=MAX_COUNT;

/// Takes the parameters of CreateNetworkInterface.
///
/// # Errors
/// Those of the parameters.
pub(super) fn take_eni_request(params: &mut Params) -> Result<EniRequest, Ec2Error> {
    let [tags] = take_specifications(params, ["network-interface"])?;
    let subnet = params.id("SubnetId")?;
    let primary_v6 = params.flag("EnablePrimaryIpv6")?.unwrap_or(false);
    let interface_type = take_type(params)?;
    Ok(EniRequest {
        primary_v6,
        tags,
        interface_type,
        ..take_rest(params, subnet)?
    })
}

/// Takes one `NetworkInterface.N` of RunInstances.
///
/// # Errors
/// Those of the parameters.
pub(super) fn take_launch_interface(
    params: &mut Params,
    tags: &Tags,
) -> Result<LaunchInterface, Ec2Error> {
    let device_index: u32 = params.required_parsed("DeviceIndex")?;
    let network_card: Option<u32> = params.parsed("NetworkCardIndex")?;
    let delete_on_termination = params.flag("DeleteOnTermination")?;
    let kind = take_type(params)?;
    if kind != InterfaceType::Interface {
        return Err(params.invalid("InterfaceType", kind.as_str()));
    }
    let public_address = params.flag("AssociatePublicIpAddress")?;
    let primary_v6 = params.flag("PrimaryIpv6")?.unwrap_or(false);
    let existing: Option<EniId> = params.optional_id("NetworkInterfaceId")?;
    let source = match existing {
        Some(id) => LaunchInterfaceSource::Existing(id),
        None => {
            let subnet = params.id("SubnetId")?;
            let rest = take_rest(params, subnet)?;
            LaunchInterfaceSource::New(EniRequest {
                primary_v6,
                tags: tags.clone(),
                ..rest
            })
        }
    };
    let network_card = network_card.unwrap_or(0);
    Ok(LaunchInterface {
        device_index,
        network_card,
        source,
        delete_on_termination,
        public_address,
    })
}

fn take_rest(params: &mut Params, subnet: SubnetId) -> Result<EniRequest, Ec2Error> {
    let groups: Vec<SecurityGroupId> = params.ids("SecurityGroupId")?;
    let description = params.text("Description").unwrap_or_default();
    let primary: Option<Ipv4Addr> = params.parsed("PrivateIpAddress")?;
    let (listed_primary, addresses) = take_addresses(params)?;
    if primary.is_some() && listed_primary.is_some_and(|listed| Some(listed) != primary) {
        let text = "Only one primary private IP address can be specified.";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    let primary = primary.or(listed_primary);
    let prefixes = params.structures("Ipv4Prefix", |p| p.required_parsed("Ipv4Prefix"))?;
    let v6 = take_v6(params)?;
    let v4 = one_kind(params, addresses, prefixes, &AT_CREATION)?.unwrap_or(V4Request::Nothing);
    Ok(EniRequest {
        subnet,
        primary,
        v4,
        v6,
        primary_v6: false,
        groups,
        tracking: take_tracking(params)?,
        interface_type: InterfaceType::Interface,
        description,
        tags: Tags::new(),
    })
}

/// Takes `ConnectionTrackingSpecification`.
///
/// # Errors
/// `InvalidParameterValue` for what is no number.
pub(super) fn take_tracking(params: &mut Params) -> Result<ConnectionTracking, Ec2Error> {
    params.structure("ConnectionTrackingSpecification", |p| {
        Ok(ConnectionTracking {
            tcp_established_secs: p.parsed("TcpEstablishedTimeout")?,
            udp_stream_secs: p.parsed("UdpStreamTimeout")?,
            udp_secs: p.parsed("UdpTimeout")?,
        })
    })
}

/// Takes `PrivateIpAddresses.N`: the one marked primary, and the others.
fn take_addresses(params: &mut Params) -> Result<(Option<Ipv4Addr>, Vec<Ipv4Addr>), Ec2Error> {
    let listed = params.structures("PrivateIpAddresses", |p| {
        let address: Ipv4Addr = p.required_parsed("PrivateIpAddress")?;
        Ok((address, p.flag("Primary")?.unwrap_or(false)))
    })?;
    let mut primaries = listed
        .iter()
        .filter(|(_, primary)| *primary)
        .map(|(address, _)| *address);
    let primary = primaries.next();
    if primaries.next().is_some() {
        let text = "Only one primary private IP address can be specified.";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    let others = listed
        .iter()
        .filter(|(_, primary)| !primary)
        .map(|(address, _)| *address);
    Ok((primary, others.collect()))
}

/// At most one of addresses, their number, prefixes and their number.
fn one_kind(
    params: &mut Params,
    addresses: Vec<Ipv4Addr>,
    prefixes: Vec<Ipv4Net>,
    counts: &RangeInclusive<u32>,
) -> Result<Option<V4Request>, Ec2Error> {
    let count = take_count(params, "SecondaryPrivateIpAddressCount", counts)?;
    let prefix_count = take_count(params, "Ipv4PrefixCount", counts)?;
    let mut kinds = Vec::new();
    if !addresses.is_empty() {
        kinds.push(V4Request::Addresses(addresses));
    }
    kinds.extend(count.map(V4Request::Count));
    if !prefixes.is_empty() {
        kinds.push(V4Request::Prefixes(prefixes));
    }
    kinds.extend(prefix_count.map(V4Request::PrefixCount));
    if kinds.len() > 1 {
        let text = "Only one of private IP addresses, secondary private IP address count, IPv4 \
                    prefixes and IPv4 prefix count can be specified.";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    Ok(kinds.pop())
}

/// Takes a number out of `counts`; 0 is none.
pub(super) fn take_count(
    params: &mut Params,
    name: &str,
    counts: &RangeInclusive<u32>,
) -> Result<Option<u32>, Ec2Error> {
    match params.parsed::<i64>(name)? {
        None => Ok(None),
        Some(number) => match u32::try_from(number) {
            Ok(count) if counts.contains(&count) => Ok(Some(count).filter(|count| *count > 0)),
            _ => Err(params.invalid(name, number)),
        },
    }
}

/// Takes `InterfaceType`.
fn take_type(params: &mut Params) -> Result<InterfaceType, Ec2Error> {
    match params.text("InterfaceType").as_deref() {
        None | Some("interface") => Ok(InterfaceType::Interface),
        Some("branch") => Ok(InterfaceType::Branch),
        Some("trunk") => Ok(InterfaceType::Trunk),
        Some(kind @ ("efa" | "efa-only")) => {
            let text = format!("Interfaces of type {kind} are not supported by this VPC.");
            Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text))
        }
        Some(other) => Err(params.invalid("InterfaceType", other)),
    }
}

/// AssignPrivateIpAddresses.
pub(super) fn assign(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let allow_reassignment = params.flag("AllowReassignment")?.unwrap_or(false);
    let (addresses, prefixes) = take_lists(params)?;
    let Some(request) = one_kind(params, addresses, prefixes, &ON_ASSIGNMENT)? else {
        let text = "One of PrivateIpAddress, SecondaryPrivateIpAddressCount, Ipv4Prefix and \
                    Ipv4PrefixCount must be specified.";
        return Err(Ec2Error::new(ErrorCode::MissingParameter, text));
    };
    Ok(Call::new(move |model, context| {
        let assigned = model.assign(&id, &request, allow_reassignment, context.now)?;
        let mut xml = Xml::default();
        xml.leaf("networkInterfaceId", &id);
        xml.items(
            "assignedPrivateIpAddressesSet",
            assigned.addresses,
            |xml, address| {
                xml.leaf("privateIpAddress", address);
            },
        );
        xml.items("assignedIpv4PrefixSet", assigned.prefixes, |xml, prefix| {
            xml.leaf("ipv4Prefix", prefix);
        });
        xml.leaf("return", true);
        Ok(xml)
    }))
}

/// UnassignPrivateIpAddresses.
pub(super) fn unassign(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let (addresses, prefixes) = take_lists(params)?;
    if addresses.is_empty() == prefixes.is_empty() {
        let text = "Exactly one of PrivateIpAddress and Ipv4Prefix must be specified.";
        let code = if addresses.is_empty() {
            ErrorCode::MissingParameter
        } else {
            ErrorCode::InvalidParameterCombination
        };
        return Err(Ec2Error::new(code, text));
    }
    Ok(Call::new(move |model, context| {
        model.unassign(&id, &addresses, &prefixes, context.now)?;
        Ok(super::call::done())
    }))
}

fn take_lists(params: &mut Params) -> Result<(Vec<Ipv4Addr>, Vec<Ipv4Net>), Ec2Error> {
    let addresses = take_parsed(params, "PrivateIpAddress")?;
    Ok((addresses, take_parsed(params, "Ipv4Prefix")?))
}

pub(super) fn take_parsed<T: std::str::FromStr>(
    params: &mut Params,
    name: &str,
) -> Result<Vec<T>, Ec2Error> {
    let texts = params.list(name)?;
    let parse = |text: &String| {
        text.parse()
            .map_err(|_unparsable| params.invalid(name, text))
    };
    texts.iter().map(parse).collect()
}
