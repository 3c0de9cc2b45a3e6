//! Route actions.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{InstanceId, PrefixListId, RouteTableId};
use underlay_vpc_model::{Ec2Error, ErrorCode, Model, RouteDestination, RouteTarget};

use super::{
    call::{Call, done},
    params::Params,
    xml::Xml,
};

/// Targets that routes have on EC2 and not here.
const ABSENT_TARGETS: [&str; 6] = [
    "CarrierGatewayId",
    "CoreNetworkArn",
    "LocalGatewayId",
    "OdbNetworkArn",
    "TransitGatewayId",
    "VpcEndpointId",
];

/// What a caller names as a target.
enum Target {
    /// The only interface of this instance.
    Instance(InstanceId),
    /// This.
    Named(RouteTarget),
}

impl Target {
    fn find(self, model: &Model) -> Result<RouteTarget, Ec2Error> {
        match self {
            Self::Instance(id) => model.route_target_of(&id).map(RouteTarget::Eni),
            Self::Named(target) => Ok(target),
        }
    }
}

/// CreateRoute.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination = take_destination(params)?;
    let target = one_target(params, Vec::new())?;
    Ok(Call::new(move |model, _| {
        let target = target.find(model)?;
        model.create_route(&id, destination, target)?;
        Ok(done())
    }))
}

/// ReplaceRoute.
pub(super) fn replace(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination = take_destination(params)?;
    let local = params.flag("LocalTarget")?.unwrap_or(false);
    let local = local.then_some(Target::Named(RouteTarget::Local));
    let target = one_target(params, local.into_iter().collect())?;
    Ok(Call::new(move |model, _| {
        let target = target.find(model)?;
        model.replace_route(&id, &destination, target)?;
        Ok(Xml::default())
    }))
}

/// DeleteRoute.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination = take_destination(params)?;
    Ok(Call::new(move |model, _| {
        model.delete_route(&id, &destination)?;
        Ok(done())
    }))
}

/// Takes exactly one of the three kinds of destination.
fn take_destination(params: &mut Params) -> Result<RouteDestination, Ec2Error> {
    let v4: Option<Ipv4Net> = params.parsed("DestinationCidrBlock")?;
    let v6: Option<Ipv6Net> = params.parsed("DestinationIpv6CidrBlock")?;
    let list: Option<PrefixListId> = params.optional_id("DestinationPrefixListId")?;
    let blocks = [v4.map(IpNet::V4), v6.map(IpNet::V6)];
    let mut given = blocks.into_iter().flatten().map(RouteDestination::from);
    match (given.next(), given.next(), list) {
        (Some(block), None, None) => Ok(block),
        (None, None, Some(list)) => Ok(RouteDestination::PrefixList(list)),
        (None, None, None) => Err(params.missing("destinationCidrBlock")),
        _ => {
            let text = "Exactly one of destinationCidrBlock, destinationIpv6CidrBlock and \
                        destinationPrefixListId must be specified.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
    }
}

/// Takes exactly one target, `others` among them.
fn one_target(params: &mut Params, others: Vec<Target>) -> Result<Target, Ec2Error> {
    for name in ABSENT_TARGETS {
        if params.text(name).is_some() {
            let text = format!("Routes by {name} are not supported by this VPC.");
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
    }
    let mut targets = others;
    let mut named = |target: Option<RouteTarget>| targets.extend(target.map(Target::Named));
    named(take_gateway(params)?);
    let id = params.optional_id("EgressOnlyInternetGatewayId")?;
    named(id.map(RouteTarget::EgressOnlyInternetGateway));
    named(
        params
            .optional_id("NatGatewayId")?
            .map(RouteTarget::NatGateway),
    );
    named(
        params
            .optional_id("NetworkInterfaceId")?
            .map(RouteTarget::Eni),
    );
    let id = params.optional_id("VpcPeeringConnectionId")?;
    named(id.map(RouteTarget::Peering));
    targets.extend(params.optional_id("InstanceId")?.map(Target::Instance));
    match targets.pop() {
        Some(target) if targets.is_empty() => Ok(target),
        Some(_) => {
            let text = "Exactly one target of the route must be specified.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
        None => {
            let text = "The request must contain exactly one of gatewayId, natGatewayId, \
                        networkInterfaceId, vpcPeeringConnectionId, \
                        egressOnlyInternetGatewayId or instanceId";
            Err(Ec2Error::new(ErrorCode::MissingParameter, text))
        }
    }
}

/// Takes `GatewayId`: an internet gateway, or what is none here.
fn take_gateway(params: &mut Params) -> Result<Option<RouteTarget>, Ec2Error> {
    let Some(text) = params.text("GatewayId") else {
        return Ok(None);
    };
    if text.starts_with("vgw-") || text.starts_with("vpce-") {
        let text = format!("Routes to {text} are not supported by this VPC.");
        return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
    }
    let id = super::ids::parse_id(&text)?;
    Ok(Some(RouteTarget::InternetGateway(id)))
}
