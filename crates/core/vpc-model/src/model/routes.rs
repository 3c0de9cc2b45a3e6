//! Routes: where they may lead, and whether they lead anywhere now.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{EniId, InstanceId, PrefixListId, RouteTableId};

use crate::{
    AddressFamily, Change, Ec2Error, ErrorCode, InstanceState, Model, NatGatewayState, Route,
    RouteDestination, RouteState, RouteTable, RouteTarget,
};

/// Addresses of link-local services, to which no route may lead (VPC User Guide, "Route tables").
const RESERVED_V4: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(169, 254, 168, 0), 22);
const RESERVED_V6: Ipv6Net =
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32);

impl Model {
    /// Whether a route's target can take packets now.
    #[must_use]
    pub fn route_state(&self, route: &Route) -> RouteState {
        let lives = match &route.target {
            RouteTarget::EgressOnlyInternetGateway(id) => {
                self.egress_only_gateways.contains_key(id)
            }
            RouteTarget::Eni(id) => self.enis.get(id).is_some_and(|eni| self.is_live(eni)),
            RouteTarget::InternetGateway(id) => self
                .internet_gateways
                .get(id)
                .is_some_and(|gateway| gateway.vpc.is_some()),
            RouteTarget::Local => true,
            // One that is being made takes no packets yet, and its route is active all the same.
            RouteTarget::NatGateway(id) => self.nat_gateways.get(id).is_some_and(|gateway| {
                matches!(
                    gateway.state,
                    NatGatewayState::Pending | NatGatewayState::Available
                )
            }),
            RouteTarget::Peering(id) => self
                .peerings
                .get(id)
                .is_some_and(|peering| peering.is_active()),
        };
        if lives {
            RouteState::Active
        } else {
            RouteState::Blackhole
        }
    }

    /// CreateRoute.
    ///
    /// # Errors
    /// `InvalidRouteTableID.NotFound`; the target's `NotFound`; `RouteAlreadyExists`;
    /// `RouteLimitExceeded`; `InvalidPrefixListID.NotFound`; `InvalidParameterValue` for a
    /// destination or a target that the VPC does not allow; `UnsupportedOperation` for NAT64.
    pub fn create_route(
        &mut self,
        id: &RouteTableId,
        destination: RouteDestination,
        target: RouteTarget,
    ) -> Result<(), Ec2Error> {
        let table = self.require_route_table(id)?;
        self.check_target(table, &target)?;
        if find(table, &destination).is_some() {
            let text = format!("The route identified by {destination} already exists.");
            return Err(Ec2Error::new(ErrorCode::RouteAlreadyExists, text));
        }
        self.check_destination(table, &destination, &target)?;
        self.check_route_quota(table, &destination)?;
        let route = Route {
            destination,
            target,
        };
        self.change_route_table(id, |table| table.routes.push(route));
        Ok(())
    }

