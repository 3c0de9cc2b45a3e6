//! What gateways remember: flows that began inside.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use underlay_types::{NatGatewayId, Timestamp, VpcId};

use super::{Packet, QuotedTransport, Segment, Transport};

/// How long a NAT gateway remembers an idle flow (VPC User Guide, "NAT gateways"). The
/// documentation says nothing of egress-only gateways; the same is taken for them.
const IDLE: Duration = Duration::from_secs(350);
/// And one of TCP that ended, which is not documented.
const CLOSING: Duration = Duration::from_secs(10);
/// The ports that a NAT gateway sends from.
const FIRST_PORT: u16 = 1_024;

/// The flows that gateways let answers back for.
#[derive(Debug, Default)]
pub(super) struct EdgeFlows {
    translated: BTreeMap<Outer, Inner>,
    passed: BTreeMap<(VpcId, Ends), Timestamp>,
}

/// What a NAT gateway makes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Onward {
    /// Nothing: it does not translate the protocol, or has no port left.
    Nothing,
    /// It goes on as this one.
    Packet(Packet),
    /// It belongs to no flow, and begins none.
    Unknown,
}

/// A translated flow as it looks on the far side of its NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Outer {
    gateway: NatGatewayId,
    protocol: u8,
    port: u16,
    remote: End,
}

/// Where a translated flow began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inner {
    local: End,
    last: Timestamp,
    ended_inside: bool,
    ended_outside: bool,
}

/// An address with a port, or with the identifier of an echo.
type End = (IpAddr, u16);
/// Protocol and both ends of a flow, the inner one first.
type Ends = (u8, End, End);

impl Inner {
    const fn has_ended(&self) -> bool {
        self.ended_inside && self.ended_outside
    }

    fn lives(&self, now: Timestamp) -> bool {
        let limit = if self.has_ended() { CLOSING } else { IDLE };
        now.saturating_since(self.last) <= limit
    }

    fn touch(&mut self, transport: Transport, outward: bool, now: Timestamp) {
        self.last = now;
        let Transport::Tcp { segment, .. } = transport else {
            return;
        };
        let ends = segment == Segment::Rst;
        let closes = |this_way: bool| ends || (segment == Segment::Fin && this_way);
        self.ended_inside |= closes(outward);
        self.ended_outside |= closes(!outward);
    }
}

impl EdgeFlows {
    /// The packet as a NAT gateway sends it on from `own`.
    pub(super) fn translate_out(
        &mut self,
        gateway: &NatGatewayId,
        own: Ipv4Addr,
        packet: &Packet,
        now: Timestamp,
    ) -> Onward {
        if matches!(packet.transport, Transport::Other(_)) {
            return Onward::Nothing;
        }
        self.translated.retain(|_, inner| inner.lives(now));
        let own = IpAddr::from(own);
        let mut sent = *packet;
        if let Transport::IcmpError { about, .. } = packet.transport {
            let ends = swapped(ends_of((about.source, about.destination), about.transport));
            let Some(outer) = self.outer_of(gateway, ends) else {
                return Onward::Unknown;
            };
            sent.set_source((own, Some(outer.port)));
            return Onward::Packet(sent);
        }
        let ends = ends(packet);
        let begins = begins_flow(packet.transport);
        let mut known = self.outer_of(gateway, ends);
        let ended = |outer: &Outer| self.translated.get(outer).is_some_and(Inner::has_ended);
        if begins && known.as_ref().is_some_and(ended) {
            known.take().map(|outer| self.translated.remove(&outer));
        }
        if known.is_none() && !begins {
            return Onward::Unknown;
        }
        let Some(outer) = known.or_else(|| self.free_outer(gateway, ends)) else {
            return Onward::Nothing;
        };
        sent.set_source((own, Some(outer.port)));
        let inner = self.translated.entry(outer).or_insert(Inner {
            local: ends.1,
            last: now,
            ended_inside: false,
            ended_outside: false,
        });
        inner.touch(packet.transport, true, now);
        Onward::Packet(sent)
    }

