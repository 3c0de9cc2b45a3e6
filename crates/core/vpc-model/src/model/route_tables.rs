//! Route tables and what they apply to.

use ipnet::IpNet;
use underlay_types::{RouteTableAssociationId, RouteTableId, SubnetId, VpcId};

use crate::{
    Change, Ec2Error, ErrorCode, Model, Route, RouteTable, RouteTableAssociation, RouteTarget,
    Tags, Vpc,
};

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
        let routes = local_routes(self.require_vpc(vpc)?);
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
        self.note_new(id.as_str());
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
        if self.route_tables.index().of_subnet(subnet).is_some() {
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
        let (table, subnet) = self.require_association(association)?;
        if subnet.is_none() {
            let text =
                format!("cannot disassociate the main route table association {association}");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.change_route_table(&table, |table| {
            table.associations.retain(|each| &each.id != association);
        });
        Ok(())
    }

    /// ReplaceRouteTableAssociation: another table for the association's subnet, or for all
    /// subnets of the VPC that have none. The answer is the association's new id.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidRouteTableID.NotFound`; `InvalidParameterValue`
    /// when they are of different VPCs.
    pub fn replace_route_table_association(
        &mut self,
        association: &RouteTableAssociationId,
        id: &RouteTableId,
    ) -> Result<RouteTableAssociationId, Ec2Error> {
        let (before, subnet) = self.require_association(association)?;
        let table = self.require_route_table(id)?;
        let vpc = table.vpc.clone();
        if self.require_route_table(&before)?.vpc != vpc {
            let text = format!(
                "Route table {id} and association {association} belong to different networks"
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if &before == id {
            return Ok(association.clone());
        }
        let made = RouteTableAssociationId::from_serial(self.rng.next());
        let entry = RouteTableAssociation {
            id: made.clone(),
            subnet,
        };
        if let (None, Some(vpc)) = (&entry.subnet, self.vpcs.get_mut(&vpc)) {
            vpc.main_route_table = id.clone();
        }
        self.change_route_table(&before, |table| {
            table.associations.retain(|each| &each.id != association);
        });
        self.change_route_table(id, |table| table.associations.push(entry));
        Ok(made)
    }

    /// The table and the subnet of an association; no subnet when it makes a table the main one.
    fn require_association(
        &self,
        association: &RouteTableAssociationId,
    ) -> Result<(RouteTableId, Option<SubnetId>), Ec2Error> {
        let found = self.route_tables.values().find_map(|table| {
            let mut entries = table.associations.iter();
            let entry = entries.find(|each| &each.id == association)?;
            Some((table.id.clone(), entry.subnet.clone()))
        });
        found.ok_or_else(|| {
            let text = format!("The association ID '{association}' does not exist");
            Ec2Error::new(ErrorCode::InvalidAssociationIdNotFound, text)
        })
    }

    pub(crate) fn change_route_table(
        &mut self,
        id: &RouteTableId,
        change: impl FnOnce(&mut RouteTable),
    ) {
        if let Some(mut table) = self.route_tables.get_mut(id) {
            change(&mut table);
            self.changes.push(Change::RouteTableChanged(id.clone()));
        }
    }
}

/// The routes that every table of a VPC has by itself.
pub(super) fn local_routes(vpc: &Vpc) -> Vec<Route> {
    let local = |block: IpNet| Route {
        destination: block.into(),
        target: RouteTarget::Local,
    };
    vpc.blocks().map(local).collect()
}
