//! Where route tables lead a packet.

use std::net::IpAddr;

use underlay_types::{SubnetId, VpcId};

use super::{DropReason, Packet};
use crate::{
    Connectivity, Eni, InterfaceType, Model, NatGateway, Route, RouteDestination, RouteState,
    RouteTarget,
};

/// Bytes of a packet within a VPC and over peering at most,
const MTU_INSIDE: u32 = 9_001;
/// and by way of an internet gateway (EC2 User Guide, "Network MTU").
const MTU_INTERNET: u32 = 1_500;

/// The way from an interface.
pub(super) struct Way<'a> {
    /// To whom, or why to nobody.
    pub(super) hop: Result<Hop<'a>, DropReason>,
    /// The VPC whose interfaces references to groups mean; see [`Question`](super::groups::Question).
    pub(super) remote_vpc: Option<&'a VpcId>,
}

/// Whom a route leads to.
#[derive(Clone, Copy)]
pub(super) enum Hop<'a> {
    /// The internet, for flows that begin inside.
    EgressOnly,
    /// The internet.
    Internet,
    /// The interface that has the address.
    Mapped(&'a Eni),
    /// This interface, whatever its addresses.
    Middlebox(&'a Eni),
    /// A NAT gateway, to be translated at its interface.
    Nat(&'a NatGateway, &'a Eni),
}

impl<'a> Hop<'a> {
    /// The interface at the end of the way; `None` outside the VPC.
    pub(super) const fn eni(self) -> Option<&'a Eni> {
        match self {
            Self::EgressOnly | Self::Internet => None,
            Self::Mapped(eni) | Self::Middlebox(eni) | Self::Nat(_, eni) => Some(eni),
        }
    }

    /// Whether every flow that goes this way is tracked (EC2 User Guide, "Automatically tracked
    /// connections").
    pub(super) const fn is_tracked(self) -> bool {
        matches!(self, Self::EgressOnly | Self::Nat(..))
    }
}

impl Model {
    /// The most bytes that a packet of `subnet` to `destination` may have. Larger ones are
    /// answered by the subnet's router: ICMP 3/4 where they may not be fragmented, ICMPv6 2/0.
    pub(super) fn path_mtu(&self, subnet: &SubnetId, destination: IpAddr) -> u32 {
        let Some(route) = self.best_route(subnet, destination) else {
            return MTU_INSIDE;
        };
        let is_public = |gateway: &NatGateway| gateway.connectivity == Connectivity::Public;
        match &route.target {
            RouteTarget::EgressOnlyInternetGateway(_) | RouteTarget::InternetGateway(_) => {
                MTU_INTERNET
            }
            RouteTarget::NatGateway(id) if self.nat_gateway(id).is_some_and(is_public) => {
                MTU_INTERNET
            }
            RouteTarget::Eni(_)
            | RouteTarget::Local
            | RouteTarget::NatGateway(_)
            | RouteTarget::Peering(_) => MTU_INSIDE,
        }
    }

    /// The route of a subnet's table with the longest prefix; a block before a list of equal
    /// length.
    pub(super) fn best_route(&self, subnet: &SubnetId, destination: IpAddr) -> Option<&Route> {
        let table = self.route_table_of(subnet)?;
        let length = |route: &Route| {
            let own = matches!(route.destination, RouteDestination::Cidr(_));
            let blocks = self.blocks_of(&route.destination).into_iter();
            let matching = blocks.filter(|block| block.contains(&destination));
            matching.map(|block| (block.prefix_len(), own)).max()
        };
        let routes = table.routes.iter();
        let matching = routes.filter_map(|route| Some((length(route)?, route)));
        matching
            .max_by_key(|(length, _)| *length)
            .map(|(_, route)| route)
    }

    /// Where a packet that leaves `from` goes.
    pub(super) fn way<'a>(&'a self, from: &'a Eni, packet: &Packet) -> Way<'a> {
        let to_nobody = |reason| Way {
            hop: Err(reason),
            remote_vpc: Some(&from.vpc),
        };
        let Some(route) = self.best_route(&from.subnet, packet.destination) else {
            return to_nobody(DropReason::NoRoute);
        };
        if self.route_state(route) == RouteState::Blackhole {
            return to_nobody(DropReason::Blackhole);
        }
        let mut remote_vpc = Some(&from.vpc);
        let hop = match &route.target {
            RouteTarget::EgressOnlyInternetGateway(_) => Ok(Hop::EgressOnly),
            RouteTarget::Eni(id) => {
                let eni = self.eni(id).ok_or(DropReason::Blackhole);
                // Behind a middlebox nobody is known by its groups (VPC User Guide, "Security
                // group rules", on middlebox appliances).
                remote_vpc = remote_vpc
                    .filter(|_| eni.as_ref().is_ok_and(|eni| owns(eni, packet.destination)));
                eni.map(Hop::Middlebox)
            }
            RouteTarget::InternetGateway(_) => Ok(Hop::Internet),
            RouteTarget::Local => self.mapped(&from.vpc, packet.destination).map(Hop::Mapped),
            RouteTarget::NatGateway(id) => self.available_nat(id),
            RouteTarget::Peering(id) => {
                let peering = self.peering(id);
                match peering.and_then(|peering| peering.peer_of(&from.vpc)) {
                    Some(peer) => {
                        remote_vpc = Some(peer);
                        self.by_peering((&from.vpc, peer), packet)
                    }
                    None => Err(DropReason::Blackhole),
                }
            }
        };
        Way { hop, remote_vpc }
    }

    fn available_nat(&self, id: &underlay_types::NatGatewayId) -> Result<Hop<'_>, DropReason> {
        let gateway = self.nat_gateway(id).filter(|each| each.is_available());
        let gateway = gateway.ok_or(DropReason::Blackhole)?;
        let own = gateway.eni().and_then(|eni| self.eni(eni));
        Ok(Hop::Nat(gateway, own.ok_or(DropReason::Blackhole)?))
    }

    /// From one of this VPC to one of the other: neither for the peer's gateways and its own
    /// peers, nor from those of this VPC.
    fn by_peering(
        &self,
        (own, peer): (&VpcId, &VpcId),
        packet: &Packet,
    ) -> Result<Hop<'_>, DropReason> {
        self.mapped(own, packet.source)?;
        let receiver = self.mapped(peer, packet.destination)?;
        if receiver.interface_type == InterfaceType::NatGateway {
            return Err(DropReason::UnknownAddress);
        }
        Ok(Hop::Mapped(receiver))
    }

    pub(super) fn mapped(&self, vpc: &VpcId, destination: IpAddr) -> Result<&Eni, DropReason> {
        self.eni_by_address(vpc, destination)
            .filter(|eni| self.is_live(eni))
            .ok_or(DropReason::UnknownAddress)
    }
}

/// Whether an address is an interface's own.
pub(super) fn owns(eni: &Eni, address: IpAddr) -> bool {
    eni.addresses.contains(address)
}