    /// The flow with these ends.
    fn outer_of(&self, gateway: &NatGatewayId, (protocol, local, remote): Ends) -> Option<Outer> {
        let mut all = self.translated.iter();
        let found = all.find(|(outer, inner)| {
            (&outer.gateway, outer.protocol, outer.remote) == (gateway, protocol, remote)
                && inner.local == local
        });
        found.map(|(outer, _)| outer.clone())
    }

    /// The first port that no other flow to the same end has. Not the end's own port, since what
    /// a gateway sends to itself would be the answer to itself.
    fn free_outer(&self, gateway: &NatGatewayId, (protocol, _, remote): Ends) -> Option<Outer> {
        let outer = |port| Outer {
            gateway: gateway.clone(),
            protocol,
            port,
            remote,
        };
        let ports = (FIRST_PORT..=u16::MAX).filter(|port| *port != remote.1);
        let mut all = ports.map(outer);
        all.find(|outer| !self.translated.contains_key(outer))
    }

    /// The packet as a NAT gateway hands an answer back.
    pub(super) fn translate_back(
        &mut self,
        gateway: &NatGatewayId,
        packet: &Packet,
        now: Timestamp,
    ) -> Onward {
        let quoted = match packet.transport {
            Transport::Other(_) => return Onward::Nothing,
            Transport::IcmpError { about, .. } => Some(about),
            _ => None,
        };
        let (protocol, (_, port), remote) = match quoted {
            Some(about) => ends_of((about.source, about.destination), about.transport),
            None => swapped(ends(packet)),
        };
        let outer = Outer {
            gateway: gateway.clone(),
            protocol,
            port,
            remote,
        };
        let inner = self.translated.get_mut(&outer);
        let Some(inner) = inner.filter(|inner| inner.lives(now)) else {
            return Onward::Unknown;
        };
        if quoted.is_none() {
            inner.touch(packet.transport, false, now);
        }
        let (address, port) = inner.local;
        let mut back = *packet;
        back.set_destination((address, Some(port)));
        Onward::Packet(back)
    }

    /// Notes that a flow of a VPC went out by its egress-only gateway.
    pub(super) fn note_out(&mut self, vpc: &VpcId, packet: &Packet, now: Timestamp) {
        self.passed.insert((vpc.clone(), ends(packet)), now);
    }

    /// Whether a packet answers a flow that went out by a VPC's egress-only gateway, or is an
    /// error about one, which does not keep it alive.
    pub(super) fn is_answer(&mut self, vpc: &VpcId, packet: &Packet, now: Timestamp) -> bool {
        let quoted = match packet.transport {
            Transport::IcmpError { about, .. } => Some(about),
            _ => None,
        };
        let flow = match quoted {
            Some(about) => ends_of((about.source, about.destination), about.transport),
            None => swapped(ends(packet)),
        };
        let last = self.passed.get_mut(&(vpc.clone(), flow));
        let last = last.filter(|last| now.saturating_since(**last) <= IDLE);
        let Some(last) = last else { return false };
        if quoted.is_none() {
            *last = now;
        }
        true
    }
}

/// The same flow, from its other end.
const fn swapped((protocol, one, other): Ends) -> Ends {
    (protocol, other, one)
}

/// Whether a packet from inside may begin a flow.
const fn begins_flow(transport: Transport) -> bool {
    match transport {
        Transport::Tcp { segment, .. } => matches!(segment, Segment::Syn),
        Transport::Icmp { kind, .. } => kind == 8,
        Transport::Udp { .. } => true,
        Transport::IcmpError { .. } | Transport::Other(_) => false,
    }
}

/// Protocol, source and destination.
fn ends(packet: &Packet) -> Ends {
    let addresses = (packet.source, packet.destination);
    ends_of(addresses, packet.transport.as_quoted())
}

/// The identifier of an echo stands for the port of whoever asks: on both sides, so that the
/// answer has the same ends the other way round. Other ICMP has no answer: what it is stands for
/// the port of the sender.
fn ends_of((source, destination): (IpAddr, IpAddr), transport: QuotedTransport) -> Ends {
    let (protocol, from, to) = match transport {
        QuotedTransport::Tcp {
            source,
            destination,
        } => (6, source, destination),
        QuotedTransport::Udp {
            source,
            destination,
        } => (17, source, destination),
        QuotedTransport::Icmp {
            kind: 8 | 128, id, ..
        } => (1, id, 0),
        QuotedTransport::Icmp {
            kind: 0 | 129, id, ..
        } => (1, 0, id),
        QuotedTransport::Icmp { kind, code, .. } => (1, u16::from_be_bytes([kind, code]), u16::MAX),
        QuotedTransport::Other(number) => (number, 0, 0),
    };
    (protocol, (source, from), (destination, to))
}

