//! Actions on network interfaces.

use underlay_types::{AttachmentId, EniId, InstanceId, SecurityGroupId};
use underlay_vpc_model::{
    Attachment, AttachmentHolder, ConnectionTracking, Ec2Error, Eni, ErrorCode, Model,
};

use super::{
    call::{Call, done},
    describe::Describe,
    elastic_addresses::write_association,
    eni_filters::{FILTERS, KEYS},
    eni_request::{take_eni_request, take_tracking},
    instant::iso8601,
    params::Params,
    tags::write_tags,
    xml::Xml,
};

static DESCRIBE: Describe<Eni> = Describe {
    action: "DescribeNetworkInterfaces",
    ids: "NetworkInterfaceId",
    set: "networkInterfaceSet",
    filters: &FILTERS,
    keys: &KEYS,
    require: |model, id| model.require_described_eni(id).map(drop),
    write,
};

/// DescribeNetworkInterfaces.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    // Nothing here is managed by somebody else.
    params.flag("IncludeManagedResources")?;
    DESCRIBE.call(params)
}

/// The name DNS would give an address.
pub(super) fn private_dns_name(model: &Model, address: std::net::Ipv4Addr) -> String {
    model.private_dns_name(address)
}

/// Writes an interface as DescribeNetworkInterfaces does.
fn write(xml: &mut Xml, model: &Model, eni: &Eni) {
    write_as(xml, model, eni, eni.status().as_str());
}

fn write_as(xml: &mut Xml, model: &Model, eni: &Eni, status: &str) {
    xml.leaf("availabilityZone", &eni.zone.name);
    xml.leaf("availabilityZoneId", &eni.zone.id);
    if let Some(attachment) = eni.shown_attachment() {
        xml.tree("attachment", |xml| {
            write_attachment(xml, attachment);
            let account = model.config().account.as_str();
            match &attachment.holder {
                AttachmentHolder::Instance(instance) => {
                    xml.leaf("instanceId", instance);
                    xml.leaf("instanceOwnerId", account);
                }
                AttachmentHolder::External { owner } => xml.leaf("instanceOwnerId", owner),
                AttachmentHolder::Trunk(_) => {}
            }
        });
    }
    xml.leaf("requesterManaged", eni.requester.is_some());
    xml.optional("requesterId", eni.requester.as_ref());
    xml.leaf("status", status);
    write_interface(xml, model, eni);
    write_tracking(xml, eni.tracking);
    xml.optional("ipv6Address", eni.addresses.v6.first());
    xml.leaf("ipv6Native", false);
    write_tags(xml, &eni.tags);
}

/// Writes what an interface shows on its own and within its instance.
pub(super) fn write_interface(xml: &mut Xml, model: &Model, eni: &Eni) {
    xml.leaf("networkInterfaceId", &eni.id);
    xml.leaf("subnetId", &eni.subnet);
    xml.leaf("vpcId", &eni.vpc);
    xml.leaf("description", &eni.description);
    xml.leaf("ownerId", &model.config().account);
    xml.leaf("macAddress", eni.mac);
    xml.leaf("interfaceType", eni.shown_type().as_str());
    xml.leaf("sourceDestCheck", eni.source_dest_check);
    write_groups(xml, model, &eni.groups);
    let addresses = &eni.addresses;
    write_association(xml, model, eni, addresses.primary);
    xml.leaf("privateIpAddress", addresses.primary);
    xml.leaf("privateDnsName", private_dns_name(model, addresses.primary));
    let all = std::iter::once(&addresses.primary).chain(&addresses.secondary);
    xml.items(
        "privateIpAddressesSet",
        all.enumerate(),
        |xml, (index, address)| {
            xml.leaf("privateIpAddress", address);
            xml.leaf("privateDnsName", private_dns_name(model, *address));
            xml.leaf("primary", index == 0);
            write_association(xml, model, eni, *address);
        },
    );
    if !addresses.prefixes.is_empty() {
        xml.items("ipv4PrefixSet", &addresses.prefixes, |xml, prefix| {
            xml.leaf("ipv4Prefix", prefix);
        });
    }
    xml.items("ipv6AddressesSet", &addresses.v6, |xml, address| {
        xml.leaf("ipv6Address", address);
        xml.leaf("isPrimaryIpv6", addresses.primary_v6 == Some(*address));
    });
    if !addresses.v6_prefixes.is_empty() {
        xml.items("ipv6PrefixSet", &addresses.v6_prefixes, |xml, prefix| {
            xml.leaf("ipv6Prefix", prefix);
        });
    }
}

/// Writes what an interface was told of tracking, if it was.
fn write_tracking(xml: &mut Xml, tracking: ConnectionTracking) {
    if tracking == ConnectionTracking::default() {
        return;
    }
    xml.tree("connectionTrackingConfiguration", |xml| {
        xml.optional("tcpEstablishedTimeout", tracking.tcp_established_secs);
        xml.optional("udpStreamTimeout", tracking.udp_stream_secs);
        xml.optional("udpTimeout", tracking.udp_secs);
    });
}

/// Writes a `groupSet`.
pub(super) fn write_groups(xml: &mut Xml, model: &Model, groups: &[SecurityGroupId]) {
    xml.items("groupSet", groups, |xml, id| {
        xml.leaf("groupId", id);
        xml.optional("groupName", model.group(id).map(|group| &group.name));
    });
}

