//! Both sides are asked about a packet, and have to say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use underlay_fabric::Entrance;
use underlay_types::{EniId, Mac};
use underlay_vpc_model::{
    DropReason, Eni, Model, Packet, QuotedTransport, RouteState, Transport, Verdict,
};

use crate::{
    frames,
    traffic::Sent,
    wire::{self, Outcome, Place},
    world::World,
};

/// How frames are brought to the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// By the interfaces' devices; what the outside sends is shown.
    Devices,
    /// Shown to the programs; but frames of branches, which need a tag, are sent.
    Programs,
}

/// The device of the outside world on the fabric's side has this behind it.
const OUTSIDE: Mac = Mac([0x02, 0, 0, 0, 0xff, 0xfe]);

/// The ports that NAT gateways gave, by those that the model's gave: the near end, what is carried,
/// the far end, and the model's port.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<(IpAddr, u8, (IpAddr, u16), u16), u16>);

/// The ends of a translated packet.
struct Flow {
    near: (IpAddr, u16),
    far: (IpAddr, u16),
    protocol: u8,
}

impl Flow {
    const fn key(&self) -> (IpAddr, u8, (IpAddr, u16), u16) {
        (self.near.0, self.protocol, self.far, self.near.1)
    }
}

impl World {
    /// Sends one packet both ways, and answers what the fabric counted. Panics with what a person
    /// needs to see it again when they differ.
    pub(crate) fn compare(&mut self, step: &str, wire: Wire) -> Vec<&'static str> {
        let Sent { at, packet } = self.next();
        let now = self.now();
        let verdict = match &at {
            Place::Eni(eni) => self.model.verdict(&mut self.tracker, now, eni, &packet),
            Place::Outside => self
                .model
                .verdict_from_outside(&mut self.tracker, now, &packet),
        };
        let told = self.ports.on_the_wire(&packet, self.far_end(&at, &packet));
        let outcome = self.bring(&at, &told, wire);
        let context = format!(
            "{step}: {packet:?} at {at:?}\nverdict {verdict:?}\nfabric {:?} {:?}\n",
            outcome.counted,
            wire::seen(&outcome)
        );
        let same = self.agree(&verdict, &packet, &outcome, &at);
        if let Err(why) = same {
            panic!("{context}{why}\n{}", self.describe(&at, &packet));
        }
        self.remember(at, packet, &verdict);
        outcome.counted
    }

    /// Whom a gateway takes the sender of an answer for: by way of the internet, for its public
    /// address.
    fn far_end(&self, at: &Place, packet: &Packet) -> IpAddr {
        let Place::Eni(sender) = at else {
            return packet.source;
        };
        let vpc = &self.model.eni(sender).unwrap().vpc;
        let is_public = |address: IpAddr| {
            let mut all = self.model.elastic_addresses();
            all.any(|elastic| IpAddr::from(elastic.address) == address)
        };
        let mut held = self.model.public_addresses();
        let held =
            held.find(|(_, eni, own)| &eni.vpc == vpc && IpAddr::from(*own) == packet.source);
        held.filter(|_| is_public(packet.destination))
            .map_or(packet.source, |(public, ..)| public.into())
    }

    fn bring(&mut self, at: &Place, packet: &Packet, wire: Wire) -> Outcome {
        let Place::Eni(id) = at else {
            let frame = frames::frame(packet, OUTSIDE);
            return wire::show(self.driver.fabric(), Entrance::Outside, &frame);
        };
        let mac = self.model.eni(id).unwrap().mac;
        let mut frame = frames::frame(packet, mac);
        let carried = self.model.trunk_associations().find(|it| &it.branch == id);
        if let Some(carried) = carried {
            let [high, low] = carried.vlan.to_be_bytes();
            frame.splice(12..12, [0x81, 0x00, high, low]);
            let sender = &self.senders[&carried.trunk];
            return self.devices.send(self.driver.fabric(), sender, &frame);
        }
        match wire {
            Wire::Devices => {
                let sender = &self.senders[id];
                self.devices.send(self.driver.fabric(), sender, &frame)
            }
            Wire::Programs => wire::show(self.driver.fabric(), Entrance::Eni(id), &frame),
        }
    }

    fn agree(
        &mut self,
        verdict: &Verdict,
        packet: &Packet,
        outcome: &Outcome,
        at: &Place,
    ) -> Result<(), String> {
        let expected = expected(verdict);
        let counted: BTreeSet<_> = outcome.counted.iter().copied().collect();
        if !expected.contains(&counted) {
            return Err(format!("expected one of {expected:?}"));
        }
        let (to, wanted) = match verdict {
            Verdict::Delivered(eni) => (Some(eni), packet),
            Verdict::Translated(eni, packet) => (Some(eni), packet),
            Verdict::Left(packet) => (None, packet),
            Verdict::Reset(_) | Verdict::Dropped(_) => {
                return self.agree_on_answer(verdict, outcome, at);
            }
        };
        let Some(seen) = wire::seen(outcome) else {
            return Err("nothing came out".to_owned());
        };
        let mac = to.map_or(OUTSIDE, |eni| self.model.eni(eni).unwrap().mac);
        if seen.to != mac {
            return Err(format!("expected to go to {mac}"));
        }
        let wanted = self
            .ports
            .learn(&self.model, packet, wanted, &seen.packet)?;
        if seen.packet == wanted {
            Ok(())
        } else {
            Err(format!("expected {wanted:?}"))
        }
    }

    /// What comes back to the sender: of a router, or of a NAT gateway.
    fn agree_on_answer(
        &self,
        verdict: &Verdict,
        outcome: &Outcome,
        at: &Place,
    ) -> Result<(), String> {
        let told = match verdict {
            Verdict::Reset(fate) => {
                matches!(**fate, Verdict::Delivered(_) | Verdict::Translated(..))
            }
            Verdict::Dropped(DropReason::TooBig { told, .. }) => *told,
            _ => false,
        };
        let Some(seen) = wire::seen(outcome) else {
            return if told {
                Err("nobody was told".to_owned())
            } else {
                Ok(())
            };
        };
        let Place::Eni(sender) = at else {
            return Err("nobody outside is told".to_owned());
        };
        if told && seen.to == self.model.eni(sender).unwrap().mac {
            Ok(())
        } else {
            Err(format!("expected no {seen:?}"))
        }
    }

    fn remember(&mut self, at: Place, packet: Packet, verdict: &Verdict) {
        let arrived = match verdict {
            Verdict::Delivered(eni) => Some((Place::Eni(eni.clone()), packet)),
            Verdict::Translated(eni, packet) => Some((Place::Eni(eni.clone()), *packet)),
            Verdict::Left(packet) => Some((Place::Outside, *packet)),
            Verdict::Reset(_) | Verdict::Dropped(_) => None,
        };
        self.arrived
            .extend(arrived.map(|(at, packet)| Sent { at, packet }));
        self.sent.push(Sent { at, packet });
    }

    /// What decides about a packet, for whoever reads a failure.
    fn describe(&self, at: &Place, packet: &Packet) -> String {
        let mut text = String::new();
        let with = |address: IpAddr| {
            let mut all = self.model.enis();
            all.find(move |eni| eni.addresses.contains(address))
        };
        let sender = match at {
            Place::Eni(id) => self.model.eni(id),
            Place::Outside => None,
        };
        for (what, eni) in [
            ("sender", sender),
            ("source", with(packet.source)),
            ("destination", with(packet.destination)),
        ] {
            let Some(eni) = eni else { continue };
            text += &format!("{what}: {}\n", self.describe_eni(eni));
        }
        text
    }

    fn describe_eni(&self, eni: &Eni) -> String {
        let subnet = self.model.subnet(&eni.subnet).unwrap();
        let table = self.model.route_table_of(&eni.subnet).unwrap();
        let routes: Vec<_> = table
            .routes
            .iter()
            .map(|route| {
                let dead = self.model.route_state(route) == RouteState::Blackhole;
                let state = if dead { " (blackhole)" } else { "" };
                format!("{} by {:?}{state}", route.destination, route.target)
            })
            .collect();
        let groups: Vec<_> = eni
            .groups
            .iter()
            .filter_map(|id| self.model.group(id))
            .map(|group| {
                let rules: Vec<_> = group
                    .rules
                    .iter()
                    .map(|rule| format!("{:?} {:?} {:?}", rule.direction, rule.traffic, rule.peer))
                    .collect();
                format!("{}: {rules:#?}", group.id)
            })
            .collect();
        let acl = self.model.network_acl_of(&eni.subnet);
        format!(
            "{} {:?} check {} in {} of {}\nroutes {routes:#?}\ngroups {}\nacl {:?}",
            eni.id,
            eni.addresses,
            eni.source_dest_check,
            subnet.cidr,
            subnet.vpc,
            groups.join("\n"),
            acl.map(|acl| acl
                .entries
                .iter()
                .map(|it| format!("{it:?}"))
                .collect::<Vec<_>>())
        )
    }
}

