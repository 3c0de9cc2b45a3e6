//! From a reply's elements to the types of this crate.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::model::{
    Assigned, Attachment, AttachmentStatus, CardLimits, InstanceTypeLimits, InterfaceStatus,
    NetworkInterface, RulePeer, SecurityGroup, SecurityGroupRule, Subnet, Tags,
};
use crate::xml::{Element, XmlError};

/// A reply that says nothing but that it was done: `<return>true</return>`, where there is one.
pub(super) fn done(reply: &Element) -> Result<(), XmlError> {
    match reply.optional("return") {
        Some(answer) if answer.text.trim() == "false" => Err(answer.unreadable("not done")),
        _ => Ok(()),
    }
}

pub(super) fn network_interface(item: &Element) -> Result<NetworkInterface, XmlError> {
    let groups: Result<_, _> = item
        .items("groupSet")
        .map(|group| group.parse_child("groupId"))
        .collect();
    let prefixes: Result<_, _> = item
        .items("ipv4PrefixSet")
        .map(|prefix| prefix.parse_child("ipv4Prefix"))
        .collect();
    let ipv6: Result<_, _> = item
        .items("ipv6AddressesSet")
        .map(|address| address.parse_child("ipv6Address"))
        .collect();
    let ipv6_prefixes: Result<_, _> = item
        .items("ipv6PrefixSet")
        .map(|prefix| prefix.parse_child("ipv6Prefix"))
        .collect();
    Ok(NetworkInterface {
        id: item.parse_child("networkInterfaceId")?,
        subnet: item.parse_child("subnetId")?,
        vpc: item.parse_child("vpcId")?,
        zone: item.text_of("availabilityZone")?.to_owned(),
        mac: item.parse_child("macAddress")?,
        status: interface_status(item.text_of("status")?),
        description: item.text_or_empty("description").to_owned(),
        groups: groups?,
        primary: item.parse_optional("privateIpAddress")?,
        secondary: secondary_addresses(item)?,
        prefixes: prefixes?,
        ipv6: ipv6?,
        ipv6_prefixes: ipv6_prefixes?,
        source_dest_check: item.parse_optional("sourceDestCheck")?.unwrap_or(true),
        interface_type: item.text_or_empty("interfaceType").to_owned(),
        requester_managed: item.parse_optional("requesterManaged")?.unwrap_or(false),
        tags: tags(item)?,
        attachment: item
            .optional("attachment")
            .map(attachment)
            .transpose()?
            .flatten(),
    })
}

fn secondary_addresses(item: &Element) -> Result<Vec<Ipv4Addr>, XmlError> {
    let primary = item.parse_optional::<Ipv4Addr>("privateIpAddress")?;
    let mut secondary = Vec::new();
    for entry in item.items("privateIpAddressesSet") {
        let address = entry.parse_child("privateIpAddress")?;
        let flag = entry.parse_optional("primary")?;
        let is_primary = flag.unwrap_or_else(|| Some(address) == primary);
        if !is_primary {
            secondary.push(address);
        }
    }
    Ok(secondary)
}

/// An attachment element without an id is how some answers say that there is none.
fn attachment(element: &Element) -> Result<Option<Attachment>, XmlError> {
    let Some(id) = element.parse_optional("attachmentId")? else {
        return Ok(None);
    };
    Ok(Some(Attachment {
        id,
        instance: element.parse_optional("instanceId")?,
        device_index: element.parse_child("deviceIndex")?,
        network_card: element.parse_optional("networkCardIndex")?.unwrap_or(0),
        status: attachment_status(element.text_of("status")?),
        delete_on_termination: element
            .parse_optional("deleteOnTermination")?
            .unwrap_or(false),
    }))
}

fn interface_status(text: &str) -> InterfaceStatus {
    match text {
        "available" => InterfaceStatus::Available,
        "associated" => InterfaceStatus::Associated,
        "attaching" => InterfaceStatus::Attaching,
        "detaching" => InterfaceStatus::Detaching,
        "in-use" => InterfaceStatus::InUse,
        "pending" => InterfaceStatus::Pending,
        other => InterfaceStatus::Other(other.to_owned()),
    }
}

fn attachment_status(text: &str) -> AttachmentStatus {
    match text {
        "attached" => AttachmentStatus::Attached,
        "attaching" => AttachmentStatus::Attaching,
        "detached" => AttachmentStatus::Detached,
        "detaching" => AttachmentStatus::Detaching,
        other => AttachmentStatus::Other(other.to_owned()),
    }
}

fn tags(item: &Element) -> Result<Tags, XmlError> {
    item.items("tagSet")
        .map(|tag| {
            Ok((
                tag.text_of("key")?.to_owned(),
                tag.text_or_empty("value").to_owned(),
            ))
        })
        .collect()
}

