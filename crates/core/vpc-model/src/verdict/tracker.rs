//! Tracked flows: what passes without asking the rules again.

mod key;

use std::{collections::HashMap, time::Duration};

use underlay_types::Timestamp;

use self::key::Key;
use super::edge::EdgeFlows;
use super::{Segment, Transport, groups::Question};
use crate::{Eni, Model, RuleDirection};

/// The flows that the interfaces of a VPC track.
#[derive(Debug, Default)]
pub struct Tracker {
    timeouts: TrackerTimeouts,
    allowance: Option<usize>,
    flows: HashMap<Key, Tracked>,
    /// What gateways remember.
    pub(super) edge: EdgeFlows,
}

/// How long a flow is tracked while idle, where that is no attribute of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackerTimeouts {
    /// TCP, not answered yet.
    pub tcp_opening: Duration,
    /// TCP, ended.
    pub tcp_closing: Duration,
    /// ICMP.
    pub icmp: Duration,
    /// Other protocols.
    pub other: Duration,
}

/// What becomes of a packet at an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It would begin a flow, and as many are tracked as may be.
    Full,
    /// It passes.
    Passes,
    /// It belongs to no tracked flow, and no rule allows it.
    Refused,
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
    /// The 600 s are documented (EC2 User Guide, "Amazon EC2 security group connection
    /// tracking"), the others are not.
    fn default() -> Self {
        Self {
            tcp_opening: Duration::from_secs(60),
            tcp_closing: Duration::from_secs(10),
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
            ..Self::default()
        }
    }

    /// Tracks at most so many flows of an instance. EC2's maxima depend on the instance type and
    /// are not published; without a number there is none.
    #[must_use]
    pub const fn with_allowance(mut self, flows: usize) -> Self {
        self.allowance = Some(flows);
        self
    }

    /// Whether the packet passes the interface: as part of a tracked flow or about one, or since
    /// the rules allow it; it may begin a flow that is tracked from now on.
    pub(super) fn judge(&mut self, now: Timestamp, question: &Question<'_>) -> Passage {
        let key = Key::of(question);
        let transport = question.packet.transport;
        if let Some(tracked) = self.flows.get_mut(&key)
            && tracked.lives(&self.timeouts, question, &key, now)
            && !tracked.begins_anew(transport)
        {
            tracked.advance(now, question.direction, transport);
            return Passage::Passes;
        }
        self.flows.remove(&key);
        if self.is_about_tracked(now, question) {
            return Passage::Passes;
        }
        if !question.is_allowed() {
            return Passage::Refused;
        }
        if question.begins_tracked_flow() {
            if self.is_full(now, question) {
                return Passage::Full;
            }
            let fresh = Tracked::begun(now, question.direction, transport);
            self.flows.insert(key, fresh);
        }
        Passage::Passes
    }

    /// Whether the rules or a tracked flow let the packet pass. It begins no flow.
    pub(super) fn lets(&self, now: Timestamp, question: &Question<'_>) -> bool {
        self.is_about_tracked(now, question) || question.is_allowed()
    }

    /// Whether the packet is an ICMP error about a packet of a tracked flow that went the other
    /// way. It does not keep the flow alive.
    fn is_about_tracked(&self, now: Timestamp, question: &Question<'_>) -> bool {
        let Transport::IcmpError { about, .. } = question.packet.transport else {
            return false;
        };
        let key = Key::quoted(question, &about);
        let tracked = self.flows.get(&key);
        tracked.is_some_and(|tracked| tracked.lives(&self.timeouts, question, &key, now))
    }

    /// Whether the interface's instance tracks as many flows as it may.
    fn is_full(&mut self, now: Timestamp, question: &Question<'_>) -> bool {
        let Some(allowance) = self.allowance else {
            return false;
        };
        let (model, timeouts) = (question.model, self.timeouts);
        self.flows.retain(|key, tracked| {
            let eni = model.eni(&key.eni);
            eni.is_some_and(|eni| tracked.idle(now) <= timeouts.of(model, eni, key, tracked.phase))
        });
        let holder = question.eni.instance();
        let shares = |key: &&Key| {
            let eni = model.eni(&key.eni);
            key.eni == question.eni.id
                || (holder.is_some() && eni.and_then(Eni::instance) == holder)
        };
        self.flows.keys().filter(shares).count() >= allowance
    }
}

impl TrackerTimeouts {
    fn of(&self, model: &Model, eni: &Eni, key: &Key, phase: Phase) -> Duration {
        let own = model.tracking_timeouts(eni);
        let secs = |secs: u32| Duration::from_secs(secs.into());
        match (key.protocol(), phase) {
            (key::TCP, Phase::Opening) => self.tcp_opening,
            (key::TCP, Phase::Closed) => self.tcp_closing,
            (key::TCP, Phase::Answered | Phase::Stream) => secs(own.tcp_established_secs),
            (key::UDP, Phase::Stream) => secs(own.udp_stream_secs),
            (key::UDP, _) => secs(own.udp_secs),
            (key::ICMP, _) => self.icmp,
            _ => self.other,
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

    const fn idle(&self, now: Timestamp) -> Duration {
        now.saturating_since(self.last)
    }

    fn lives(
        &self,
        timeouts: &TrackerTimeouts,
        question: &Question<'_>,
        key: &Key,
        now: Timestamp,
    ) -> bool {
        self.idle(now) <= timeouts.of(question.model, question.eni, key, self.phase)
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