    /// ReplaceRoute: another target for a route that is there. A block of the VPC may become
    /// `local` again.
    ///
    /// # Errors
    /// As [`Self::create_route`]; `InvalidRoute.NotFound`; `InvalidParameterValue` for `local`
    /// and a destination that is not a block of the VPC.
    pub fn replace_route(
        &mut self,
        id: &RouteTableId,
        destination: &RouteDestination,
        target: RouteTarget,
    ) -> Result<(), Ec2Error> {
        let table = self.require_route_table(id)?;
        require_route(table, destination)?;
        self.check_target(table, &target)?;
        if target == RouteTarget::Local && !self.is_vpc_block(table, destination) {
            let text = format!("{destination} is not a block of the VPC: it cannot be local");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.check_destination(table, destination, &target)?;
        self.change_route_table(id, |table| {
            let mut routes = table.routes.iter_mut();
            if let Some(route) = routes.find(|each| &each.destination == destination) {
                route.target = target;
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
        destination: &RouteDestination,
    ) -> Result<(), Ec2Error> {
        let table = self.require_route_table(id)?;
        require_route(table, destination)?;
        if self.is_vpc_block(table, destination) {
            let text = format!("cannot remove local route {destination} in route table {id}");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.change_route_table(id, |table| {
            table
                .routes
                .retain(|route| &route.destination != destination);
        });
        Ok(())
    }

    /// The interface that a route to an instance leads to: its only one.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `InvalidInstanceID` when it does not run or has several.
    pub fn route_target_of(&self, instance: &InstanceId) -> Result<EniId, Ec2Error> {
        self.only_eni_of(instance, &[InstanceState::Running])
            .map(|eni| eni.id.clone())
    }

    /// Tells of every table that leads to `target`: its routes live or die with it.
    pub(crate) fn note_routes_to(&mut self, target: &RouteTarget) {
        if let RouteTarget::Eni(eni) = target {
            let tables = self.route_tables.index().to_eni(eni).cloned();
            return self.changes.extend(tables.map(Change::RouteTableChanged));
        }
        for table in self.route_tables.values() {
            if table.routes.iter().any(|route| &route.target == target) {
                self.changes
                    .push(Change::RouteTableChanged(table.id.clone()));
            }
        }
    }

    /// The blocks of a destination: itself, or those of the list.
    #[must_use]
    pub fn blocks_of(&self, destination: &RouteDestination) -> Vec<IpNet> {
        match destination {
            RouteDestination::Cidr(block) => vec![*block],
            RouteDestination::PrefixList(id) => {
                let list = self.prefix_lists.get(id);
                let entries = list.map_or(&[][..], |list| list.entries());
                entries.iter().map(|entry| entry.cidr).collect()
            }
        }
    }

    /// The route tables with a route whose destination is a list, by id.
    pub fn route_tables_naming(&self, list: &PrefixListId) -> impl Iterator<Item = &RouteTable> {
        let wanted = RouteDestination::PrefixList(list.clone());
        self.route_tables
            .values()
            .filter(move |table| find(table, &wanted).is_some())
    }

    /// Whether the route is one that a block of the VPC has by itself.
    #[must_use]
    pub fn is_vpc_block(&self, table: &RouteTable, destination: &RouteDestination) -> bool {
        let Some(vpc) = self.vpcs.get(&table.vpc) else {
            return false;
        };
        let block = destination.cidr();
        block.is_some_and(|block| vpc.blocks().any(|each| each == block))
    }

    /// The target has to be there, and in the table's VPC.
    fn check_target(&self, table: &RouteTable, target: &RouteTarget) -> Result<(), Ec2Error> {
        let of = &table.vpc;
        let (kind, id, here) = match target {
            RouteTarget::EgressOnlyInternetGateway(id) => {
                let here = &self.require_egress_only_gateway(id)?.vpc == of;
                ("egress only internet gateway", id.as_str(), here)
            }
            RouteTarget::Eni(id) => ("interface", id.as_str(), &self.require_eni(id)?.vpc == of),
            RouteTarget::InternetGateway(id) => {
                let here = self.require_internet_gateway(id)?.vpc.as_ref() == Some(of);
                ("network gateway", id.as_str(), here)
            }
            RouteTarget::Local => return Ok(()),
            RouteTarget::NatGateway(id) => {
                let gateway = self.nat_gateways.get(id).filter(|each| {
                    !matches!(
                        each.state,
                        NatGatewayState::Failed | NatGatewayState::Deleted
                    )
                });
                let gateway = gateway.ok_or_else(|| {
                    let text = format!("The natGateway ID '{id}' does not exist");
                    Ec2Error::new(ErrorCode::InvalidNatGatewayIdNotFound, text)
                })?;
                ("NAT gateway", id.as_str(), &gateway.vpc == of)
            }
            RouteTarget::Peering(id) => {
                let here = self.require_peering(id)?.peer_of(of).is_some();
                ("vpc peering connection", id.as_str(), here)
            }
        };
        if here {
            return Ok(());
        }
        let text = format!(
            "route table {} and {kind} {id} belong to different networks",
            table.id
        );
        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
    }

    /// The destination has to be one that a route to `target` may have.
    fn check_destination(
        &self,
        table: &RouteTable,
        destination: &RouteDestination,
        target: &RouteTarget,
    ) -> Result<(), Ec2Error> {
        let block = match destination {
            RouteDestination::Cidr(block) => *block,
            RouteDestination::PrefixList(id) => return self.require_prefix_list(id).map(drop),
        };
        if is_reserved(block) {
            return invalid(format!("The destination CIDR block {block} is reserved."));
        }
        match (block, target) {
            (IpNet::V4(_), RouteTarget::EgressOnlyInternetGateway(id)) => {
                return invalid(format!("{id} takes IPv6 destinations only, not {block}"));
            }
            (IpNet::V6(_), RouteTarget::NatGateway(_)) => {
                let text = "NAT64 is not supported by this VPC: a NAT gateway takes IPv4 only.";
                return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
            }
            _ => {}
        }
        let is_block = self.is_vpc_block(table, destination);
        if !is_block && self.is_inside_vpc(table, block) && !self.is_subnet(table, block) {
            return invalid(format!(
                "The destination CIDR block {block} is equal to or more specific than one of \
                 this VPC's CIDR blocks. This route can target only an entire subnet."
            ));
        }
        let within = is_block || self.is_inside_vpc(table, block);
        let middlebox = matches!(
            target,
            RouteTarget::Eni(_) | RouteTarget::NatGateway(_) | RouteTarget::Local
        );
        if within && !middlebox {
            return invalid(format!(
                "The destination CIDR block {block} is equal to or more specific than one of \
                 this VPC's CIDR blocks. This route can target only an interface or an instance."
            ));
        }
        Ok(())
    }

    fn is_inside_vpc(&self, table: &RouteTable, wanted: IpNet) -> bool {
        let Some(vpc) = self.vpcs.get(&table.vpc) else {
            return false;
        };
        vpc.blocks()
            .any(|block| block != wanted && block.contains(&wanted))
    }

    fn is_subnet(&self, table: &RouteTable, wanted: IpNet) -> bool {
        let mut subnets = self.subnets.values().filter(|each| each.vpc == table.vpc);
        subnets.any(|subnet| match wanted {
            IpNet::V4(block) => subnet.cidr == block,
            IpNet::V6(block) => subnet.v6_cidr() == Some(block),
        })
    }

    /// IPv4 and IPv6 routes count apart, `local` ones included; a list counts as the most entries
    /// it may have.
    pub(crate) fn check_route_quota(
        &self,
        table: &RouteTable,
        wanted: &RouteDestination,
    ) -> Result<(), Ec2Error> {
        let (family, weight) = self.weight_of(wanted);
        let held = table.routes.iter();
        let weights = held.map(|route| self.weight_of(&route.destination));
        let alike = weights.filter(|(each, _)| *each == family);
        let count: usize = alike.map(|(_, weight)| weight).sum();
        if count.saturating_add(weight) <= self.config.limits.routes_per_table {
            return Ok(());
        }
        let text = "The maximum number of routes has been reached.";
        Err(Ec2Error::new(ErrorCode::RouteLimitExceeded, text))
    }

    fn weight_of(&self, destination: &RouteDestination) -> (Option<AddressFamily>, usize) {
        match destination {
            RouteDestination::Cidr(IpNet::V4(_)) => (Some(AddressFamily::Ipv4), 1),
            RouteDestination::Cidr(IpNet::V6(_)) => (Some(AddressFamily::Ipv6), 1),
            RouteDestination::PrefixList(id) => match self.prefix_lists.get(id) {
                Some(list) => {
                    let weight = usize::try_from(list.max_entries).unwrap_or(usize::MAX);
                    (Some(list.family), weight)
                }
                None => (None, 0),
            },
        }
    }
}

fn is_reserved(block: IpNet) -> bool {
    match block {
        IpNet::V4(block) => RESERVED_V4.contains(&block),
        IpNet::V6(block) => RESERVED_V6.contains(&block),
    }
}

fn find<'a>(table: &'a RouteTable, destination: &RouteDestination) -> Option<&'a Route> {
    let mut routes = table.routes.iter();
    routes.find(|route| &route.destination == destination)
}

fn require_route(table: &RouteTable, destination: &RouteDestination) -> Result<(), Ec2Error> {
    if find(table, destination).is_some() {
        return Ok(());
    }
    let text = format!(
        "no route with destination-cidr-block {destination} in route table {}",
        table.id
    );
    Err(Ec2Error::new(ErrorCode::InvalidRouteNotFound, text))
}

fn invalid(text: String) -> Result<(), Ec2Error> {
    Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
}
