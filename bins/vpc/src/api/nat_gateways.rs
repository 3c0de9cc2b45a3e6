//! Actions on NAT gateways.

use std::net::Ipv4Addr;

use underlay_types::{AllocationId, NatGatewayId, SubnetId};
use underlay_vpc_model::{
    Connectivity, Ec2Error, ErrorCode, Model, NatGateway, NatGatewayAddress, NatGatewayRequest,
    NatGatewayState, V4Request,
};

use super::{
    call::Call,
    describe::Describe,
    filter::FilterTable,
    instant::iso8601,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<NatGateway> = FilterTable {
    fields: &[
        ("nat-gateway-id", |_, gateway| vec![gateway.id.to_string()]),
        ("state", |_, gateway| {
            vec![gateway.state.as_str().to_owned()]
        }),
        ("subnet-id", |_, gateway| vec![gateway.subnet.to_string()]),
        ("vpc-id", |_, gateway| vec![gateway.vpc.to_string()]),
    ],
    tags: Some(|gateway| &gateway.tags),
};

/// DescribeNatGateways.
pub(super) static DESCRIBE: Describe<NatGateway> = Describe {
    action: "DescribeNatGateways",
    ids: "NatGatewayId",
    set: "natGatewaySet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_nat_gateway(id).map(drop),
    write,
};

fn write(xml: &mut Xml, model: &Model, gateway: &NatGateway) {
    xml.leaf("natGatewayId", &gateway.id);
    xml.leaf("vpcId", &gateway.vpc);
    xml.leaf("subnetId", &gateway.subnet);
    xml.leaf("state", gateway.state.as_str());
    xml.leaf("connectivityType", gateway.connectivity.as_str());
    xml.leaf("availabilityMode", "zonal");
    xml.leaf("createTime", iso8601(gateway.create_time));
    xml.optional("deleteTime", gateway.delete_time.map(iso8601));
    if let (NatGatewayState::Failed, Some(failure)) = (gateway.state, &gateway.failure) {
        xml.leaf("failureCode", &failure.code);
        xml.leaf("failureMessage", &failure.message);
    }
    let addresses = gateway.addresses.iter().enumerate();
    xml.items("natGatewayAddressSet", addresses, |xml, (index, each)| {
        write_address(xml, model, gateway, each);
        xml.leaf("isPrimary", index == 0);
    });
    write_tags(xml, &gateway.tags);
}

fn write_address(xml: &mut Xml, model: &Model, gateway: &NatGateway, each: &NatGatewayAddress) {
    xml.optional("networkInterfaceId", each.eni.as_ref());
    xml.optional("privateIp", each.private);
    if let Some(id) = &each.allocation {
        xml.leaf("allocationId", id);
        let elastic = model.elastic_address(id);
        xml.optional("publicIp", elastic.map(|elastic| elastic.address));
        let held = elastic.and_then(|elastic| elastic.association.as_ref());
        let own = held.filter(|held| Some(&held.eni) == each.eni.as_ref());
        xml.optional("associationId", own.map(|held| &held.id));
    }
    let status = match gateway.state {
        NatGatewayState::Pending => "associating",
        NatGatewayState::Failed => "failed",
        NatGatewayState::Available => "succeeded",
        NatGatewayState::Deleting | NatGatewayState::Deleted => "disassociating",
    };
    xml.leaf("status", status);
}

/// CreateNatGateway.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    match params.text("AvailabilityMode").as_deref() {
        None | Some("zonal") => {}
        Some("regional") => {
            let text = "Regional NAT gateways are not supported by this VPC.";
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
        Some(other) => return Err(params.invalid("AvailabilityMode", other)),
    }
    let subnet: SubnetId = params.id("SubnetId")?;
    let connectivity = match params.text("ConnectivityType").as_deref() {
        None | Some("public") => Connectivity::Public,
        Some("private") => Connectivity::Private,
        Some(other) => return Err(params.invalid("ConnectivityType", other)),
    };
    let primary: Option<AllocationId> = params.optional_id("AllocationId")?;
    let secondary: Vec<AllocationId> = params.ids("SecondaryAllocationId")?;
    let [tags] = take_specifications(params, ["natgateway"])?;
    let request = NatGatewayRequest {
        subnet,
        connectivity,
        allocations: primary.into_iter().chain(secondary).collect(),
        private: params.parsed("PrivateIpAddress")?,
        secondary: take_secondary(params)?,
        tags,
    };
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            let made = model.create_nat_gateway(&request, context.now);
            made.map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let gateway = model.require_nat_gateway(&super::ids::parse_id(text)?)?;
            xml.tree("natGateway", |xml| write(xml, model, gateway));
        }
        let token = context.token.as_ref().map(|(token, _)| token);
        xml.optional("clientToken", token);
        Ok(xml)
    }))
}

fn take_secondary(params: &mut Params) -> Result<V4Request, Ec2Error> {
    let texts = params.list("SecondaryPrivateIpAddress")?;
    let parse = |text: &String| {
        let address = text.parse::<Ipv4Addr>();
        address.map_err(|_unparsable| params.invalid("SecondaryPrivateIpAddress", text))
    };
    let addresses = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let count: Option<u32> = params.parsed("SecondaryPrivateIpAddressCount")?;
    match (addresses.is_empty(), count.filter(|count| *count > 0)) {
        (true, None) => Ok(V4Request::Nothing),
        (true, Some(count)) => Ok(V4Request::Count(count)),
        (false, None) => Ok(V4Request::Addresses(addresses)),
        (false, Some(_)) => {
            let text = "Only one of secondary private IP addresses and their count can be \
                        specified.";
            Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text))
        }
    }
}

/// DeleteNatGateway.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: NatGatewayId = params.id("NatGatewayId")?;
    Ok(Call::new(move |model, context| {
        model.delete_nat_gateway(&id, context.now)?;
        let mut xml = Xml::default();
        xml.leaf("natGatewayId", &id);
        Ok(xml)
    }))
}
