//! The blocks of VPCs beyond the first one.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{RouteTableId, Timestamp, VpcCidrAssociationId, VpcId};

use super::{lifecycle::Timer, vpcs::check_block};
use crate::{
    Change, CidrState, Ec2Error, ErrorCode, Model, Route, RouteDestination, RouteTarget, Vpc,
    VpcCidrAssociation, VpcIpv6CidrAssociation, cidr_rules::check_beside,
};

/// Where the blocks that Amazon provides are taken from.
const AMAZON_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2600, 0x1f18, 0, 0, 0, 0, 0, 0), 33);

impl Model {
    /// AssociateVpcCidrBlock with an IPv4 block, which gets a `local` route in every table.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidVpc.Range` unless the block is a /16 to /28 that may stand
    /// beside those of the VPC and its peers and is neither the same as nor wider than a route's
    /// destination; `OperationNotPermitted` while the VPC asks another one to be its peer;
    /// `CidrLimitExceeded`; `RouteLimitExceeded`.
    pub fn associate_vpc_cidr(
        &mut self,
        id: &VpcId,
        cidr: Ipv4Net,
        now: Timestamp,
    ) -> Result<VpcCidrAssociationId, Ec2Error> {
        let vpc = self.require_vpc(id)?;
        check_block(cidr)?;
        let cidr = cidr.trunc();
        let held: Vec<_> = vpc.cidrs.iter().map(|block| block.cidr).collect();
        check_beside(&held, cidr)?;
        check_quota(vpc, held.len(), self.config.limits.v4_cidrs_per_vpc)?;
        self.check_routes_beside(id, cidr.into())?;
        self.check_peers_beside(id, cidr.into())?;
        let place = vpc.blocks().count();
        let association = VpcCidrAssociationId::from_serial(self.rng.next());
        let entry = VpcCidrAssociation {
            id: association.clone(),
            cidr,
            state: CidrState::Associating,
        };
        if let Some(vpc) = self.vpcs.get_mut(id) {
            vpc.cidrs.push(entry);
        }
        self.add_local_routes(id, place, cidr.into());
        self.fail_requests_beside(id, cidr.into(), now);
        self.begin_vpc_cidr_state(id, &association, CidrState::Associating, now);
        Ok(association)
    }

    /// AssociateVpcCidrBlock with an IPv6 block that Amazon provides.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `CidrLimitExceeded`.
    pub fn associate_vpc_v6(
        &mut self,
        id: &VpcId,
        now: Timestamp,
    ) -> Result<VpcCidrAssociationId, Ec2Error> {
        let vpc = self.require_vpc(id)?;
        check_quota(vpc, vpc.v6_cidrs.len(), self.config.limits.v6_cidrs_per_vpc)?;
        let place = vpc.blocks().count();
        let is_first = vpc.v6_blocks().next().is_none();
        self.check_local_quota(id, Ipv6Net::default().into())?;
        let cidr = self.draw_v6_block();
        let association = VpcCidrAssociationId::from_serial(self.rng.next());
        let entry = VpcIpv6CidrAssociation {
            id: association.clone(),
            cidr,
            state: CidrState::Associating,
        };
        if let Some(vpc) = self.vpcs.get_mut(id) {
            vpc.v6_cidrs.push(entry);
        }
        self.add_local_routes(id, place, cidr.into());
        self.open_network_acls_to_v6(id);
        if is_first {
            self.open_groups_to_v6(id);
        }
        self.begin_vpc_cidr_state(id, &association, CidrState::Associating, now);
        Ok(association)
    }

