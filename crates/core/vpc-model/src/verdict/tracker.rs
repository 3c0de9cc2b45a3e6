//! Tracked flows: what passes without asking the rules again.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use underlay_types::{EniId, Timestamp};

use super::{Segment, Transport, groups::Question};
use crate::RuleDirection;

/// The flows that the interfaces of a VPC track.
#[derive(Debug, Default)]
pub struct Tracker {
    timeouts: TrackerTimeouts,
    flows: HashMap<Key, Tracked>,
}

/// How long a flow is tracked while idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackerTimeouts {
    /// TCP, answered.
    pub tcp_established: Duration,
    /// TCP, not answered yet.
    pub tcp_opening: Duration,
    /// TCP, ended.
    pub tcp_closing: Duration,
    /// UDP, one request.
    pub udp: Duration,
    /// UDP, more than one request and answer.
    pub udp_stream: Duration,
    /// ICMP.
    pub icmp: Duration,
    /// Other protocols.
    pub other: Duration,
}

/// One flow as one interface sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    eni: EniId,
    local: Ipv4Addr,
    remote: Ipv4Addr,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// An echo and its reply; which side asks is part of the flow.
    Echo {
        id: u16,
        asked_outward: bool,
    },
    /// Other ICMP: no answer belongs to it.
    Icmp {
        kind: u8,
        code: u8,
        outward: bool,
    },
    Other(u8),
    Tcp {
        local: u16,
        remote: u16,
    },
    Udp {
        local: u16,
        remote: u16,
    },
}

#[derive(Debug, Clone, Copy)]
struct Tracked {
    last: Timestamp,
    phase: Phase,
    begun: RuleDirection,
    outward_ended: bool,
    inward_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Answered,
    Stream,
    Closed,
}

impl Default for TrackerTimeouts {
    /// As documented, where documented (EC2 User Guide, "Security group connection tracking");
    /// opening and closing TCP and ICMP are guesses.
    fn default() -> Self {
        Self {
            tcp_established: Duration::from_secs(432_000),
            tcp_opening: Duration::from_secs(60),
            tcp_closing: Duration::from_secs(10),
            udp: Duration::from_secs(30),
            udp_stream: Duration::from_secs(180),
            icmp: Duration::from_secs(30),
            other: Duration::from_secs(600),
        }
    }
}

impl Tracker {
    /// A tracker of no flow yet.
    #[must_use]
    pub fn new(timeouts: TrackerTimeouts) -> Self {
        Self {
            timeouts,
            flows: HashMap::new(),
        }
    }

    /// Whether the packet passes the interface: as part of a tracked flow, or as the first of a
    /// flow that the rules allow, which is tracked from now on.
    pub(super) fn passes(&mut self, now: Timestamp, question: &Question<'_>) -> bool {
        let key = Key::of(question);
        let transport = question.packet.transport;
        if let Some(tracked) = self.flows.get_mut(&key) {
            let idle = now.saturating_since(tracked.last);
            let lives = idle <= self.timeouts.of(transport, tracked.phase);
            if lives && !tracked.begins_anew(transport) {
                tracked.advance(now, question.direction, transport);
                return true;
            }
        }
        self.flows.remove(&key);
        let allowed = question.is_allowed();
        if allowed {
            let fresh = Tracked::begun(now, question.direction, transport);
            self.flows.insert(key, fresh);
        }
        allowed
    }
}

impl TrackerTimeouts {
    const fn of(&self, transport: Transport, phase: Phase) -> Duration {
        match (transport, phase) {
            (Transport::Tcp { .. }, Phase::Opening) => self.tcp_opening,
            (Transport::Tcp { .. }, Phase::Closed) => self.tcp_closing,
            (Transport::Tcp { .. }, Phase::Answered | Phase::Stream) => self.tcp_established,
            (Transport::Udp { .. }, Phase::Stream) => self.udp_stream,
            (Transport::Udp { .. }, _) => self.udp,
            (Transport::Icmp { .. }, _) => self.icmp,
            (Transport::Other(_), _) => self.other,
        }
    }
}

impl Key {
    fn of(question: &Question<'_>) -> Self {
        let packet = question.packet;
        let outward = question.direction == RuleDirection::Egress;
        let sides = |source, destination| {
            if outward {
                (source, destination)
            } else {
                (destination, source)
            }
        };
        let kind = match packet.transport {
            Transport::Icmp { kind: 8, id, .. } => Kind::Echo {
                id,
                asked_outward: outward,
            },
            Transport::Icmp { kind: 0, id, .. } => Kind::Echo {
                id,
                asked_outward: !outward,
            },
            Transport::Icmp { kind, code, .. } => Kind::Icmp {
                kind,
                code,
                outward,
            },
            Transport::Other(number) => Kind::Other(number),
            Transport::Tcp {
                source,
                destination,
                ..
            } => {
                let (local, remote) = sides(source, destination);
                Kind::Tcp { local, remote }
            }
            Transport::Udp {
                source,
                destination,
            } => {
                let (local, remote) = sides(source, destination);
                Kind::Udp { local, remote }
            }
        };
        let (local, remote) = if outward {
            (packet.source, packet.destination)
        } else {
            (packet.destination, packet.source)
        };
        Self {
            eni: question.eni.id.clone(),
            local,
            remote,
            kind,
        }
    }
}

impl Tracked {
    fn begun(now: Timestamp, direction: RuleDirection, transport: Transport) -> Self {
        let is_fin = matches!(
            transport,
            Transport::Tcp {
                segment: Segment::Fin,
                ..
            }
        );
        // A RST that belongs to nothing ends nothing: it opens a flow like any packet.
        Self {
            last: now,
            phase: Phase::Opening,
            begun: direction,
            outward_ended: is_fin && direction == RuleDirection::Egress,
            inward_ended: is_fin && direction == RuleDirection::Ingress,
        }
    }

    /// A SYN after the end opens another connection: the rules are asked again.
    fn begins_anew(&self, transport: Transport) -> bool {
        let is_syn = matches!(
            transport,
            Transport::Tcp {
                segment: Segment::Syn,
                ..
            }
        );
        self.phase == Phase::Closed && is_syn
    }

    fn advance(&mut self, now: Timestamp, direction: RuleDirection, transport: Transport) {
        self.last = now;
        let is_answer = direction != self.begun;
        self.phase = match (self.phase, is_answer) {
            (Phase::Opening, true) => Phase::Answered,
            (Phase::Answered, false) => Phase::Stream,
            (phase, _) => phase,
        };
        self.note_end(direction, transport);
    }

    fn note_end(&mut self, direction: RuleDirection, transport: Transport) {
        let Transport::Tcp { segment, .. } = transport else {
            return;
        };
        match (segment, direction) {
            (Segment::Fin, RuleDirection::Egress) => self.outward_ended = true,
            (Segment::Fin, RuleDirection::Ingress) => self.inward_ended = true,
            (Segment::Rst, _) => (self.outward_ended, self.inward_ended) = (true, true),
            (Segment::Syn | Segment::Data, _) => {}
        }
        if self.outward_ended && self.inward_ended {
            self.phase = Phase::Closed;
        }
    }
}
