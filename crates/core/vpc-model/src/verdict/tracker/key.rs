//! Which packets belong to one flow.

use std::net::IpAddr;

use underlay_types::EniId;

use super::super::{Quoted, QuotedTransport, groups::Question};
use crate::RuleDirection;

/// IANA's number of ICMP; of ICMPv6 too, as far as flows are concerned.
pub(super) const ICMP: u8 = 1;
/// IANA's number of TCP.
pub(super) const TCP: u8 = 6;
/// IANA's number of UDP.
pub(super) const UDP: u8 = 17;

/// One flow as one interface sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) eni: EniId,
    local: IpAddr,
    remote: IpAddr,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// An echo and its reply; which side asks is part of the flow.
    Echo { id: u16, asked_outward: bool },
    /// Other ICMP: no answer belongs to it.
    Icmp { kind: u8, code: u8, outward: bool },
    /// Another protocol, by its number.
    Other(u8),
    /// Ports of TCP.
    Tcp { local: u16, remote: u16 },
    /// Ports of UDP.
    Udp { local: u16, remote: u16 },
}

impl Key {
    /// The flow of the packet.
    pub(super) fn of(question: &Question<'_>) -> Self {
        let packet = question.packet;
        let carried = packet.transport.as_quoted();
        let addresses = (packet.source, packet.destination);
        Self::new(question, question.direction, addresses, carried)
    }

    /// The flow of a packet that went the other way and is quoted in an error.
    pub(super) fn quoted(question: &Question<'_>, about: &Quoted) -> Self {
        let direction = question.direction.reverse();
        let addresses = (about.source, about.destination);
        Self::new(question, direction, addresses, about.transport)
    }

    fn new(
        question: &Question<'_>,
        direction: RuleDirection,
        (source, destination): (IpAddr, IpAddr),
        carried: QuotedTransport,
    ) -> Self {
        let outward = direction == RuleDirection::Egress;
        let (local, remote) = sides(outward, source, destination);
        let kind = match carried {
            QuotedTransport::Icmp { kind, id, .. } if is_echo(source, kind) => Kind::Echo {
                id,
                asked_outward: outward,
            },
            QuotedTransport::Icmp { kind, id, .. } if is_echo_reply(source, kind) => Kind::Echo {
                id,
                asked_outward: !outward,
            },
            QuotedTransport::Icmp { kind, code, .. } => Kind::Icmp {
                kind,
                code,
                outward,
            },
            QuotedTransport::Other(number) => Kind::Other(number),
            QuotedTransport::Tcp {
                source,
                destination,
            } => {
                let (local, remote) = sides(outward, source, destination);
                Kind::Tcp { local, remote }
            }
            QuotedTransport::Udp {
                source,
                destination,
            } => {
                let (local, remote) = sides(outward, source, destination);
                Kind::Udp { local, remote }
            }
        };
        Self {
            eni: question.eni.id.clone(),
            local,
            remote,
            kind,
        }
    }

    /// IANA's number of the flow's protocol.
    pub(super) const fn protocol(&self) -> u8 {
        match self.kind {
            Kind::Echo { .. } | Kind::Icmp { .. } => ICMP,
            Kind::Other(number) => number,
            Kind::Tcp { .. } => TCP,
            Kind::Udp { .. } => UDP,
        }
    }
}

/// The near and the far side of a packet.
fn sides<T>(outward: bool, source: T, destination: T) -> (T, T) {
    if outward {
        (source, destination)
    } else {
        (destination, source)
    }
}

/// RFC 792 and RFC 4443, section 4.1.
const fn is_echo(source: IpAddr, kind: u8) -> bool {
    match source {
        IpAddr::V4(_) => kind == 8,
        IpAddr::V6(_) => kind == 128,
    }
}

/// RFC 792 and RFC 4443, section 4.2.
const fn is_echo_reply(source: IpAddr, kind: u8) -> bool {
    match source {
        IpAddr::V4(_) => kind == 0,
        IpAddr::V6(_) => kind == 129,
    }
}