    /// DisassociateVpcCidrBlock: the VPC, and the block.
    ///
    /// # Errors
    /// `InvalidVpcCidrBlockAssociationID.NotFound`; `OperationNotPermitted` for the primary block;
    /// `InvalidCidrBlock.InUse` while a subnet lies in it.
    pub fn disassociate_vpc_cidr(
        &mut self,
        association: &VpcCidrAssociationId,
        now: Timestamp,
    ) -> Result<(VpcId, IpNet), Ec2Error> {
        let held = |vpc: &'_ Vpc| {
            let v4 = vpc.cidrs.iter();
            let v4 = v4.map(|each| (&each.id, each.state, each.cidr.into()));
            let v6 = vpc.v6_cidrs.iter();
            let v6 = v6.map(|each| (&each.id, each.state, each.cidr.into()));
            let named = |(id, state, _): &(_, CidrState, _)| *id == association && state.is_live();
            let (_, _, block) = v4.chain(v6).find(named)?;
            Some((vpc.id.clone(), block))
        };
        let (id, block) = self.vpcs.values().find_map(held).ok_or_else(|| {
            let text = format!("The vpc CIDR block association ID '{association}' does not exist");
            Ec2Error::new(ErrorCode::InvalidVpcCidrBlockAssociationIdNotFound, text)
        })?;
        let vpc = self.require_vpc(&id)?;
        if vpc
            .cidrs
            .first()
            .is_some_and(|first| &first.id == association)
        {
            let text = format!(
                "The vpc CIDR block with association ID {association} may not be disassociated. It \
                 is the primary IPv4 CIDR block of the VPC"
            );
            return Err(Ec2Error::new(ErrorCode::OperationNotPermitted, text));
        }
        self.check_no_subnet_in(&id, block)?;
        self.remove_local_routes(&id, &block.into());
        self.begin_vpc_cidr_state(&id, association, CidrState::Disassociating, now);
        Ok((id, block))
    }

    /// A block is not taken while a route leads to it, or to a part of it.
    fn check_routes_beside(&self, vpc: &VpcId, cidr: IpNet) -> Result<(), Ec2Error> {
        for table in self.route_tables.values().filter(|each| &each.vpc == vpc) {
            if let Some(route) = table.routes.iter().find(|route| {
                route
                    .destination
                    .cidr()
                    .is_some_and(|block| cidr.contains(&block))
            }) {
                let text = format!(
                    "The CIDR '{cidr}' is the same as or larger than the destination '{}' of a \
                     route in route table '{}'.",
                    route.destination, table.id
                );
                return Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text));
            }
        }
        self.check_local_quota(vpc, cidr)
    }

    /// Whether every table of the VPC has room for another `local` route.
    fn check_local_quota(&self, vpc: &VpcId, cidr: IpNet) -> Result<(), Ec2Error> {
        let mut tables = self.route_tables.values().filter(|each| &each.vpc == vpc);
        tables.try_for_each(|table| self.check_route_quota(table, &cidr.into()))
    }

    fn check_no_subnet_in(&self, vpc: &VpcId, block: IpNet) -> Result<(), Ec2Error> {
        let mut subnets = self.subnets.values().filter(|each| &each.vpc == vpc);
        let in_use = subnets.any(|subnet| {
            let v6 = subnet.v6.as_ref().map(|held| IpNet::V6(held.cidr));
            let blocks = std::iter::once(IpNet::V4(subnet.cidr)).chain(v6);
            blocks.into_iter().any(|each| block.contains(&each))
        });
        if !in_use {
            return Ok(());
        }
        let text = format!("The vpc {vpc} currently has a subnet within CIDR block {block}");
        Err(Ec2Error::new(ErrorCode::InvalidCidrBlockInUse, text))
    }

    /// A /56 that no VPC has. EC2 chooses as it likes; the caller has no say.
    fn draw_v6_block(&mut self) -> Ipv6Net {
        loop {
            let number = u128::from(self.rng.below(1 << (56 - AMAZON_V6.prefix_len())));
            let address = AMAZON_V6.network().to_bits() | number << (128 - 56);
            let block = Ipv6Net::new_assert(Ipv6Addr::from_bits(address), 56);
            let mut all = self.vpcs.values().flat_map(|vpc| &vpc.v6_cidrs);
            if !all.any(|each| each.cidr == block) {
                return block;
            }
        }
    }

    /// Puts a `local` route after those that every table of the VPC has.
    fn add_local_routes(&mut self, vpc: &VpcId, place: usize, block: IpNet) {
        for id in self.route_tables_of(vpc) {
            let route = Route {
                destination: block.into(),
                target: RouteTarget::Local,
            };
            self.change_route_table(&id, |table| {
                table.routes.insert(place.min(table.routes.len()), route);
            });
        }
    }

    fn remove_local_routes(&mut self, vpc: &VpcId, destination: &RouteDestination) {
        for id in self.route_tables_of(vpc) {
            self.change_route_table(&id, |table| {
                table
                    .routes
                    .retain(|route| &route.destination != destination);
            });
        }
    }

    fn route_tables_of(&self, vpc: &VpcId) -> Vec<RouteTableId> {
        let tables = self.route_tables.values();
        let of_vpc = tables.filter(|table| &table.vpc == vpc);
        of_vpc.map(|table| table.id.clone()).collect()
    }

    fn begin_vpc_cidr_state(
        &mut self,
        vpc: &VpcId,
        association: &VpcCidrAssociationId,
        state: CidrState,
        now: Timestamp,
    ) {
        if let Some(held) = self.vpc_cidr_state(vpc, association) {
            *held = state;
        }
        self.changes.push(Change::VpcChanged(vpc.clone()));
        let delay = self.draw_delay(self.config.timings.cidr);
        let timer = Timer::VpcCidr(vpc.clone(), association.clone(), state);
        self.schedule(now, delay, timer);
    }

    pub(crate) fn end_vpc_cidr_state(
        &mut self,
        vpc: &VpcId,
        association: &VpcCidrAssociationId,
        from: CidrState,
    ) {
        match self.vpc_cidr_state(vpc, association) {
            Some(held) if *held == from => *held = CidrState::Associated,
            _ => return,
        }
        if from == CidrState::Disassociating
            && let Some(vpc) = self.vpcs.get_mut(vpc)
        {
            vpc.cidrs.retain(|each| &each.id != association);
            vpc.v6_cidrs.retain(|each| &each.id != association);
        }
        self.changes.push(Change::VpcChanged(vpc.clone()));
    }

    fn vpc_cidr_state(
        &mut self,
        vpc: &VpcId,
        association: &VpcCidrAssociationId,
    ) -> Option<&mut CidrState> {
        let vpc = self.vpcs.get_mut(vpc)?;
        let v4 = vpc.cidrs.iter_mut();
        let v6 = vpc.v6_cidrs.iter_mut();
        let mut all = v4
            .map(|each| (&each.id, &mut each.state))
            .chain(v6.map(|each| (&each.id, &mut each.state)));
        all.find(|(id, _)| *id == association)
            .map(|(_, state)| state)
    }
}

fn check_quota(vpc: &Vpc, count: usize, limit: usize) -> Result<(), Ec2Error> {
    if count < limit {
        return Ok(());
    }
    let text = format!(
        "This network '{}' has met its maximum number of allowed CIDRs: {limit}",
        vpc.id
    );
    Err(Ec2Error::new(ErrorCode::CidrLimitExceeded, text))
}
