//! Route table actions.

use ipnet::IpNet;
use underlay_types::{RouteTableAssociationId, RouteTableId, SubnetId, VpcId};
use underlay_vpc_model::{
    Ec2Error, ErrorCode, Model, Route, RouteDestination, RouteTable, RouteTarget,
};

use super::{
    call::{Call, done},
    describe::Describe,
    filter::FilterTable,
    keys::Keys,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<RouteTable> = FilterTable {
    fields: &[
        // Tables are associated with subnets only.
        ("association.gateway-id", |_, _| Vec::new()),
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
            let blocks = table
                .routes
                .iter()
                .filter_map(|route| route.destination.cidr());
            let v4 = blocks.filter(|block| matches!(block, IpNet::V4(_)));
            v4.map(|block| block.to_string()).collect()
        }),
        ("route.destination-ipv6-cidr-block", |_, table| {
            let blocks = table
                .routes
                .iter()
                .filter_map(|route| route.destination.cidr());
            let v6 = blocks.filter(|block| matches!(block, IpNet::V6(_)));
            v6.map(|block| block.to_string()).collect()
        }),
        ("route.destination-prefix-list-id", |_, table| {
            let lists = table
                .routes
                .iter()
                .filter(|each| each.destination.cidr().is_none());
            lists.map(|route| route.destination.to_string()).collect()
        }),
        ("route.egress-only-internet-gateway-id", |_, table| {
            targets(table, |target| match target {
                RouteTarget::EgressOnlyInternetGateway(id) => Some(id.to_string()),
                _ => None,
            })
        }),
        ("route.gateway-id", |_, table| {
            targets(table, |target| match target {
                RouteTarget::InternetGateway(id) => Some(id.to_string()),
                RouteTarget::Local => Some("local".to_owned()),
                _ => None,
            })
        }),
        ("route.instance-id", |model, table| {
            targets(table, |target| match target {
                RouteTarget::Eni(id) => model.eni(id)?.instance().map(ToString::to_string),
                _ => None,
            })
        }),
        ("route.nat-gateway-id", |_, table| {
            targets(table, |target| match target {
                RouteTarget::NatGateway(id) => Some(id.to_string()),
                _ => None,
            })
        }),
        ("route.origin", |model, table| {
            let origins = table.routes.iter().map(|route| origin(model, table, route));
            origins.map(str::to_owned).collect()
        }),
        ("route.state", |model, table| {
            let states = table.routes.iter().map(|route| model.route_state(route));
            states.map(|state| state.as_str().to_owned()).collect()
        }),
        // No route leads there.
        ("route.transit-gateway-id", |_, _| Vec::new()),
        ("route.vpc-peering-connection-id", |_, table| {
            targets(table, |target| match target {
                RouteTarget::Peering(id) => Some(id.to_string()),
                _ => None,
            })
        }),
        ("vpc-id", |_, table| vec![table.vpc.to_string()]),
    ],
    tags: Some(|table| &table.tags),
};

/// DescribeRouteTables.
pub(super) static DESCRIBE: Describe<RouteTable> = Describe {
    action: "DescribeRouteTables",
    ids: "RouteTableId",
    set: "routeTableSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_route_table(id).map(drop),
    write,
};

fn targets(table: &RouteTable, id: impl Fn(&RouteTarget) -> Option<String>) -> Vec<String> {
    let targets = table.routes.iter().map(|route| &route.target);
    targets.filter_map(id).collect()
}

fn origin(model: &Model, table: &RouteTable, route: &Route) -> &'static str {
    if model.is_vpc_block(table, &route.destination) {
        "CreateRouteTable"
    } else {
        "CreateRoute"
    }
}

fn write_route(xml: &mut Xml, model: &Model, table: &RouteTable, route: &Route) {
    let name = match &route.destination {
        RouteDestination::Cidr(IpNet::V4(_)) => "destinationCidrBlock",
        RouteDestination::Cidr(IpNet::V6(_)) => "destinationIpv6CidrBlock",
        RouteDestination::PrefixList(_) => "destinationPrefixListId",
    };
    xml.leaf(name, &route.destination);
    match &route.target {
        RouteTarget::EgressOnlyInternetGateway(id) => xml.leaf("egressOnlyInternetGatewayId", id),
        RouteTarget::Eni(id) => {
            xml.leaf("networkInterfaceId", id);
            if let Some(instance) = model.eni(id).and_then(|eni| eni.instance()) {
                xml.leaf("instanceId", instance);
                xml.leaf("instanceOwnerId", &model.config().account);
            }
        }
        RouteTarget::InternetGateway(id) => xml.leaf("gatewayId", id),
        RouteTarget::Local => xml.leaf("gatewayId", "local"),
        RouteTarget::NatGateway(id) => xml.leaf("natGatewayId", id),
        RouteTarget::Peering(id) => xml.leaf("vpcPeeringConnectionId", id),
    }
    xml.leaf("state", model.route_state(route).as_str());
    xml.leaf("origin", origin(model, table, route));
}

fn write(xml: &mut Xml, model: &Model, table: &RouteTable) {
    xml.leaf("routeTableId", &table.id);
    xml.leaf("vpcId", &table.vpc);
    xml.leaf("ownerId", &model.config().account);
    xml.items("routeSet", &table.routes, |xml, route| {
        write_route(xml, model, table, route);
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

/// AssociateRouteTable, with a subnet.
pub(super) fn associate(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: RouteTableId = params.id("RouteTableId")?;
    for gateway in ["GatewayId", "PublicIpv4Pool"] {
        if params.text(gateway).is_some() {
            let text = format!("Route tables of a {gateway} are not supported by this VPC.");
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
    }
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

/// ReplaceRouteTableAssociation.
pub(super) fn replace_association(params: &mut Params) -> Result<Call, Ec2Error> {
    let association: RouteTableAssociationId = params.id("AssociationId")?;
    let id: RouteTableId = params.id("RouteTableId")?;
    Ok(Call::new(move |model, _| {
        let made = model.replace_route_table_association(&association, &id)?;
        let mut xml = Xml::default();
        xml.leaf("newAssociationId", made);
        write_association_state(&mut xml, "associated");
        Ok(xml)
    }))
}
