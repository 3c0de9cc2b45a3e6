//! A packet on its way, from edge to edge: out of one interface, through gateways, into another.

use std::net::IpAddr;

use underlay_types::Timestamp;

use super::{
    DropReason, Packet, Quoted, Segment, Tracker, Transport, Verdict,
    edge::Onward,
    groups::Question,
    tracker::Passage,
    ways::{Hop, Way, owns},
};
use crate::{AclDirection, Eni, InterfaceType, Model, NatGateway, RouteTarget, RuleDirection};

/// The way of one packet.
pub(super) struct Journey<'a> {
    model: &'a Model,
    tracker: &'a mut Tracker,
    now: Timestamp,
    /// The packet as it was sent.
    sent: &'a Packet,
}

impl<'a> Journey<'a> {
    pub(super) const fn new(
        model: &'a Model,
        tracker: &'a mut Tracker,
        now: Timestamp,
        sent: &'a Packet,
    ) -> Self {
        Self {
            model,
            tracker,
            now,
            sent,
        }
    }

    /// From an interface that may send it.
    pub(super) fn begin_at(mut self, sender: &'a Eni) -> Result<Verdict, DropReason> {
        let way = self.model.way(sender, self.sent);
        let egress = Question {
            model: self.model,
            eni: sender,
            direction: RuleDirection::Egress,
            packet: self.sent,
            remote_vpc: way.remote_vpc,
            automatic: way.hop.as_ref().is_ok_and(|hop| hop.is_tracked()),
        };
        match self.tracker.judge(self.now, &egress) {
            Passage::Full => return Err(DropReason::TrackingFull(sender.id.clone())),
            Passage::Refused => return Err(DropReason::EgressGroups),
            Passage::Passes => {}
        }
        let sent = *self.sent;
        self.leave(sender, way, sent)
    }

    /// From the internet: IPv4 comes in by the VPC's internet gateway, IPv6 by the gateway that
    /// answers leave by.
    pub(super) fn begin_outside(mut self) -> Result<Verdict, DropReason> {
        let sent = *self.sent;
        self.enter(sent)
    }

    /// Out of the subnet of `from`, whose groups or which as a gateway lets it.
    fn leave(
        &mut self,
        from: &'a Eni,
        way: Way<'a>,
        packet: Packet,
    ) -> Result<Verdict, DropReason> {
        let to = way.hop.as_ref().ok().and_then(|hop| hop.eni());
        let crosses = to.is_none_or(|to| to.subnet != from.subnet);
        if crosses {
            self.model
                .pass(&from.subnet, AclDirection::Egress, &packet)?;
        }
        let hop = way.hop?;
        self.fit(from, &packet)?;
        match hop {
            Hop::EgressOnly => {
                self.tracker.edge.note_out(&from.vpc, &packet, self.now);
                self.leave_by_internet(from, packet)
            }
            Hop::Internet => self.leave_by_internet(from, packet),
            Hop::Nat(gateway, own) => self.translate_at((gateway, own), packet, crosses),
            Hop::Mapped(to) if to.interface_type == InterfaceType::NatGateway => {
                self.back_through_nat(to, packet, crosses)
            }
            Hop::Mapped(to) => self.arrive(to, packet, crosses, Some(from)),
            Hop::Middlebox(to) => {
                if to.source_dest_check && !owns(to, packet.destination) {
                    return Err(DropReason::DestinationCheck);
                }
                self.arrive(to, packet, crosses, Some(from))
            }
        }
    }

    fn fit(&self, from: &Eni, packet: &Packet) -> Result<(), DropReason> {
        let mtu = self.model.path_mtu(&from.subnet, packet.destination);
        let whole = packet.dont_fragment || packet.source.is_ipv6();
        if !whole || u32::from(packet.length) <= mtu {
            return Ok(());
        }
        let told =
            from.interface_type != InterfaceType::NatGateway && self.may_be_told(from, packet);
        Err(DropReason::TooBig { mtu, told })
    }

