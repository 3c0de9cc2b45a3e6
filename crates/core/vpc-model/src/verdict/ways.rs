//! Where route tables and gateways lead a packet, out of the VPC and back into it.

use std::net::IpAddr;

use underlay_types::{NatGatewayId, SubnetId, Timestamp, VpcId};

use super::{DropReason, Packet, Tracker};
use crate::{
    Eni, InterfaceType, Model, NatGateway, Route, RouteDestination, RouteState, RouteTarget,
};

/// Bytes of a packet within a VPC and over peering at most,
const MTU_INSIDE: u32 = 9_001;
/// and by way of an internet gateway (EC2 User Guide, "Network MTU").
const MTU_INTERNET: u32 = 1_500;

/// Where a packet comes out, as which packet.
pub(super) enum Way<'a> {
    /// At this interface.
    To(&'a Eni, Packet),
    /// Outside.
    Out(Packet),
}

impl Model {
    /// The most bytes that a packet of `subnet` to `destination` may have. Larger ones are
    /// answered by the subnet's router: ICMP 3/4 where they may not be fragmented, ICMPv6 2/0.
    #[must_use]
    pub fn path_mtu(&self, subnet: &SubnetId, destination: IpAddr) -> u32 {
        let Some(route) = self.best_route(subnet, destination) else {
            return MTU_INSIDE;
        };
        match &route.target {
            RouteTarget::EgressOnlyInternetGateway(_) | RouteTarget::InternetGateway(_) => {
                MTU_INTERNET
            }
            // The gateway's own way out decides; what is too big for it is answered by it.
            RouteTarget::NatGateway(id) => match self.nat_gateway(id) {
                Some(gateway) => self.mtu_behind(gateway, destination),
                None => MTU_INSIDE,
            },
            RouteTarget::Eni(_) | RouteTarget::Local | RouteTarget::Peering(_) => MTU_INSIDE,
        }
    }

    fn mtu_behind(&self, gateway: &NatGateway, destination: IpAddr) -> u32 {
        let route = self.best_route(&gateway.subnet, destination);
        match route.map(|route| &route.target) {
            Some(RouteTarget::InternetGateway(_)) => MTU_INTERNET,
            _ => MTU_INSIDE,
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

    /// Where a packet that `sender` may send comes out.
    pub(super) fn way(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        sender: &Eni,
        packet: &Packet,
    ) -> Result<Way<'_>, DropReason> {
        let route = self.best_route(&sender.subnet, packet.destination);
        let route = route.ok_or(DropReason::NoRoute)?;
        if self.route_state(route) == RouteState::Blackhole {
            return Err(DropReason::Blackhole);
        }
        let from = Some(&sender.subnet);
        match &route.target {
            RouteTarget::Local => {
                let receiver = self.mapped(&sender.vpc, packet.destination)?;
                self.cross(from, Some(&receiver.subnet), packet)?;
                self.answered_by_nat(tracker, now, receiver, packet)
            }
            RouteTarget::Eni(id) => {
                let receiver = self.eni(id).ok_or(DropReason::Blackhole)?;
                self.cross(from, Some(&receiver.subnet), packet)?;
                Ok(Way::To(receiver, *packet))
            }
            RouteTarget::Peering(id) => {
                let peering = self.peering(id).ok_or(DropReason::Blackhole)?;
                let peer = peering.peer_of(&sender.vpc).ok_or(DropReason::Blackhole)?;
                let receiver = self.mapped(peer, packet.destination)?;
                // Nothing beyond the peer: neither its gateways nor its own peers.
                if receiver.interface_type == InterfaceType::NatGateway {
                    return Err(DropReason::UnknownAddress);
                }
                self.cross(from, Some(&receiver.subnet), packet)?;
                Ok(Way::To(receiver, *packet))
            }
            RouteTarget::InternetGateway(_) => {
                self.cross(from, None, packet)?;
                self.out_by_internet_gateway(tracker, now, sender, packet)
            }
            RouteTarget::EgressOnlyInternetGateway(_) => {
                self.cross(from, None, packet)?;
                tracker.edge.note_out(&sender.vpc, packet, now);
                Ok(Way::Out(*packet))
            }
            RouteTarget::NatGateway(id) => self.by_nat(tracker, now, (sender, id), packet),
        }
    }

    /// Where a packet from outside comes out.
    pub(super) fn way_in(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        packet: &Packet,
    ) -> Result<Way<'_>, DropReason> {
        let mut inner = *packet;
        let receiver = match packet.destination {
            IpAddr::V4(public) => {
                let held = self.holder_of_public(public);
                let (receiver, private) = held.ok_or(DropReason::UnknownAddress)?;
                inner.destination = private.into();
                receiver
            }
            IpAddr::V6(address) => {
                let has = |eni: &&Eni| eni.addresses.contains(address);
                self.enis().find(has).ok_or(DropReason::UnknownAddress)?
            }
        };
        self.check_way_in(tracker, now, receiver, packet)?;
        self.cross(None, Some(&receiver.subnet), &inner)?;
        self.answered_by_nat(tracker, now, receiver, &inner)
    }