/// Writes what an attachment shows on its own and within its instance.
pub(super) fn write_attachment(xml: &mut Xml, attachment: &Attachment) {
    xml.leaf("attachmentId", &attachment.id);
    xml.leaf("attachTime", iso8601(attachment.attach_time));
    xml.leaf("deleteOnTermination", attachment.delete_on_termination);
    xml.leaf("deviceIndex", attachment.device_index);
    xml.leaf("networkCardIndex", attachment.network_card);
    xml.leaf("status", attachment.status.as_str());
}

/// CreateNetworkInterface.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let request = take_eni_request(params)?;
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            model.create_eni(&request).map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let eni = model.require_eni(&super::ids::parse_id(text)?)?;
            // EC2's answer always says so, whatever a Describe says by then.
            xml.tree("networkInterface", |xml| {
                write_as(xml, model, eni, "pending");
            });
        }
        xml.optional(
            "clientToken",
            context.token.as_ref().map(|(token, _)| token),
        );
        Ok(xml)
    }))
}

/// DeleteNetworkInterface.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    Ok(Call::new(move |model, _| {
        model.delete_eni(&id)?;
        Ok(done())
    }))
}

/// AttachNetworkInterface.
pub(super) fn attach(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let instance: InstanceId = params.id("InstanceId")?;
    let index: u32 = params.required_parsed("DeviceIndex")?;
    let card: Option<u32> = params.parsed("NetworkCardIndex")?;
    Ok(Call::new(move |model, context| {
        let card = card.unwrap_or(0);
        let attachment = model.attach(&id, &instance, index, card, context.now)?;
        let mut xml = Xml::default();
        xml.leaf("attachmentId", attachment);
        xml.leaf("networkCardIndex", card);
        Ok(xml)
    }))
}

/// DetachNetworkInterface.
pub(super) fn detach(params: &mut Params) -> Result<Call, Ec2Error> {
    let attachment: AttachmentId = params.id("AttachmentId")?;
    params.flag("Force")?;
    Ok(Call::new(move |model, context| {
        model.detach(&attachment, context.now)?;
        Ok(done())
    }))
}

/// ModifyNetworkInterfaceAttribute: exactly one attribute a call.
pub(super) fn modify_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let description = params.structure("Description", |p| Ok(p.text("Value")))?;
    let check = params.structure("SourceDestCheck", |p| p.flag("Value"))?;
    let groups: Vec<SecurityGroupId> = params.ids("SecurityGroupId")?;
    let primary_v6 = params.flag("EnablePrimaryIpv6")?;
    let attachment = params.structure("Attachment", |p| {
        Ok((
            p.optional_id::<AttachmentId>("AttachmentId")?,
            p.flag("DeleteOnTermination")?,
        ))
    })?;
    let tracking = take_tracking(params)?;
    let named = [
        tracking != ConnectionTracking::default(),
        description.is_some(),
        check.is_some(),
        !groups.is_empty(),
        primary_v6.is_some(),
        attachment != (None, None),
    ];
    if named.iter().filter(|each| **each).count() != 1 {
        let text = "Exactly one attribute must be specified: Description, SourceDestCheck, \
                    SecurityGroupId, EnablePrimaryIpv6, ConnectionTrackingSpecification or \
                    Attachment";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    if attachment.0.is_some() != attachment.1.is_some() {
        return Err(params.missing("Attachment.AttachmentId and Attachment.DeleteOnTermination"));
    }
    Ok(Call::new(move |model, context| {
        if let Some(on) = primary_v6 {
            model.set_primary_v6(&id, on, context.now)?;
        } else if let Some(text) = &description {
            model.set_eni_description(&id, text)?;
        } else if let Some(check) = check {
            model.set_source_dest_check(&id, check)?;
        } else if let (Some(attachment), Some(delete)) = &attachment {
            model.set_delete_on_termination(&id, attachment, *delete)?;
        } else if tracking != ConnectionTracking::default() {
            model.set_tracking(&id, tracking)?;
        } else {
            model.set_eni_groups(&id, &groups)?;
        }
        Ok(done())
    }))
}

/// ResetNetworkInterfaceAttribute: the check of source and destination, the only one there is.
pub(super) fn reset_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    // It says which attribute; the documentation gives its text no meaning.
    if params.text("SourceDestCheck").is_none() {
        return Err(params.missing("SourceDestCheck"));
    }
    Ok(Call::new(move |model, _| {
        model.set_source_dest_check(&id, true)?;
        Ok(done())
    }))
}

/// DescribeNetworkInterfaceAttribute.
pub(super) fn describe_attribute(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: EniId = params.id("NetworkInterfaceId")?;
    let attribute = params.required("Attribute")?;
    if !["attachment", "description", "groupSet", "sourceDestCheck"].contains(&attribute.as_str()) {
        return Err(params.invalid("Attribute", attribute));
    }
    Ok(Call::new(move |model, _| {
        let eni = model.require_eni(&id)?;
        let mut xml = Xml::default();
        xml.leaf("networkInterfaceId", &id);
        match (attribute.as_str(), eni.shown_attachment()) {
            ("attachment", Some(attachment)) => xml.tree("attachment", |xml| {
                write_attachment(xml, attachment);
                xml.optional("instanceId", attachment.instance());
            }),
            ("description", _) => {
                xml.tree("description", |xml| xml.leaf("value", &eni.description))
            }
            ("groupSet", _) => write_groups(&mut xml, model, &eni.groups),
            ("sourceDestCheck", _) => {
                xml.tree("sourceDestCheck", |xml| {
                    xml.leaf("value", eni.source_dest_check)
                });
            }
            _ => {}
        }
        Ok(xml)
    }))
}
