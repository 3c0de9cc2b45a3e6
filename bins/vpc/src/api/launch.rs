//! Reading RunInstances.

use underlay_types::{ImageId, SubnetId};
use underlay_vpc_model::{
    Ec2Error, EniRequest, ErrorCode, LaunchInterface, LaunchInterfaceSource, LaunchRequest,
    MetadataOptions, Tags,
};

use super::{
    eni_request::take_launch_interface, params::Params, tags::take_specifications,
    vpcs::refuse_other_than,
};

/// Takes the parameters of RunInstances.
///
/// # Errors
/// Those of the parameters; `VPCIdNotSpecified` without a subnet, since there is no default VPC.
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
    let metadata = params.structure("MetadataOptions", take_metadata)?;
    let profile = params.structure("IamInstanceProfile", |p| {
        let arn = p.text("Arn");
        let name = p.text("Name");
        Ok(name.or_else(|| arn.and_then(|arn| arn.rsplit('/').next().map(str::to_owned))))
    })?;
    let zone = params.structure("Placement", |p| {
        refuse_other_than(p, "GroupName", "")?;
        refuse_other_than(p, "Tenancy", "default")?;
        Ok(p.text("AvailabilityZone").filter(|zone| !zone.is_empty()))
    })?;
    params.structure("Monitoring", |p| p.flag("Enabled"))?;
    params.flag("EbsOptimized")?;
    params.flag("DisableApiTermination")?;
    refuse_other_than(params, "InstanceInitiatedShutdownBehavior", "stop")?;
    Ok(LaunchRequest {
        image,
        instance_type,
        min_count,
        max_count,
        zone,
        interfaces,
        metadata,
        profile,
        key_name: params.text("KeyName"),
        user_data: params.text("UserData"),
        client_token: None,
        tags,
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
    if listed.is_empty() {
        let subnet = subnet.ok_or_else(|| {
            let text = "No default VPC for this user. Name a subnet.";
            Ec2Error::new(ErrorCode::VpcIdNotSpecified, text)
        })?;
        let request = EniRequest {
            primary,
            groups,
            tags: tags.clone(),
            ..EniRequest::new(subnet)
        };
        return Ok(vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(request),
            delete_on_termination: None,
        }]);
    }
    if subnet.is_some() || !groups.is_empty() || primary.is_some() {
        let text = "Network interfaces and an instance-level subnet ID, security groups or private \
                    address may not be specified on the same request";
        return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
    }
    Ok(listed)
}

fn take_metadata(params: &mut Params) -> Result<MetadataOptions, Ec2Error> {
    let defaults = MetadataOptions::default();
    let tokens_required = take_choice(
        params,
        "HttpTokens",
        ["optional", "required"],
        defaults.tokens_required,
    )?;
    let switch = ["disabled", "enabled"];
    let enabled = take_choice(params, "HttpEndpoint", switch, defaults.enabled)?;
    let tags = take_choice(params, "InstanceMetadataTags", switch, defaults.tags)?;
    refuse_other_than(params, "HttpProtocolIpv6", "disabled")?;
    let hop_limit = match params.parsed::<u8>("HttpPutResponseHopLimit")? {
        None => defaults.hop_limit,
        Some(limit @ 1..=64) => limit,
        Some(other) => return Err(params.invalid("HttpPutResponseHopLimit", other)),
    };
    Ok(MetadataOptions {
        tokens_required,
        hop_limit,
        enabled,
        tags,
    })
}

fn take_choice(
    params: &mut Params,
    name: &str,
    [no, yes]: [&str; 2],
    default: bool,
) -> Result<bool, Ec2Error> {
    match params.text(name) {
        None => Ok(default),
        Some(text) if text == yes => Ok(true),
        Some(text) if text == no => Ok(false),
        Some(other) => Err(params.invalid(name, other)),
    }
}
