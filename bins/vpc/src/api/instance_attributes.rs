//! Attributes of instances, one a call.

use underlay_types::{InstanceId, SecurityGroupId};
use underlay_vpc_model::{Ec2Error, ErrorCode, Instance, InstanceAttribute, Model};

use super::{
    call::{Call, done},
    enis::write_groups,
    launch::take_user_data,
    params::Params,
    xml::Xml,
};

/// What DescribeInstanceAttribute knows.
const KNOWN: [&str; 15] = [
    "blockDeviceMapping",
    "disableApiStop",
    "disableApiTermination",
    "ebsOptimized",
    "enclaveOptions",
    "groupSet",
    "instanceInitiatedShutdownBehavior",
    "instanceType",
    "kernel",
    "productCodes",
    "ramdisk",
    "rootDeviceName",
    "sourceDestCheck",
    "sriovNetSupport",
    "userData",
];

/// What can be on or off: its own parameter, its name, and the change.
type Flag = (&'static str, &'static str, fn(bool) -> InstanceAttribute);

const FLAGS: [Flag; 4] = [
    (
        "DisableApiStop",
        "disableApiStop",
        InstanceAttribute::DisableApiStop,
    ),
    (
        "DisableApiTermination",
        "disableApiTermination",
        InstanceAttribute::DisableApiTermination,
    ),
    (
        "EbsOptimized",
        "ebsOptimized",
        InstanceAttribute::EbsOptimized,
    ),
    (
        "SourceDestCheck",
        "sourceDestCheck",
        InstanceAttribute::SourceDestCheck,
    ),
];

/// DescribeInstanceAttribute.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: InstanceId = params.id("InstanceId")?;
    let name = params.required("Attribute")?;
    let Some(known) = KNOWN.into_iter().find(|each| *each == name) else {
        return Err(params.invalid("Attribute", name));
    };
    Ok(Call::new(move |model, _| {
        let instance = model.require_instance(&id)?;
        let mut xml = Xml::default();
        xml.leaf("instanceId", &id);
        write(&mut xml, model, instance, known);
        Ok(xml)
    }))
}

fn write(xml: &mut Xml, model: &Model, instance: &Instance, name: &str) {
    let primary = model.primary_eni_of(&instance.id);
    let attributes = &instance.attributes;
    let behavior = if attributes.terminate_on_shutdown {
        "terminate"
    } else {
        "stop"
    };
    let value = match name {
        "disableApiStop" => Some(attributes.disable_api_stop.to_string()),
        "disableApiTermination" => Some(attributes.disable_api_termination.to_string()),
        "ebsOptimized" => Some(attributes.ebs_optimized.to_string()),
        "instanceInitiatedShutdownBehavior" => Some(behavior.to_owned()),
        "instanceType" => Some(instance.instance_type.clone()),
        "rootDeviceName" => Some("/dev/xvda".to_owned()),
        "sourceDestCheck" => primary.map(|eni| eni.source_dest_check.to_string()),
        "userData" => instance.user_data.clone(),
        _ => None,
    };
    match name {
        "blockDeviceMapping" | "productCodes" => {
            xml.items(name, std::iter::empty::<()>(), |_, ()| {});
        }
        "enclaveOptions" => xml.tree(name, |xml| xml.leaf("enabled", false)),
        "groupSet" => write_groups(xml, model, primary.map_or(&[], |eni| &eni.groups)),
        _ => xml.tree(name, |xml| xml.optional("value", value)),
    }
}

/// ModifyInstanceAttribute: by the attribute's own parameter, or by `Attribute` and `Value`.
pub(super) fn modify(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: InstanceId = params.id("InstanceId")?;
    let mut asked = Vec::new();
    if let Some(name) = params.text("Attribute") {
        asked.push(take_named(params, &name)?);
    }
    for (name, _, attribute) in FLAGS {
        let flag = params.structure(name, |p| p.flag("Value"))?;
        asked.extend(flag.map(attribute));
    }
    for name in ["InstanceInitiatedShutdownBehavior", "InstanceType"] {
        if let Some(text) = params.structure(name, |p| Ok(p.text("Value")))? {
            asked.push(text_named(params, name, text)?);
        }
    }
    if let Some(data) = params.structure("UserData", |p| take_user_data(p, "Value"))? {
        asked.push(InstanceAttribute::UserData(Some(data)));
    }
    let groups: Vec<SecurityGroupId> = params.ids("GroupId")?;
    if !groups.is_empty() {
        asked.push(InstanceAttribute::Groups(groups));
    }
    let attribute = match asked.len() {
        0 => return Err(params.missing("Attribute")),
        1 => asked.remove(0),
        _ => {
            let text = "Exactly one attribute must be specified";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
    };
    Ok(Call::new(move |model, _| {
        model.modify_instance(&id, &attribute)?;
        Ok(done())
    }))
}

fn take_named(params: &mut Params, name: &str) -> Result<InstanceAttribute, Ec2Error> {
    if let Some((_, _, attribute)) = FLAGS.iter().find(|(_, each, _)| *each == name) {
        let on = params.flag("Value")?;
        return on.map(attribute).ok_or_else(|| params.missing("Value"));
    }
    match name {
        "instanceInitiatedShutdownBehavior" => {
            let text = params.required("Value")?;
            text_named(params, "InstanceInitiatedShutdownBehavior", text)
        }
        "instanceType" => {
            let text = params.required("Value")?;
            text_named(params, "InstanceType", text)
        }
        "userData" => Ok(InstanceAttribute::UserData(take_user_data(
            params, "Value",
        )?)),
        other => Err(params.invalid("Attribute", other)),
    }
}

fn text_named(params: &Params, name: &str, text: String) -> Result<InstanceAttribute, Ec2Error> {
    match (name, text.as_str()) {
        ("InstanceType", _) => Ok(InstanceAttribute::InstanceType(text)),
        (_, "stop") => Ok(InstanceAttribute::TerminateOnShutdown(false)),
        (_, "terminate") => Ok(InstanceAttribute::TerminateOnShutdown(true)),
        _ => Err(params.invalid(name, text)),
    }
}

/// ResetInstanceAttribute: the check of source and destination.
pub(super) fn reset(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: InstanceId = params.id("InstanceId")?;
    let name = params.required("Attribute")?;
    if name != "sourceDestCheck" {
        return Err(params.invalid("Attribute", name));
    }
    Ok(Call::new(move |model, _| {
        model.modify_instance(&id, &InstanceAttribute::SourceDestCheck(true))?;
        Ok(done())
    }))
}