    /// IPv4 comes in by the VPC's internet gateway, IPv6 by the gateway that answers leave by.
    fn check_way_in(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        receiver: &Eni,
        packet: &Packet,
    ) -> Result<(), DropReason> {
        let back = self.best_route(&receiver.subnet, packet.source);
        let egress_only = matches!(
            back.map(|route| &route.target),
            Some(RouteTarget::EgressOnlyInternetGateway(_))
        );
        if packet.destination.is_ipv6() && egress_only {
            return if tracker.edge.is_answer(&receiver.vpc, packet, now) {
                Ok(())
            } else {
                Err(DropReason::NotAsked)
            };
        }
        let gateway = self.internet_gateway_of(&receiver.vpc);
        gateway.map(drop).ok_or(DropReason::UnknownAddress)
    }

    fn out_by_internet_gateway(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        sender: &Eni,
        packet: &Packet,
    ) -> Result<Way<'_>, DropReason> {
        let mut sent = *packet;
        if let IpAddr::V4(private) = packet.source {
            let public = self.public_address_of(&sender.id, private);
            let public = public.ok_or(DropReason::NoPublicAddress)?;
            sent.source = public.address.into();
        }
        let inside = match sent.destination {
            IpAddr::V4(public) => self.holder_of_public(public).is_some(),
            IpAddr::V6(address) => self.enis().any(|eni| eni.addresses.contains(address)),
        };
        if inside {
            self.way_in(tracker, now, &sent)
        } else {
            Ok(Way::Out(sent))
        }
    }

    /// By a NAT gateway, and on by its subnet's route table.
    fn by_nat(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        (sender, id): (&Eni, &NatGatewayId),
        packet: &Packet,
    ) -> Result<Way<'_>, DropReason> {
        let gateway = self.nat_gateway(id).filter(|each| each.is_available());
        let gateway = gateway.ok_or(DropReason::Blackhole)?;
        let own = gateway.eni().and_then(|eni| self.eni(eni));
        let own = own.ok_or(DropReason::Blackhole)?;
        self.cross(Some(&sender.subnet), Some(&own.subnet), packet)?;
        let sent = tracker
            .edge
            .translate_out(id, own.addresses.primary, packet, now)
            .ok_or(DropReason::NotTranslated)?;
        let route = self.best_route(&own.subnet, packet.destination);
        let route = route.ok_or(DropReason::NoRoute)?;
        if self.route_state(route) == RouteState::Blackhole {
            return Err(DropReason::Blackhole);
        }
        let from = Some(&own.subnet);
        match &route.target {
            RouteTarget::InternetGateway(_) => {
                self.cross(from, None, &sent)?;
                self.out_by_internet_gateway(tracker, now, own, &sent)
            }
            RouteTarget::Local => {
                let receiver = self.mapped(&own.vpc, sent.destination)?;
                self.cross(from, Some(&receiver.subnet), &sent)?;
                Ok(Way::To(receiver, sent))
            }
            RouteTarget::Eni(id) => {
                let receiver = self.eni(id).ok_or(DropReason::Blackhole)?;
                self.cross(from, Some(&receiver.subnet), &sent)?;
                Ok(Way::To(receiver, sent))
            }
            // No gateway behind a gateway, and none over peering.
            RouteTarget::EgressOnlyInternetGateway(_)
            | RouteTarget::NatGateway(_)
            | RouteTarget::Peering(_) => Err(DropReason::NoRoute),
        }
    }

    /// At a NAT gateway's interface the packet is an answer, or nobody's.
    fn answered_by_nat<'a>(
        &'a self,
        tracker: &mut Tracker,
        now: Timestamp,
        receiver: &'a Eni,
        packet: &Packet,
    ) -> Result<Way<'a>, DropReason> {
        if receiver.interface_type != InterfaceType::NatGateway {
            return Ok(Way::To(receiver, *packet));
        }
        let mut gateways = self.nat_gateways();
        let gateway = gateways
            .find(|each| each.eni() == Some(&receiver.id))
            .ok_or(DropReason::UnknownAddress)?;
        let back = tracker.edge.translate_back(&gateway.id, packet, now);
        let back = back.ok_or(DropReason::NotAsked)?;
        let inner = self.mapped(&receiver.vpc, back.destination)?;
        self.cross(Some(&receiver.subnet), Some(&inner.subnet), &back)?;
        Ok(Way::To(inner, back))
    }

    fn mapped(&self, vpc: &VpcId, destination: IpAddr) -> Result<&Eni, DropReason> {
        self.eni_by_address(vpc, destination)
            .filter(|eni| self.is_live(eni))
            .ok_or(DropReason::UnknownAddress)
    }
}
