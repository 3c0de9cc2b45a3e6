//! Route table actions.

use ipnet::Ipv4Net;
use underlay_types::{EniId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId};
use underlay_vpc_model::{Ec2Error, ErrorCode, Model, Route, RouteTable, RouteTarget};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<RouteTable> = FilterTable {
    fields: &[
        ("association.main", |_, table| {
            table
                .associations
                .iter()
                .map(|each| each.subnet.is_none().to_string())
                .collect()
        }),
        ("association.route-table-association-id", |_, table| {
            table
                .associations
                .iter()
                .map(|each| each.id.to_string())
                .collect()
        }),
        ("association.route-table-id", |_, table| {
            table
                .associations
                .iter()
                .map(|_| table.id.to_string())
                .collect()
        }),
        ("association.subnet-id", |_, table| {
            let subnets = table
                .associations
                .iter()
                .filter_map(|each| each.subnet.as_ref());
            subnets.map(ToString::to_string).collect()
        }),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("route-table-id", |_, table| vec![table.id.to_string()]),
        ("route.destination-cidr-block", |_, table| {
            table
                .routes
                .iter()
                .map(|route| route.destination.to_string())
                .collect()
        }),
        ("route.gateway-id", |_, _| vec!["local".to_owned()]),
        ("route.origin", |_, table| {
            table
                .routes
                .iter()
                .map(|route| origin(route).to_owned())
                .collect()
        }),
        ("route.state", |model, table| {
            let states = table.routes.iter().map(|route| model.route_state(route));
            states.map(|state| state.as_str().to_owned()).collect()
        }),
        ("vpc-id", |_, table| vec![table.vpc.to_string()]),
    ],
    tags: Some(|table| &table.tags),
};

/// DescribeRouteTables.
pub(super) static DESCRIBE: Describe<RouteTable, RouteTableId> = Describe {
    action: "DescribeRouteTables",
    ids: "RouteTableId",
    set: "routeTableSet",
    filters: &FILTERS,
    all: |model| Box::new(model.route_tables()),
    require: |model, id| model.require_route_table(id).map(drop),
    id: |table| &table.id,
    write,
};

const fn origin(route: &Route) -> &'static str {
    match route.target {
        RouteTarget::Local => "CreateRouteTable",
        RouteTarget::Eni(_) => "CreateRoute",
    }
}

fn write(xml: &mut Xml, model: &Model, table: &RouteTable) {
    xml.leaf("routeTableId", &table.id);
    xml.leaf("vpcId", &table.vpc);
    xml.leaf("ownerId", &model.config().account);
    xml.items("routeSet", &table.routes, |xml, route| {
        xml.leaf("destinationCidrBlock", route.destination);
        match &route.target {
            RouteTarget::Local => xml.leaf("gatewayId", "local"),
            RouteTarget::Eni(id) => {
                xml.leaf("networkInterfaceId", id);
                if let Some(instance) = model.eni(id).and_then(|eni| eni.instance()) {
                    xml.leaf("instanceId", instance);
                    xml.leaf("instanceOwnerId", &model.config().account);
                }
            }
        }
        xml.leaf("state", model.route_state(route).as_str());
        xml.leaf("origin", origin(route));
    });
    xml.items("associationSet", &table.associations, |xml, each| {
        xml.leaf("routeTableAssociationId", &each.id);
        xml.leaf("routeTableId", &table.id);
        xml.optional("subnetId", each.subnet.as_ref());
        xml.leaf("main", each.subnet.is_none());
        write_association_state(xml, "associated");
    });
    xml.items("propagatingVgwSet", std::iter::empty::<()>(), |_, ()| {});
    write_tags(xml, &table.tags);
}

fn write_association_state(xml: &mut Xml, state: &str) {
    xml.tree("associationState", |xml| xml.leaf("state", state));
}

/// CreateRouteTable.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let vpc: VpcId = params.id("VpcId")?;
    let [tags] = take_specifications(params, ["route-table"])?;
    Ok(Call::new(move |model, context| {
        let made = context.once(model, |model| {
            model
                .create_route_table(&vpc, tags)
                .map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let table = model.require_route_table(&super::ids::parse_id(text)?)?;
            xml.tree("routeTable", |xml| write(xml, model, table));
        }
        xml.optional(
            "clientToken",
            context.token.as_ref().map(|(token, _)| token),
        );
        Ok(xml)
    }))
}

/// DeleteRouteTable.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    Ok(Call::new(move |model, _| {
        model.delete_route_table(&id)?;
        Ok(done())
    }))
}

/// CreateRoute, to an interface.
pub(super) fn create_route(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination: Ipv4Net = params.required_parsed("DestinationCidrBlock")?;
    let target: EniId = params.id("NetworkInterfaceId")?;
    Ok(Call::new(move |model, _| {
        model.create_route(&id, destination, &target)?;
        Ok(done())
    }))
}

/// ReplaceRoute, to an interface or `local`.
pub(super) fn replace_route(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination: Ipv4Net = params.required_parsed("DestinationCidrBlock")?;
    let target: Option<EniId> = params.optional_id("NetworkInterfaceId")?;
    let local = params.flag("LocalTarget")?.unwrap_or(false);
    if local == target.is_some() {
        let text = "Exactly one of NetworkInterfaceId and LocalTarget must be specified.";
        let code = if local {
            ErrorCode::InvalidParameterCombination
        } else {
            ErrorCode::MissingParameter
        };
        return Err(Ec2Error::new(code, text));
    }
    Ok(Call::new(move |model, _| {
        model.replace_route(&id, destination, target.as_ref())?;
        Ok(done())
    }))
}

/// DeleteRoute.
pub(super) fn delete_route(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let destination: Ipv4Net = params.required_parsed("DestinationCidrBlock")?;
    Ok(Call::new(move |model, _| {
        model.delete_route(&id, destination)?;
        Ok(done())
    }))
}

/// AssociateRouteTable.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    let subnet: SubnetId = params.id("SubnetId")?;
    Ok(Call::new(move |model, _| {
        let association = model.associate_route_table(&id, &subnet)?;
        let mut xml = Xml::default();
        xml.leaf("associationId", association);
        write_association_state(&mut xml, "associated");
        Ok(xml)
    }))
}

/// DisassociateRouteTable.
pub(super) fn disassociate(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: RouteTableAssociationId = params.id("AssociationId")?;
    Ok(Call::new(move |model, _| {
        model.disassociate_route_table(&association)?;
        Ok(done())
    }))
}