/// The addresses that this call added, and only these.
pub(super) fn assigned(reply: &Element) -> Result<Assigned, XmlError> {
    if reply.optional("assignedIpv4PrefixSet").is_none() {
        reply.child("assignedPrivateIpAddressesSet")?;
    }
    let addresses = reply
        .items("assignedPrivateIpAddressesSet")
        .map(|entry| entry.parse_child("privateIpAddress"));
    let prefixes = reply
        .items("assignedIpv4PrefixSet")
        .map(|entry| entry.parse_child("ipv4Prefix"));
    Ok(Assigned {
        addresses: addresses.collect::<Result<_, _>>()?,
        prefixes: prefixes.collect::<Result<_, _>>()?,
    })
}

pub(super) fn one_instance_type(reply: &Element) -> Result<InstanceTypeLimits, XmlError> {
    let set = reply.child("instanceTypeSet")?;
    let item = set.child("item")?;
    let network = item.child("networkInfo")?;
    let interfaces = network.parse_child("maximumNetworkInterfaces")?;
    let mut cards = network
        .items("networkCards")
        .map(|card| {
            Ok(CardLimits {
                index: card.parse_child("networkCardIndex")?,
                interfaces: card.parse_child("maximumNetworkInterfaces")?,
            })
        })
        .collect::<Result<Vec<_>, XmlError>>()?;
    if cards.is_empty() {
        cards.push(CardLimits {
            index: 0,
            interfaces,
        });
    }
    cards.sort_unstable_by_key(|card| card.index);
    Ok(InstanceTypeLimits {
        instance_type: item.text_of("instanceType")?.to_owned(),
        interfaces,
        ipv4_per_interface: network.parse_child("ipv4AddressesPerInterface")?,
        cards,
        ipv6: network.parse_optional("ipv6Supported")?.unwrap_or(false),
        prefixes: item
            .optional("bareMetal")
            .is_some_and(|bare| bare.text == "true")
            || item
                .optional("hypervisor")
                .is_some_and(|kind| kind.text == "nitro"),
    })
}

pub(super) fn subnet(item: &Element) -> Result<Subnet, XmlError> {
    // A block that is going or gone is listed too.
    let is_associated = |entry: &&Element| {
        let state = entry.optional("ipv6CidrBlockState");
        state.is_some_and(|state| state.text_or_empty("state") == "associated")
    };
    let ipv6_cidrs: Result<_, _> = item
        .items("ipv6CidrBlockAssociationSet")
        .filter(is_associated)
        .map(|entry| entry.parse_child("ipv6CidrBlock"))
        .collect();
    Ok(Subnet {
        ipv6_cidrs: ipv6_cidrs?,
        id: item.parse_child("subnetId")?,
        vpc: item.parse_child("vpcId")?,
        zone: item.text_of("availabilityZone")?.to_owned(),
        cidr: item.parse_child("cidrBlock")?,
        available_addresses: item.parse_child("availableIpAddressCount")?,
        tags: tags(item)?,
    })
}

pub(super) fn security_group(item: &Element) -> Result<SecurityGroup, XmlError> {
    Ok(SecurityGroup {
        id: item.parse_child("groupId")?,
        name: item.text_of("groupName")?.to_owned(),
        vpc: item.parse_child("vpcId")?,
        tags: tags(item)?,
    })
}

pub(super) fn security_group_rule(item: &Element) -> Result<SecurityGroupRule, XmlError> {
    let protocol = item.child("ipProtocol")?;
    Ok(SecurityGroupRule {
        id: item.parse_child("securityGroupRuleId")?,
        group: item.parse_child("groupId")?,
        egress: item.parse_child("isEgress")?,
        protocol: match protocol.text.trim() {
            "-1" => None,
            "icmp" => Some(1),
            "tcp" => Some(6),
            "udp" => Some(17),
            "icmpv6" => Some(58),
            _ => Some(protocol.read()?),
        },
        from_port: item.parse_optional("fromPort")?.unwrap_or(-1),
        to_port: item.parse_optional("toPort")?.unwrap_or(-1),
        peer: rule_peer(item)?,
    })
}

fn rule_peer(item: &Element) -> Result<RulePeer, XmlError> {
    if let Some(cidr) = item.parse_optional::<Ipv4Net>("cidrIpv4")? {
        return Ok(RulePeer::Ipv4(cidr));
    }
    if let Some(cidr) = item.parse_optional("cidrIpv6")? {
        return Ok(RulePeer::Ipv6(cidr));
    }
    if let Some(list) = item.parse_optional("prefixListId")? {
        return Ok(RulePeer::PrefixList(list));
    }
    item.child("referencedGroupInfo")?
        .parse_child("groupId")
        .map(RulePeer::Group)
}

/// Reads an element, and each below it, as everything that an action answers.
pub(super) fn any(element: &Element) {
    drop(done(element));
    drop(assigned(element));
    drop(network_interface(element));
    drop(one_instance_type(element));
    drop(security_group(element));
    drop(security_group_rule(element));
    drop(subnet(element));
    element.children.iter().for_each(any);
}

#[cfg(test)]
mod tests;