impl Packet {
    /// Gives it another source; what an ICMP error quotes went the other way and gets it as its
    /// destination.
    pub(super) const fn set_source(&mut self, (address, port): (IpAddr, Option<u16>)) {
        self.source = address;
        if let Transport::IcmpError { about, .. } = &mut self.transport {
            about.destination = address;
        }
        let Some(port) = port else { return };
        match &mut self.transport {
            Transport::Tcp { source, .. } | Transport::Udp { source, .. } => *source = port,
            Transport::Icmp { id, .. } => *id = port,
            Transport::IcmpError { about, .. } => match &mut about.transport {
                QuotedTransport::Tcp { destination, .. }
                | QuotedTransport::Udp { destination, .. } => *destination = port,
                QuotedTransport::Icmp { id, .. } => *id = port,
                QuotedTransport::Other(_) => {}
            },
            Transport::Other(_) => {}
        }
    }

    /// Gives it another destination; what an ICMP error quotes gets it as its source.
    pub(super) const fn set_destination(&mut self, (address, port): (IpAddr, Option<u16>)) {
        self.destination = address;
        if let Transport::IcmpError { about, .. } = &mut self.transport {
            about.source = address;
        }
        let Some(port) = port else { return };
        match &mut self.transport {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    fn tcp(from: (&str, u16), to: (&str, u16)) -> Packet {
        let transport = Transport::Tcp {
            source: from.1,
            destination: to.1,
            segment: Segment::Syn,
        };
        Packet::new(from.0.parse().unwrap(), to.0.parse().unwrap(), transport)
    }

    #[test]
    fn an_egress_only_gateway_knows_what_was_asked_until_it_is_idle() {
        let vpc = VpcId::from_serial(1);
        let (inner, outer) = (("2600::1", 40_000), ("2001:db8::9", 443));
        let mut edge = EdgeFlows::default();
        let begin = Timestamp::from_secs(1_000);
        assert!(!edge.is_answer(&vpc, &tcp(outer, inner), begin), "unasked");
        edge.note_out(&vpc, &tcp(inner, outer), begin);
        assert!(edge.is_answer(&vpc, &tcp(outer, inner), begin + IDLE));
        let other = tcp(("2001:db8::9", 444), inner);
        assert!(!edge.is_answer(&vpc, &other, begin + IDLE), "another flow");
        assert!(!edge.is_answer(&VpcId::from_serial(2), &tcp(outer, inner), begin));
        let late = begin + IDLE + IDLE + Duration::from_secs(1);
        assert!(!edge.is_answer(&vpc, &tcp(outer, inner), late), "idle");
    }

    #[test]
    fn flows_to_one_destination_get_ports_of_their_own_and_others_share_them() {
        let gateway = NatGatewayId::from_serial(1);
        let own = Ipv4Addr::new(10, 0, 2, 5);
        let mut edge = EdgeFlows::default();
        let now = Timestamp::from_secs(1_000);
        let mut port = |from, to| {
            let sent = edge.translate_out(&gateway, own, &tcp(from, to), now);
            let Onward::Packet(sent) = sent else {
                panic!("{sent:?}");
            };
            match sent.transport {
                Transport::Tcp { source, .. } => source,
                other => panic!("{other:?}"),
            }
        };
        let (one, two) = (("10.0.1.4", 40_000), ("10.0.1.5", 40_000));
        let (here, there) = (("203.0.113.9", 443), ("203.0.113.8", 443));
        let ports = [
            port(one, here),
            port(two, here),
            port(one, here),
            port(two, there),
        ];
        assert_eq!(ports, [1_024, 1_025, 1_024, 1_024]);
        let other = Packet {
            transport: Transport::Other(47),
            ..tcp(one, here)
        };
        assert_eq!(
            edge.translate_out(&gateway, own, &other, now),
            Onward::Nothing
        );
    }
}
