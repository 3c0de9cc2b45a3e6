//! Route tables, their routes and associations.

use ipnet::Ipv4Net;
use underlay_types::{EniId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId};

use crate::{
    Change, Ec2Error, ErrorCode, Model, Route, RouteTable, RouteTableAssociation, RouteTarget, Tags,
};

/// Addresses of link-local services, to which no route may lead.
const NO_ROUTES_TO: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(169, 254, 168, 0), 22);

impl Model {
    /// CreateRouteTable, with the VPC's `local` routes.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `RouteTableLimitExceeded`.
    pub fn create_route_table(
        &mut self,
        vpc: &VpcId,
        tags: Tags,
    ) -> Result<RouteTableId, Ec2Error> {
        let blocks = self.require_vpc(vpc)?.v4_blocks();
        let routes = blocks
            .map(|block| Route {
                destination: block,
                target: RouteTarget::Local,
            })
            .collect();
        let count = self
            .route_tables
            .values()
            .filter(|table| &table.vpc == vpc)
            .count();
        if count >= self.config.limits.route_tables_per_vpc {
            let text = "The maximum number of route tables has been reached.";
            return Err(Ec2Error::new(ErrorCode::RouteTableLimitExceeded, text));
        }
        let id = RouteTableId::from_serial(self.rng.next());
        let table = RouteTable {
            id: id.clone(),
            vpc: vpc.clone(),
            routes,
            associations: Vec::new(),
            tags,
        };
        self.route_tables.insert(id.clone(), table);
        self.changes.push(Change::RouteTableChanged(id.clone()));
        Ok(id)
    }