impl Ports {
    /// The packet with the port that the fabric's gateway gave in the place of the model's.
    fn on_the_wire(&self, packet: &Packet, far: IpAddr) -> Packet {
        let mut told = *packet;
        let Some(mut flow) = far_side(packet) else {
            return told;
        };
        flow.far.0 = far;
        if let Some(port) = self.0.get(&flow.key()) {
            set_near_of_answer(&mut told.transport, *port);
        }
        told
    }

    /// The packet that the fabric has to let out, given what it let out: where the model's gateway
    /// has chosen a port, the fabric's may have chosen another, which no other flow may have.
    fn learn(
        &mut self,
        model: &Model,
        sent: &Packet,
        wanted: &Packet,
        seen: &Packet,
    ) -> Result<Packet, String> {
        let mut wanted = *wanted;
        let by_nat = |address: IpAddr| {
            let mut gateways = model.nat_gateways();
            gateways.any(|gateway| {
                let eni: Option<&EniId> = gateway.eni();
                eni.and_then(|eni| model.eni(eni)).is_some_and(|eni| {
                    let public = model.public_address_of(&eni.id, eni.addresses.primary);
                    eni.addresses.contains(address)
                        || public.is_some_and(|public| IpAddr::from(public.address) == address)
                })
            })
        };
        if wanted.source == sent.source || !by_nat(wanted.source) {
            return Ok(wanted);
        }
        let (Some(mut flow), Some(given)) = (near_side(&wanted), near_side(seen)) else {
            return Ok(wanted);
        };
        // The far end as the gateway sees it: beyond, it may be translated once more.
        flow.far.0 = far_address(sent);
        if given.near.1 < 1_024 {
            return Err("no gateway gives such a port".to_owned());
        }
        let is_error = matches!(wanted.transport, Transport::IcmpError { .. });
        let begins = matches!(
            wanted.transport,
            Transport::Tcp {
                segment: underlay_vpc_model::Segment::Syn,
                ..
            } | Transport::Udp { .. }
                | Transport::Icmp { .. }
        );
        let (address, protocol, far, _) = flow.key();
        let taken = self.0.iter().find(|(key, port)| {
            (key.0, key.1, key.2) == (address, protocol, far)
                && **port == given.near.1
                && key.3 != flow.near.1
        });
        if let Some(taken) = taken.filter(|_| !is_error) {
            return Err(format!("the port is another flow's: {taken:?}"));
        }
        if begins {
            self.0.insert(flow.key(), given.near.1);
        }
        if let Some(port) = self.0.get(&flow.key()) {
            set_near(&mut wanted.transport, *port);
        }
        Ok(wanted)
    }
}

