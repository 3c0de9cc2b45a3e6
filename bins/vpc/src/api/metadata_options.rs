//! How an instance's metadata service answers: at launch, and changed while it runs.

use underlay_types::InstanceId;
use underlay_vpc_model::{Ec2Error, MetadataOptions, MetadataOptionsChange};

use super::{call::Call, params::Params, vpcs::refuse_other_than, xml::Xml};

/// ModifyInstanceMetadataOptions. The answer says `pending`, as EC2's does; the next request to
/// the service meets the options as they are now.
pub(super) fn modify(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: InstanceId = params.id("InstanceId")?;
    let change = take_options(params)?;
    Ok(Call::new(move |model, _| {
        let options = model.modify_metadata_options(&id, change)?;
        let mut xml = Xml::default();
        xml.leaf("instanceId", &id);
        write_as(&mut xml, "instanceMetadataOptions", &options, "pending");
        Ok(xml)
    }))
}

/// Takes the options that a request names.
pub(super) fn take_options(params: &mut Params) -> Result<MetadataOptionsChange, Ec2Error> {
    let switch = ["disabled", "enabled"];
    let change = MetadataOptionsChange {
        tokens_required: take_choice(params, "HttpTokens", ["optional", "required"])?,
        enabled: take_choice(params, "HttpEndpoint", switch)?,
        tags: take_choice(params, "InstanceMetadataTags", switch)?,
        hop_limit: match params.parsed::<u8>("HttpPutResponseHopLimit")? {
            Some(other @ (0 | 65..)) => {
                return Err(params.invalid("HttpPutResponseHopLimit", other));
            }
            limit => limit,
        },
    };
    refuse_other_than(params, "HttpProtocolIpv6", "disabled")?;
    Ok(change)
}

/// The options of an instance whose launch names these.
pub(super) fn at_launch(named: MetadataOptionsChange) -> MetadataOptions {
    let defaults = MetadataOptions::default();
    MetadataOptions {
        tokens_required: named.tokens_required.unwrap_or(defaults.tokens_required),
        hop_limit: named.hop_limit.unwrap_or(defaults.hop_limit),
        enabled: named.enabled.unwrap_or(defaults.enabled),
        tags: named.tags.unwrap_or(defaults.tags),
    }
}

/// Writes the options as an instance shows them.
pub(super) fn write_options(xml: &mut Xml, options: &MetadataOptions, state: &str) {
    write_as(xml, "metadataOptions", options, state);
}

/// `HttpTokens`, as EC2 writes it.
pub(super) const fn tokens(options: &MetadataOptions) -> &'static str {
    if options.tokens_required {
        "required"
    } else {
        "optional"
    }
}

/// What can be on or off, as EC2 writes it.
pub(super) const fn switch(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

fn write_as(xml: &mut Xml, name: &str, options: &MetadataOptions, state: &str) {
    xml.tree(name, |xml| {
        xml.leaf("state", state);
        xml.leaf("httpTokens", tokens(options));
        xml.leaf("httpPutResponseHopLimit", options.hop_limit);
        xml.leaf("httpEndpoint", switch(options.enabled));
        xml.leaf("httpProtocolIpv6", "disabled");
        xml.leaf("instanceMetadataTags", switch(options.tags));
    });
}

/// Takes one of two words; `None` without it.
pub(super) fn take_choice(
    params: &mut Params,
    name: &str,
    [no, yes]: [&str; 2],
) -> Result<Option<bool>, Ec2Error> {
    match params.text(name) {
        None => Ok(None),
        Some(text) if text == yes => Ok(Some(true)),
        Some(text) if text == no => Ok(Some(false)),
        Some(other) => Err(params.invalid(name, other)),
    }
}
