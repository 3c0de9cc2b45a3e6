//! Which packets are sent.

use std::net::{IpAddr, Ipv4Addr};

use underlay_types::EniId;
use underlay_vpc_model::{Eni, InterfaceType, Packet, Quoted, QuotedTransport, Segment, Transport};

use crate::{wire::Place, world::World};

/// A packet, and where it was sent or came out.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Place,
    pub(crate) packet: Packet,
}

const SOMEBODY: [&str; 4] = ["203.0.113.9", "198.51.100.1", "2001:db8:1::9", "2600:1::7"];
/// Addresses that nobody has, or that are not for one receiver.
const NOBODY: [&str; 12] = [
    "10.0.1.1",
    "10.0.1.255",
    "10.0.9.9",
    "10.9.1.4",
    "192.168.1.7",
    "224.0.0.5",
    "255.255.255.255",
    "ff02::5",
    "fe80::7",
    "::1",
    "2001:db8:77::1",
    "198.18.255.9",
];
/// Longer than what an internet gateway takes.
const LONG: u16 = 1_600;

impl World {
    /// What is sent next, and from where.
    pub(crate) fn next(&mut self) -> Sent {
        let mut sent = match self.dice.below(100) {
            0..=24 => self.again(),
            25..=54 => self.answer(),
            55..=64 => self.of_outside(),
            _ => self.fresh(),
        };
        if matches!(sent.packet.transport, Transport::Udp { .. }) && self.dice.percent(12) {
            sent.packet.length = LONG;
            sent.packet.dont_fragment = sent.packet.source.is_ipv6() || self.dice.percent(60);
        }
        sent
    }

    /// A packet that was sent before, as it may go on.
    fn again(&mut self) -> Sent {
        if self.sent.is_empty() {
            return self.fresh();
        }
        let recent = self.sent.len().saturating_sub(12);
        let mut sent = self.dice.one_of(&self.sent[recent..]).clone();
        sent.packet = self.small(&sent.packet);
        if let Transport::Tcp { segment, .. } = &mut sent.packet.transport {
            *segment = self.segment();
        }
        sent
    }

    fn small(&self, packet: &Packet) -> Packet {
        Packet::new(packet.source, packet.destination, packet.transport)
    }

    /// What the receiver of a packet sends back.
    fn answer(&mut self) -> Sent {
        if self.arrived.is_empty() {
            return self.fresh();
        }
        let recent = self.arrived.len().saturating_sub(12);
        let Sent { at, packet } = self.dice.one_of(&self.arrived[recent..]).clone();
        let transport = if self.dice.percent(12) && is_no_error(&packet) {
            self.error_about(&packet)
        } else {
            self.answer_to(packet.transport)
        };
        Sent {
            at,
            packet: Packet::new(packet.destination, packet.source, transport),
        }
    }

    fn answer_to(&mut self, transport: Transport) -> Transport {
        match transport {
            Transport::Icmp { kind: 8, code, id } => Transport::Icmp { kind: 0, code, id },
            Transport::Icmp {
                kind: 128,
                code,
                id,
            } => Transport::Icmp {
                kind: 129,
                code,
                id,
            },
            Transport::Tcp {
                source,
                destination,
                ..
            } => Transport::Tcp {
                source: destination,
                destination: source,
                segment: self.segment(),
            },
            Transport::Udp {
                source,
                destination,
            } => Transport::Udp {
                source: destination,
                destination: source,
            },
            same => same,
        }
    }

    fn error_about(&mut self, packet: &Packet) -> Transport {
        let (kind, code) = *self.dice.one_of(match packet.source {
            IpAddr::V4(_) => &[(3, 1), (3, 4), (11, 0)],
            IpAddr::V6(_) => &[(1, 4), (2, 0), (3, 0)],
        });
        let transport = match packet.transport {
            Transport::Icmp { kind, code, id } => QuotedTransport::Icmp { kind, code, id },
            Transport::Tcp {
                source,
                destination,
                ..
            } => QuotedTransport::Tcp {
                source,
                destination,
            },
            Transport::Udp {
                source,
                destination,
            } => QuotedTransport::Udp {
                source,
                destination,
            },
            Transport::Other(number) => QuotedTransport::Other(number),
            Transport::IcmpError { .. } => unreachable!("no error is about an error"),
        };
        let about = Quoted {
            source: packet.source,
            destination: packet.destination,
            transport,
        };
        Transport::IcmpError { kind, code, about }
    }

    fn fresh(&mut self) -> Sent {
        let id = self.any_live_eni();
        let v6 = self.dice.percent(40);
        let source = if self.dice.percent(93) {
            self.address_of(&id, v6)
        } else {
            let other = self.any_live_eni();
            self.address_of(&other, v6)
        };
        let destination = self.destination(v6);
        let packet = Packet::new(source, destination, self.transport(v6));
        Sent {
            at: Place::Eni(id),
            packet,
        }
    }