    /// Whether the router's message about a packet reaches its sender: as ICMP that the subnet's
    /// ACL lets in, and that is about a tracked flow or allowed by rule.
    fn may_be_told(&self, sender: &Eni, about: &Packet) -> bool {
        let Some(subnet) = self.model.subnet(&sender.subnet) else {
            return false;
        };
        let (router, kind, code) = match about.source {
            IpAddr::V4(_) => (Some(IpAddr::from(subnet.router())), 3, 4),
            IpAddr::V6(_) => (subnet.router_v6().map(IpAddr::from), 2, 0),
        };
        let Some(router) = router else { return false };
        let about = Quoted {
            source: about.source,
            destination: about.destination,
            transport: about.transport.as_quoted(),
        };
        let transport = Transport::IcmpError { kind, code, about };
        let message = Packet::new(router, about.source, transport);
        let ingress = self.ingress(sender, &message, None);
        let passes = self
            .model
            .pass(&sender.subnet, AclDirection::Ingress, &message);
        passes.is_ok() && self.tracker.lets(self.now, &ingress)
    }

    fn ingress<'b>(&self, eni: &'b Eni, packet: &'b Packet, from: Option<&'b Eni>) -> Question<'b>
    where
        'a: 'b,
    {
        // Who sends for others is a middlebox.
        let from = from.filter(|from| owns(from, packet.source));
        Question {
            model: self.model,
            eni,
            direction: RuleDirection::Ingress,
            packet,
            remote_vpc: from.map(|from| &from.vpc),
            automatic: false,
        }
    }

    /// Into an interface; `from` is the one that sent it, `None` outside.
    fn arrive(
        &mut self,
        to: &Eni,
        packet: Packet,
        crosses: bool,
        from: Option<&Eni>,
    ) -> Result<Verdict, DropReason> {
        if crosses {
            self.model
                .pass(&to.subnet, AclDirection::Ingress, &packet)?;
        }
        let id = to.id.clone();
        let ingress = self.ingress(to, &packet, from);
        match self.tracker.judge(self.now, &ingress) {
            Passage::Full => Err(DropReason::TrackingFull(id)),
            Passage::Refused => Err(DropReason::IngressGroups(id)),
            Passage::Passes if &packet == self.sent => Ok(Verdict::Delivered(id)),
            Passage::Passes => Ok(Verdict::Translated(id, packet)),
        }
    }

    /// By an internet gateway, which gives an IPv4 packet its public source; to somebody of this
    /// Region it comes back in at once.
    fn leave_by_internet(&mut self, from: &Eni, mut packet: Packet) -> Result<Verdict, DropReason> {
        match packet.source {
            IpAddr::V4(private) => {
                let mut held = self.model.public_addresses();
                let held = held.find(|(_, eni, own)| eni.vpc == from.vpc && *own == private);
                let (public, ..) = held.ok_or(DropReason::NoPublicAddress)?;
                packet.set_source((public.into(), None));
            }
            IpAddr::V6(_) => {
                // Public as it is, but only the VPC's own comes back to it.
                if self.model.mapped(&from.vpc, packet.source).is_err() {
                    return Err(DropReason::NoPublicAddress);
                }
            }
        }
        if self.is_of_region(packet.destination) {
            self.enter(packet)
        } else {
            Ok(Verdict::Left(packet))
        }
    }

    fn is_of_region(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(public) => self.holder(public).is_some(),
            IpAddr::V6(address) => {
                let mut vpcs = self.model.vpcs();
                vpcs.any(|vpc| {
                    let out = self.model.internet_gateway_of(&vpc.id).is_some();
                    let mut only = self.model.egress_only_gateways();
                    vpc.contains(address) && (out || only.any(|each| each.vpc == vpc.id))
                })
            }
        }
    }

    /// Whose a public address is, and what it stands for.
    fn holder(&self, public: std::net::Ipv4Addr) -> Option<(&'a Eni, std::net::Ipv4Addr)> {
        let held = self.model.holder_of_public(public);
        held.filter(|(eni, _)| self.model.internet_gateway_of(&eni.vpc).is_some())
    }

    fn enter(&mut self, mut packet: Packet) -> Result<Verdict, DropReason> {
        let asked = packet;
        let to = match packet.destination {
            IpAddr::V4(public) => {
                let (eni, private) = self.holder(public).ok_or(DropReason::UnknownAddress)?;
                packet.set_destination((private.into(), None));
                eni
            }
            IpAddr::V6(address) => {
                let mut all = self.model.enis();
                all.find(|eni| eni.addresses.contains(address))
                    .ok_or(DropReason::UnknownAddress)?
            }
        };
        if !self.model.is_live(to) {
            return Err(DropReason::UnknownAddress);
        }
        self.check_way_in(to, &asked)?;
        if to.interface_type == InterfaceType::NatGateway {
            return self.back_through_nat(to, packet, true);
        }
        self.arrive(to, packet, true, None)
    }

    fn check_way_in(&mut self, to: &Eni, packet: &Packet) -> Result<(), DropReason> {
        let back = self.model.best_route(&to.subnet, packet.source);
        let egress_only = matches!(
            back.map(|route| &route.target),
            Some(RouteTarget::EgressOnlyInternetGateway(_))
        );
        if packet.destination.is_ipv6() && egress_only {
            let asked = self.tracker.edge.is_answer(&to.vpc, packet, self.now);
            return asked.then_some(()).ok_or(DropReason::NotAsked);
        }
        let gateway = self.model.internet_gateway_of(&to.vpc);
        gateway.map(drop).ok_or(DropReason::UnknownAddress)
    }

    /// At a NAT gateway's interface, to be translated.
    fn translate_at(
        &mut self,
        (gateway, own): (&'a NatGateway, &'a Eni),
        packet: Packet,
        crosses: bool,
    ) -> Result<Verdict, DropReason> {
        if crosses {
            self.model
                .pass(&own.subnet, AclDirection::Ingress, &packet)?;
        }
        let address = own.addresses.primary;
        let edge = &mut self.tracker.edge;
        match edge.translate_out(&gateway.id, address, &packet, self.now) {
            Onward::Packet(sent) => self.leave_nat(own, sent),
            Onward::Nothing => Err(DropReason::NotTranslated),
            Onward::Unknown => match reset_of(&packet) {
                Some(reset) => {
                    let fate = self.leave_nat(own, reset);
                    let fate = fate.unwrap_or_else(Verdict::Dropped);
                    Ok(Verdict::Reset(Box::new(fate)))
                }
                None => Err(DropReason::NotAsked),
            },
        }
    }

    /// At a NAT gateway's interface: an answer, or nobody's.
    fn back_through_nat(
        &mut self,
        own: &'a Eni,
        packet: Packet,
        crosses: bool,
    ) -> Result<Verdict, DropReason> {
        if crosses {
            self.model
                .pass(&own.subnet, AclDirection::Ingress, &packet)?;
        }
        let mut gateways = self.model.nat_gateways();
        let gateway = gateways
            .find(|each| each.eni() == Some(&own.id))
            .ok_or(DropReason::UnknownAddress)?;
        let edge = &mut self.tracker.edge;
        match edge.translate_back(&gateway.id, &packet, self.now) {
            Onward::Packet(back) => self.leave_nat(own, back),
            Onward::Nothing => Err(DropReason::NotTranslated),
            Onward::Unknown => Err(DropReason::NotAsked),
        }
    }

    /// On from a NAT gateway's interface by its subnet's route table: to no gateway behind it, and
    /// not over peering.
    fn leave_nat(&mut self, own: &'a Eni, packet: Packet) -> Result<Verdict, DropReason> {
        let mut way = self.model.way(own, &packet);
        let route = self.model.best_route(&own.subnet, packet.destination);
        let closed = route.is_some_and(|route| {
            matches!(
                route.target,
                RouteTarget::NatGateway(_) | RouteTarget::Peering(_)
            )
        });
        if closed && !matches!(way.hop, Err(DropReason::Blackhole)) {
            way.hop = Err(DropReason::NoRoute);
        }
        self.leave(own, way, packet)
    }
}

/// The RST that answers a segment of a connection that is no more.
fn reset_of(packet: &Packet) -> Option<Packet> {
    let Transport::Tcp {
        source,
        destination,
        segment,
    } = packet.transport
    else {
        return None;
    };
    let reset = Transport::Tcp {
        source: destination,
        destination: source,
        segment: Segment::Rst,
    };
    let answers = segment != Segment::Rst;
    answers.then(|| Packet::new(packet.destination, packet.source, reset))
}
