//! Reading and assigning the IPv6 addresses of interfaces.

use std::{net::Ipv6Addr, ops::RangeInclusive};

use ipnet::Ipv6Net;
use underlay_types::EniId;
use underlay_vpc_model::{Ec2Error, ErrorCode, V6Request};

use super::{
    call::Call,
    eni_request::{AT_CREATION, ON_ASSIGNMENT, take_count, take_parsed},
    params::Params,
    xml::Xml,
};

/// Takes what IPv6 addresses a new interface is to have. `None` leaves it to the subnet.
///
/// # Errors
/// Those of the parameters.
pub(super) fn take_v6(params: &mut Params) -> Result<Option<V6Request>, Ec2Error> {
    let addresses = take_addresses(params, "Ipv6Addresses")?;
    let prefixes = params.structures("Ipv6Prefix", |p| p.required_parsed("Ipv6Prefix"))?;
    one_kind(params, addresses, prefixes, &AT_CREATION)
}

/// Takes what IPv6 addresses the only interface of a launch is to have.
///
/// # Errors
/// Those of the parameters.
pub(super) fn take_launch_v6(params: &mut Params) -> Result<Option<V6Request>, Ec2Error> {
    let addresses = take_addresses(params, "Ipv6Address")?;
    one_kind(params, addresses, Vec::new(), &AT_CREATION)
}

/// Takes `name.N.Ipv6Address`.
fn take_addresses(params: &mut Params, name: &str) -> Result<Vec<Ipv6Addr>, Ec2Error> {
    params.structures(name, |p| {
        p.flag("IsPrimaryIpv6")?;
        p.required_parsed("Ipv6Address")
    })
}

/// At most one of addresses, their number, prefixes and their number. A number of 0 is a choice
/// too: none.
fn one_kind(
    params: &mut Params,
    addresses: Vec<Ipv6Addr>,
    prefixes: Vec<Ipv6Net>,
    counts: &RangeInclusive<u32>,
) -> Result<Option<V6Request>, Ec2Error> {
    let (zero, count) = take_number(params, "Ipv6AddressCount", counts)?;
    let (no_prefix, prefix_count) = take_number(params, "Ipv6PrefixCount", counts)?;
    let mut kinds = Vec::new();
    if !addresses.is_empty() {
        kinds.push(V6Request::Addresses(addresses));
    }
    kinds.extend(count.map(V6Request::Count));
    if !prefixes.is_empty() {
        kinds.push(V6Request::Prefixes(prefixes));
    }
    kinds.extend(prefix_count.map(V6Request::PrefixCount));
    match kinds.as_slice() {
        [] => Ok((zero || no_prefix).then_some(V6Request::Nothing)),
        [_] => Ok(kinds.pop()),
        [V6Request::Addresses(_), V6Request::Count(_)] => {
            let text = "IPv6 addresses and IPv6 address count may not be specified on the same \
                        request";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
        _ => {
            // The two blanks are EC2's.
            let text = "You can and can only specify one of ipv6-addresses or \
                        ipv6-addresses-count  ipv6-prefix and ipv6-prefix-count.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
        }
    }
}

/// Whether a number is given and is 0, and the number if it is another.
fn take_number(
    params: &mut Params,
    name: &str,
    counts: &RangeInclusive<u32>,
) -> Result<(bool, Option<u32>), Ec2Error> {
    let given = params.has(name);
    let count = take_count(params, name, counts)?;
    Ok((given && count.is_none(), count))
}

/// AssignIpv6Addresses.
pub(super) fn assign(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let addresses = take_parsed(params, "Ipv6Addresses")?;
    let prefixes = take_parsed(params, "Ipv6Prefix")?;
    let Some(request) = one_kind(params, addresses, prefixes, &ON_ASSIGNMENT)? else {
        let text = "One of Ipv6Addresses, Ipv6AddressCount, Ipv6Prefix and Ipv6PrefixCount must \
                    be specified.";
        return Err(Ec2Error::new(ErrorCode::MissingParameter, text));
    };
    Ok(Call::new(move |model, context| {
        let assigned = model.assign_v6(&id, &request, context.now)?;
        let mut xml = Xml::default();
        xml.leaf("networkInterfaceId", &id);
        xml.texts("assignedIpv6Addresses", assigned.addresses);
        xml.texts("assignedIpv6PrefixSet", assigned.prefixes);
        Ok(xml)
    }))
}

/// UnassignIpv6Addresses.
pub(super) fn unassign(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let addresses: Vec<Ipv6Addr> = take_parsed(params, "Ipv6Addresses")?;
    let prefixes: Vec<Ipv6Net> = take_parsed(params, "Ipv6Prefix")?;
    if addresses.is_empty() && prefixes.is_empty() {
        let text = "One of Ipv6Addresses and Ipv6Prefix must be specified.";
        return Err(Ec2Error::new(ErrorCode::MissingParameter, text));
    }
    Ok(Call::new(move |model, context| {
        model.unassign_v6(&id, &addresses, &prefixes, context.now)?;
        let mut xml = Xml::default();
        xml.leaf("networkInterfaceId", &id);
        xml.texts("unassignedIpv6Addresses", &addresses);
        xml.texts("unassignedIpv6PrefixSet", &prefixes);
        Ok(xml)
    }))
}