    /// An interface that can send: its kernel's device, or its trunk's, is there.
    fn any_live_eni(&mut self) -> EniId {
        let enis = self.model.enis();
        let live = enis.filter(|eni| {
            self.model.is_live(eni) && eni.interface_type != InterfaceType::NatGateway
        });
        let all: Vec<_> = live.map(|eni| eni.id.clone()).collect();
        self.dice.one_of(&all).clone()
    }

    fn destination(&mut self, v6: bool) -> IpAddr {
        let alike = |texts: &[&str]| {
            let all = texts.iter().map(|text| text.parse().unwrap());
            let alike = all.filter(|address: &IpAddr| address.is_ipv6() == v6);
            alike.collect::<Vec<_>>()
        };
        match self.dice.below(100) {
            0..=54 => {
                let enis: Vec<_> = self.model.enis().map(|eni| eni.id.clone()).collect();
                let id = self.dice.one_of(&enis).clone();
                self.address_of(&id, v6)
            }
            55..=62 if !v6 => self.elastic(),
            63..=70 => {
                let mut all = alike(&NOBODY);
                let routers = self.model.subnets().filter_map(|subnet| subnet.router_v6());
                all.extend(routers.map(IpAddr::from).filter(|_| v6));
                *self.dice.one_of(&all)
            }
            _ => *self.dice.one_of(&alike(&SOMEBODY)),
        }
    }

    fn elastic(&mut self) -> IpAddr {
        let all: Vec<Ipv4Addr> = self
            .model
            .elastic_addresses()
            .map(|elastic| elastic.address)
            .collect();
        (*self.dice.one_of(&all)).into()
    }

    fn of_outside(&mut self) -> Sent {
        let v6 = self.dice.percent(40);
        let destination = if v6 || self.dice.percent(10) {
            let id = self.any_live_eni();
            self.address_of(&id, v6)
        } else {
            self.elastic()
        };
        let source = if self.dice.percent(92) {
            let all = SOMEBODY.map(|text| text.parse::<IpAddr>().unwrap());
            let alike = all.into_iter().filter(|address| address.is_ipv6() == v6);
            *self.dice.one_of(&alike.collect::<Vec<_>>())
        } else {
            // Somebody pretends to be inside.
            let id = self.any_live_eni();
            self.address_of(&id, v6)
        };
        Sent {
            at: Place::Outside,
            packet: Packet::new(source, destination, self.transport(v6)),
        }
    }

    fn address_of(&mut self, id: &EniId, v6: bool) -> IpAddr {
        let eni = self.model.eni(id).unwrap();
        let all = if v6 { v6_of(eni) } else { v4_of(eni) };
        if all.is_empty() {
            // A NAT gateway's interface has no IPv6.
            return "2001:db8:77::1".parse().unwrap();
        }
        *self.dice.one_of(&all)
    }

    fn segment(&mut self) -> Segment {
        *self.dice.one_of(&[
            Segment::Syn,
            Segment::Data,
            Segment::Data,
            Segment::Data,
            Segment::Fin,
            Segment::Rst,
        ])
    }

    fn transport(&mut self, v6: bool) -> Transport {
        let source = *self.dice.one_of(&[40_000, 40_001]);
        match self.dice.below(20) {
            0..=3 => {
                let kinds: &[u8] = if v6 {
                    &[129, 128, 128, 130]
                } else {
                    &[0, 8, 8, 13]
                };
                Transport::Icmp {
                    kind: *self.dice.one_of(kinds),
                    code: 0,
                    id: source,
                }
            }
            4 => Transport::Other(47),
            5..=10 => Transport::Udp {
                source,
                destination: *self.dice.one_of(&[53, 4000]),
            },
            choice => Transport::Tcp {
                source,
                destination: *self.dice.one_of(&[5432, 80]),
                segment: if choice <= 13 {
                    self.segment()
                } else {
                    Segment::Syn
                },
            },
        }
    }
}

const fn is_no_error(packet: &Packet) -> bool {
    !matches!(packet.transport, Transport::IcmpError { .. })
}

fn v4_of(eni: &Eni) -> Vec<IpAddr> {
    let own = &eni.addresses;
    let mut all = vec![own.primary];
    all.extend(&own.secondary);
    let prefixes = own.prefixes.iter();
    all.extend(prefixes.filter_map(|prefix| prefix.hosts().nth(5)));
    all.into_iter().map(IpAddr::from).collect()
}

fn v6_of(eni: &Eni) -> Vec<IpAddr> {
    let own = &eni.addresses;
    let mut all = own.v6.clone();
    let prefixes = own.v6_prefixes.iter();
    all.extend(prefixes.filter_map(|prefix| prefix.hosts().nth(5)));
    all.into_iter().map(IpAddr::from).collect()
}
