//! Reading RunInstances.

use base64::{Engine, engine::general_purpose::STANDARD};
use underlay_types::{ImageId, SubnetId};
use underlay_vpc_model::{
    Ec2Error, EniRequest, ErrorCode, InstanceAttributes, LaunchInterface, LaunchInterfaceSource,
    LaunchRequest, Tags,
};

use super::{
    eni_request::take_launch_interface,
    eni_v6::take_launch_v6,
    metadata_options::{at_launch, take_choice, take_options},
    params::Params,
    tags::take_specifications,
    vpcs::refuse_other_than,
};

/// Bytes of user data, decoded, at most.
const MAX_USER_DATA: usize = 16_384;

/// Characters of a key pair's name at most.
const MAX_KEY_NAME: usize = 255;

/// Characters of an instance profile's name at most.
const MAX_PROFILE_NAME: usize = 128;

/// Takes the parameters of RunInstances.
///
/// # Errors
/// Those of the parameters; `InvalidUserData.Malformed` for user data that is not base64;
/// `VPCIdNotSpecified` without a subnet, since there is no default VPC.
pub(super) fn take_launch(params: &mut Params) -> Result<LaunchRequest, Ec2Error> {
    let image: ImageId = params.id("ImageId")?;
    let instance_type = params
        .text("InstanceType")
        .unwrap_or_else(|| "m1.small".to_owned());
    let (min_count, max_count) = (
        take_count(params, "MinCount")?,
        take_count(params, "MaxCount")?,
    );
    let [tags, eni_tags, _volumes] =
        take_specifications(params, ["instance", "network-interface", "volume"])?;
    let interfaces = take_interfaces(params, &eni_tags)?;
    let metadata = params.structure("MetadataOptions", take_options)?;
    let metadata = at_launch(metadata);
    let profile = params.structure("IamInstanceProfile", take_profile)?;
    let zone = params.structure("Placement", |p| {
        refuse_other_than(p, "GroupName", "")?;
        refuse_other_than(p, "Tenancy", "default")?;
        let mut named = |name| p.text(name).filter(|zone| !zone.is_empty());
        Ok((named("AvailabilityZone"), named("AvailabilityZoneId")))
    })?;
    let (zone, zone_id) = zone;
    take_without_effect(params)?;
    Ok(LaunchRequest {
        image,
        instance_type,
        min_count,
        max_count,
        zone,
        zone_id,
        interfaces,
        metadata,
        profile,
        key_name: take_bounded(params, "KeyName", MAX_KEY_NAME)?,
        user_data: take_user_data(params, "UserData")?,
        client_token: None,
        attributes: take_attributes(params)?,
        tags,
    })
}

fn take_attributes(params: &mut Params) -> Result<InstanceAttributes, Ec2Error> {
    let terminate = take_choice(
        params,
        "InstanceInitiatedShutdownBehavior",
        ["stop", "terminate"],
    )?
    .unwrap_or(false);
    Ok(InstanceAttributes {
        disable_api_stop: params.flag("DisableApiStop")?.unwrap_or(false),
        disable_api_termination: params.flag("DisableApiTermination")?.unwrap_or(false),
        ebs_optimized: params.flag("EbsOptimized")?.unwrap_or(false),
        terminate_on_shutdown: terminate,
    })
}

fn take_profile(params: &mut Params) -> Result<Option<String>, Ec2Error> {
    let arn = params.text("Arn");
    let of_arn = arn.and_then(|arn| arn.rsplit('/').next().map(str::to_owned));
    let name = params.text("Name").or(of_arn);
    check_length(params, "Name", name, MAX_PROFILE_NAME)
}

fn take_bounded(params: &mut Params, name: &str, most: usize) -> Result<Option<String>, Ec2Error> {
    let text = params.text(name);
    check_length(params, name, text, most)
}

fn check_length(
    params: &Params,
    name: &str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, Ec2Error> {
    match text {
        Some(text) if text.chars().count() > most => {
            let text = format!("of {} characters; {most} are allowed", text.chars().count());
            Err(params.invalid(name, text))
        }
        text => Ok(text),
    }
}

/// Takes user data, without the line breaks that encoders put in.
///
/// # Errors
/// `InvalidUserData.Malformed` for what is not base64; `InvalidParameterValue` for too much.
pub(super) fn take_user_data(params: &mut Params, name: &str) -> Result<Option<String>, Ec2Error> {
    let Some(mut text) = params.text(name) else {
        return Ok(None);
    };
    text.retain(|c| !c.is_ascii_whitespace());
    let decoded = STANDARD.decode(&text).map_err(|_not_base64| {
        let text = "Invalid BASE64 encoding of user data.";
        Ec2Error::new(ErrorCode::InvalidUserDataMalformed, text)
    })?;
    if decoded.len() > MAX_USER_DATA {
        let text = format!("User data is limited to {MAX_USER_DATA} bytes");
        return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    }
    Ok(Some(text))
}

/// Takes what makes no difference on one machine.
fn take_without_effect(params: &mut Params) -> Result<(), Ec2Error> {
    params.structure("Monitoring", |p| p.flag("Enabled"))?;
    for name in [
        "BlockDeviceMapping",
        "CreditSpecification",
        "CpuOptions",
        "PrivateDnsNameOptions",
        "MaintenanceOptions",
    ] {
        params.ignore(name);
    }
    params.structure("HibernationOptions", |p| {
        refuse_other_than(p, "Configured", "false")
    })?;
    params.structure("EnclaveOptions", |p| {
        refuse_other_than(p, "Enabled", "false")
    })
}

fn take_count(params: &mut Params, name: &str) -> Result<u32, Ec2Error> {
    let number: i64 = params.required_parsed(name)?;
    match u32::try_from(number) {
        Ok(count) if (1..=5_000).contains(&count) => Ok(count),
        _ => Err(params.invalid(name, number)),
    }
}

/// Either `NetworkInterface.N`, or one in `SubnetId` with `SecurityGroupId.N`.
fn take_interfaces(params: &mut Params, tags: &Tags) -> Result<Vec<LaunchInterface>, Ec2Error> {
    let listed = params.structures("NetworkInterface", |p| take_launch_interface(p, tags))?;
    let subnet: Option<SubnetId> = params.optional_id("SubnetId")?;
    let groups = params.ids("SecurityGroupId")?;
    let primary = params.parsed("PrivateIpAddress")?;
    let v6 = take_launch_v6(params)?;
    let primary_v6 = params.flag("EnablePrimaryIpv6")?.unwrap_or(false);
    if listed.is_empty() {
        let subnet = subnet.ok_or_else(|| {
            let text = "No default VPC for this user. Name a subnet.";
            Ec2Error::new(ErrorCode::VpcIdNotSpecified, text)
        })?;
        let request = EniRequest {
            primary,
            v6,
            primary_v6,
            groups,
            tags: tags.clone(),
            ..EniRequest::new(subnet)
        };
        return Ok(vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(request),
            delete_on_termination: None,
            public_address: None,
        }]);
    }
    let addresses = primary.is_some() || v6.is_some() || primary_v6;
    if subnet.is_some() || !groups.is_empty() || addresses {
        let text = "Network interfaces and an instance-level subnet ID, security groups or \
                    addresses may not be specified on the same request";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    Ok(listed)
}
