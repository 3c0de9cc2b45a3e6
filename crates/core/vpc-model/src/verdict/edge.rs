//! What gateways remember: flows that began inside.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use underlay_types::{NatGatewayId, Timestamp, VpcId};

use super::{Packet, Transport};

/// How long a NAT gateway remembers an idle flow (VPC User Guide, "NAT gateways"). The
/// documentation says nothing of egress-only gateways; the same is taken for them.
const IDLE: Duration = Duration::from_secs(350);
/// The ports that a NAT gateway sends from.
const FIRST_PORT: u16 = 1_024;

/// The flows that gateways let answers back for.
#[derive(Debug, Default)]
pub(super) struct EdgeFlows {
    translated: BTreeMap<Outer, Inner>,
    passed: BTreeMap<(VpcId, Ends), Timestamp>,
}

/// A translated flow as it looks on the far side of its NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Outer {
    gateway: NatGatewayId,
    protocol: u8,
    port: u16,
    remote: (IpAddr, u16),
}

/// Where a translated flow began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inner {
    local: (IpAddr, u16),
    last: Timestamp,
}

/// Protocol and both ends of a flow, the inner one first.
type Ends = (u8, (IpAddr, u16), (IpAddr, u16));

impl EdgeFlows {
    /// The packet as a NAT gateway sends it on from `own`; `None` when it takes no such packets or
    /// has no port left for this destination.
    pub(super) fn translate_out(
        &mut self,
        gateway: &NatGatewayId,
        own: Ipv4Addr,
        packet: &Packet,
        now: Timestamp,
    ) -> Option<Packet> {
        let (protocol, local, remote) = ends(packet)?;
        let outer = |port| Outer {
            gateway: gateway.clone(),
            protocol,
            port,
            remote,
        };
        let range = outer(FIRST_PORT)..=outer(u16::MAX);
        self.translated
            .retain(|_, inner| now.saturating_since(inner.last) <= IDLE);
        let known = |(outer, inner): (&Outer, &Inner)| {
            (inner.local == local && outer.remote == remote && outer.protocol == protocol)
                .then_some(outer.port)
        };
        let port = self.translated.range(range).find_map(known).or_else(|| {
            let mut free = FIRST_PORT..=u16::MAX;
            free.find(|port| !self.translated.contains_key(&outer(*port)))
        })?;
        self.translated
            .insert(outer(port), Inner { local, last: now });
        let mut sent = *packet;
        sent.source = own.into();
        set_source(&mut sent.transport, port);
        Some(sent)
    }

    /// The packet as a NAT gateway hands an answer back; `None` when it belongs to no flow.
    pub(super) fn translate_back(
        &mut self,
        gateway: &NatGatewayId,
        packet: &Packet,
        now: Timestamp,
    ) -> Option<Packet> {
        let (protocol, remote, (_, port)) = ends(packet)?;
        let outer = Outer {
            gateway: gateway.clone(),
            protocol,
            port,
            remote,
        };
        let inner = self.translated.get_mut(&outer)?;
        if now.saturating_since(inner.last) > IDLE {
            return None;
        }
        inner.last = now;
        let mut back = *packet;
        back.destination = inner.local.0;
        set_destination(&mut back.transport, inner.local.1);
        Some(back)
    }

    /// Notes that a flow of a VPC went out by its egress-only gateway.
    pub(super) fn note_out(&mut self, vpc: &VpcId, packet: &Packet, now: Timestamp) {
        if let Some(ends) = ends(packet) {
            self.passed.insert((vpc.clone(), ends), now);
        }
    }

    /// Whether a packet answers a flow that went out by a VPC's egress-only gateway.
    pub(super) fn is_answer(&mut self, vpc: &VpcId, packet: &Packet, now: Timestamp) -> bool {
        let Some((protocol, remote, local)) = ends(packet) else {
            return false;
        };
        let flow = (vpc.clone(), (protocol, local, remote));
        let last = self.passed.get_mut(&flow);
        let last = last.filter(|last| now.saturating_since(**last) <= IDLE);
        last.map(|last| *last = now).is_some()
    }
}

/// Protocol, source and destination. The identifier of an echo stands for the port of whoever
/// asks: on both sides, so that the answer has the same ends the other way round.
fn ends(packet: &Packet) -> Option<Ends> {
    let (protocol, source, destination) = match packet.transport {
        Transport::Tcp {
            source,
            destination,
            ..
        } => (6, source, destination),
        Transport::Udp {
            source,
            destination,
        } => (17, source, destination),
        Transport::Icmp {
            kind: 8 | 128, id, ..
        } => (1, id, 0),
        Transport::Icmp {
            kind: 0 | 129, id, ..
        } => (1, 0, id),
        Transport::Icmp { .. } | Transport::IcmpError { .. } | Transport::Other(_) => return None,
    };
    Some((
        protocol,
        (packet.source, source),
        (packet.destination, destination),
    ))
}

const fn set_source(transport: &mut Transport, port: u16) {
    match transport {
        Transport::Tcp { source, .. } | Transport::Udp { source, .. } => *source = port,
        Transport::Icmp { id, .. } => *id = port,
        Transport::IcmpError { .. } | Transport::Other(_) => {}
    }
}

const fn set_destination(transport: &mut Transport, port: u16) {
    match transport {
        Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
            *destination = port;
        }
        Transport::Icmp { id, .. } => *id = port,
        Transport::IcmpError { .. } | Transport::Other(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    fn tcp(from: (&str, u16), to: (&str, u16)) -> Packet {
        Packet {
            source: from.0.parse().unwrap(),
            destination: to.0.parse().unwrap(),
            transport: Transport::Tcp {
                source: from.1,
                destination: to.1,
                segment: Segment::Data,
            },
        }
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
            match sent.map(|sent| sent.transport) {
                Some(Transport::Tcp { source, .. }) => source,
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
        assert_eq!(edge.translate_out(&gateway, own, &other, now), None);
    }
}