    /// DeleteRouteTable.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `DependencyViolation` for a main table or an associated one.
    pub fn delete_route_table(&mut self, id: &RouteTableId) -> Result<(), Ec2Error> {
        if !self.require_route_table(id)?.associations.is_empty() {
            let text = format!("The routeTable '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.route_tables.remove(id);
        self.changes.push(Change::RouteTableChanged(id.clone()));
        Ok(())
    }

    /// CreateRoute, to an interface.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `InvalidNetworkInterfaceID.NotFound`; `RouteAlreadyExists`;
    /// `RouteLimitExceeded`; `InvalidParameterValue` for a destination or an interface that the
    /// VPC does not allow.
    pub fn create_route(
        &mut self,
        id: &RouteTableId,
        destination: Ipv4Net,
        target: &EniId,
    ) -> Result<(), Ec2Error> {
        let destination = destination.trunc();
        let table = self.require_route_table(id)?;
        self.check_route_target(table, target)?;
        self.check_destination(table, destination)?;
        if table
            .routes
            .iter()
            .any(|route| route.destination == destination)
        {
            let text = format!("The route identified by {destination} already exists.");
            return Err(Ec2Error::new(ErrorCode::RouteAlreadyExists, text));
        }
        if table.routes.len() >= self.config.limits.routes_per_table {
            let text = "The maximum number of routes has been reached.";
            return Err(Ec2Error::new(ErrorCode::RouteLimitExceeded, text));
        }
        let route = Route {
            destination,
            target: RouteTarget::Eni(target.clone()),
        };
        self.change_route_table(id, |table| table.routes.push(route));
        Ok(())
    }

    /// ReplaceRoute: another target for a route that is there. `None` makes it `local` again.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `InvalidRoute.NotFound`;
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for an interface of another
    /// VPC, or `local` for a destination that is not a block of the VPC.
    pub fn replace_route(
        &mut self,
        id: &RouteTableId,
        destination: Ipv4Net,
        target: Option<&EniId>,
    ) -> Result<(), Ec2Error> {
        let destination = destination.trunc();
        let table = self.require_route_table(id)?;
        Self::require_route(table, destination)?;
        match target {
            Some(target) => self.check_route_target(table, target)?,
            None if self.is_vpc_block(table, destination) => {}
            None => {
                let text = format!("{destination} is not a block of the VPC: it cannot be local");
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
        }
        let target = target.map_or(RouteTarget::Local, |eni| RouteTarget::Eni(eni.clone()));
        self.change_route_table(id, |table| {
            for route in table
                .routes
                .iter_mut()
                .filter(|each| each.destination == destination)
            {
                route.target = target.clone();
            }
        });
        Ok(())
    }

    /// DeleteRoute.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `InvalidRoute.NotFound`; `InvalidParameterValue` for the
    /// route of a VPC block.
    pub fn delete_route(
        &mut self,
        id: &RouteTableId,
        destination: Ipv4Net,
    ) -> Result<(), Ec2Error> {
        let destination = destination.trunc();
        let table = self.require_route_table(id)?;
        Self::require_route(table, destination)?;
        if self.is_vpc_block(table, destination) {
            let text = format!("cannot remove local route {destination} in route table {id}");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.change_route_table(id, |table| {
            table
                .routes
                .retain(|route| route.destination != destination);
        });
        Ok(())
    }

    /// AssociateRouteTable with a subnet.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; `InvalidSubnetID.NotFound`; `InvalidParameterValue` when
    /// they are of different VPCs; `Resource.AlreadyAssociated` when the subnet has one.
    pub fn associate_route_table(
        &mut self,
        id: &RouteTableId,
        subnet: &SubnetId,
    ) -> Result<RouteTableAssociationId, Ec2Error> {
        let table = self.require_route_table(id)?;
        if self.require_subnet(subnet)?.vpc != table.vpc {
            let text = format!("Route table {id} and subnet {subnet} belong to different networks");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let existing = self
            .route_tables
            .values()
            .flat_map(|table| &table.associations);
        if existing
            .into_iter()
            .any(|each| each.subnet.as_ref() == Some(subnet))
        {
            let text = format!(
                "the specified association for route table {id} conflicts with an existing association"
            );
            return Err(Ec2Error::new(ErrorCode::ResourceAlreadyAssociated, text));
        }
        let association = RouteTableAssociationId::from_serial(self.rng.next());
        let entry = RouteTableAssociation {
            id: association.clone(),
            subnet: Some(subnet.clone()),
        };
        self.change_route_table(id, |table| table.associations.push(entry));
        Ok(association)
    }

    /// DisassociateRouteTable.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidParameterValue` for a main association.
    pub fn disassociate_route_table(
        &mut self,
        association: &RouteTableAssociationId,
    ) -> Result<(), Ec2Error> {
        let found = self.route_tables.values().find_map(|table| {
            let entry = table
                .associations
                .iter()
                .find(|each| &each.id == association)?;
            Some((table.id.clone(), entry.subnet.is_none()))
        });
        let Some((table, main)) = found else {
            let text = format!("The association ID '{association}' does not exist");
            return Err(Ec2Error::new(ErrorCode::InvalidAssociationIdNotFound, text));
        };
        if main {
            let text =
                format!("cannot disassociate the main route table association {association}");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.change_route_table(&table, |table| {
            table.associations.retain(|each| &each.id != association);
        });
        Ok(())
    }

    /// Tells of every table that leads to `eni`: its route lives or dies with the attachment.
    pub(crate) fn note_routes_to(&mut self, eni: &EniId) {
        let target = RouteTarget::Eni(eni.clone());
        for table in self.route_tables.values() {
            if table.routes.iter().any(|route| route.target == target) {
                self.changes
                    .push(Change::RouteTableChanged(table.id.clone()));
            }
        }
    }

    fn change_route_table(&mut self, id: &RouteTableId, change: impl FnOnce(&mut RouteTable)) {
        if let Some(table) = self.route_tables.get_mut(id) {
            change(table);
            self.changes.push(Change::RouteTableChanged(id.clone()));
        }
    }

    fn is_vpc_block(&self, table: &RouteTable, destination: Ipv4Net) -> bool {
        let vpc = self.vpcs.get(&table.vpc);
        vpc.is_some_and(|vpc| vpc.v4_blocks().any(|block| block == destination))
    }

    fn require_route(table: &RouteTable, destination: Ipv4Net) -> Result<(), Ec2Error> {
        if table
            .routes
            .iter()
            .any(|route| route.destination == destination)
        {
            return Ok(());
        }
        let text = format!(
            "no route with destination-cidr-block {destination} in route table {}",
            table.id
        );
        Err(Ec2Error::new(ErrorCode::InvalidRouteNotFound, text))
    }

    fn check_route_target(&self, table: &RouteTable, target: &EniId) -> Result<(), Ec2Error> {
        if self.require_eni(target)?.vpc == table.vpc {
            return Ok(());
        }
        let text = format!(
            "route table {} and interface {target} belong to different networks",
            table.id
        );
        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
    }

    /// A route more specific than `local` has to be a whole subnet.
    fn check_destination(&self, table: &RouteTable, wanted: Ipv4Net) -> Result<(), Ec2Error> {
        let invalid = |text: String| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        if NO_ROUTES_TO.contains(&wanted) {
            return invalid(format!("The destination CIDR block {wanted} is reserved."));
        }
        let inside = self.vpcs.get(&table.vpc).is_some_and(|vpc| {
            vpc.v4_blocks()
                .any(|block| block != wanted && block.contains(&wanted))
        });
        let whole = self
            .subnets
            .values()
            .any(|each| each.vpc == table.vpc && each.cidr == wanted);
        if inside && !whole {
            return invalid(format!(
                "The destination CIDR block {wanted} is equal to or more specific than one of \
                 this VPC's CIDR blocks. This route can target only an entire subnet."
            ));
        }
        Ok(())
    }
}