/// The ends of a packet that leaves a gateway; of an error, those of what it is about.
fn near_side(packet: &Packet) -> Option<Flow> {
    let (near, far, protocol) = match packet.transport {
        Transport::Tcp {
            source,
            destination,
            ..
        } => (source, destination, 6),
        Transport::Udp {
            source,
            destination,
        } => (source, destination, 17),
        Transport::Icmp { id, .. } => (id, 0, 1),
        Transport::IcmpError { about, .. } => match about.transport {
            QuotedTransport::Tcp {
                source,
                destination,
            } => (destination, source, 6),
            QuotedTransport::Udp {
                source,
                destination,
            } => (destination, source, 17),
            QuotedTransport::Icmp { id, .. } => (id, 0, 1),
            QuotedTransport::Other(_) => return None,
        },
        Transport::Other(_) => return None,
    };
    Some(Flow {
        near: (packet.source, near),
        far: (far_address(packet), far),
        protocol,
    })
}

const fn far_address(packet: &Packet) -> IpAddr {
    match packet.transport {
        Transport::IcmpError { about, .. } => about.source,
        _ => packet.destination,
    }
}

/// The same of a packet that comes to a gateway.
fn far_side(packet: &Packet) -> Option<Flow> {
    let mut back = *packet;
    (back.source, back.destination) = (packet.destination, packet.source);
    match &mut back.transport {
        Transport::Tcp {
            source,
            destination,
            ..
        }
        | Transport::Udp {
            source,
            destination,
        } => std::mem::swap(source, destination),
        Transport::IcmpError { about, .. } => {
            (about.source, about.destination) = (about.destination, about.source);
            match &mut about.transport {
                QuotedTransport::Tcp {
                    source,
                    destination,
                }
                | QuotedTransport::Udp {
                    source,
                    destination,
                } => std::mem::swap(source, destination),
                QuotedTransport::Icmp { .. } | QuotedTransport::Other(_) => {}
            }
        }
        Transport::Icmp { .. } | Transport::Other(_) => {}
    }
    near_side(&back)
}

const fn set_near(transport: &mut Transport, port: u16) {
    match transport {
        Transport::Tcp { source, .. } | Transport::Udp { source, .. } => *source = port,
        Transport::Icmp { id, .. } => *id = port,
        Transport::IcmpError { about, .. } => match &mut about.transport {
            QuotedTransport::Tcp { destination, .. } | QuotedTransport::Udp { destination, .. } => {
                *destination = port;
            }
            QuotedTransport::Icmp { id, .. } => *id = port,
            QuotedTransport::Other(_) => {}
        },
        Transport::Other(_) => {}
    }
}

const fn set_near_of_answer(transport: &mut Transport, port: u16) {
    match transport {
        Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
            *destination = port;
        }
        Transport::Icmp { id, .. } => *id = port,
        Transport::IcmpError { about, .. } => match &mut about.transport {
            QuotedTransport::Tcp { source, .. } | QuotedTransport::Udp { source, .. } => {
                *source = port;
            }
            QuotedTransport::Icmp { id, .. } => *id = port,
            QuotedTransport::Other(_) => {}
        },
        Transport::Other(_) => {}
    }
}

/// The sets of counters that mean the same as a verdict.
fn expected(verdict: &Verdict) -> Vec<BTreeSet<&'static str>> {
    let one_of =
        |names: &[&'static str]| names.iter().map(|name| BTreeSet::from([*name])).collect();
    match verdict {
        Verdict::Delivered(_) | Verdict::Translated(..) => one_of(&["delivered"]),
        Verdict::Left(_) => one_of(&["delivered-to-outside"]),
        Verdict::Reset(fate) => {
            let mut all = expected(fate);
            for each in &mut all {
                each.insert("nat-resets");
            }
            all
        }
        Verdict::Dropped(reason) => one_of(match reason {
            DropReason::NoSender => &["drop-no-port"],
            // Of two faults the fabric names the other first.
            DropReason::SourceCheck => &["drop-source-check", "drop-multicast"],
            DropReason::NoReceiver => &["drop-multicast", "drop-unknown-address"],
            DropReason::EgressGroups => &["drop-egress-groups"],
            // The tracker has no bound.
            DropReason::TrackingFull(_) => &[],
            DropReason::NoRoute => &["drop-no-route"],
            DropReason::Blackhole => &["drop-blackhole"],
            DropReason::UnknownAddress => &["drop-unknown-address"],
            DropReason::TooBig { told: true, .. } => &["too-big-answered"],
            DropReason::TooBig { told: false, .. } => &["drop-mtu"],
            DropReason::DestinationCheck => &["drop-dest-check"],
            DropReason::IngressGroups(_) => &["drop-ingress-groups"],
            DropReason::NetworkAcl(_, underlay_vpc_model::AclDirection::Egress) => {
                &["drop-egress-acl"]
            }
            DropReason::NetworkAcl(_, underlay_vpc_model::AclDirection::Ingress) => {
                &["drop-ingress-acl"]
            }
            DropReason::NoPublicAddress => &["drop-no-public-address"],
            DropReason::NotAsked => &["drop-egress-only", "drop-nat-no-flow"],
            DropReason::NotTranslated => &["drop-nat-protocol", "drop-nat-ports"],
        }),
    }
}
