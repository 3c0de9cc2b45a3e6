//! The reference verdict: what the VPC does with a packet, decided from the model's objects.
//!
//! It is written from the documentation and shares nothing with any fabric: a fabric is checked
//! against it.
//!
//! Ideal vs reality: EC2 does not track flows that rules for everyone allow both ways, so that
//! removing such a rule cuts them at once; here every flow is tracked. ICMP errors about a tracked
//! flow are judged by the rules alone. Link-local services, network ACLs and gateways are not
//! looked at.

mod groups;
mod tracker;

use std::net::Ipv4Addr;

use underlay_types::{EniId, Timestamp};

pub use self::tracker::{Tracker, TrackerTimeouts};
use crate::{Eni, Model, Route, RouteState, RouteTarget, RuleDirection};

/// A packet, as far as the VPC looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source address.
    pub source: Ipv4Addr,
    /// Its destination address.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub transport: Transport,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// ICMP.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The identifier of an echo and its reply.
        id: u16,
    },
    /// Anything else, by its IANA number.
    Other(u8),
    /// TCP.
    Tcp {
        /// From this port.
        source: u16,
        /// To this port.
        destination: u16,
        /// What it does to the connection.
        segment: Segment,
    },
    /// UDP.
    Udp {
        /// From this port.
        source: u16,
        /// To this port.
        destination: u16,
    },
}

/// What a TCP packet does to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// Opens it: SYN without ACK.
    Syn,
    /// Neither opens nor ends it.
    Data,
    /// Ends one side of it.
    Fin,
    /// Ends it.
    Rst,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It comes out at this interface.
    Delivered(EniId),
    /// It is dropped.
    Dropped(DropReason),
}

/// Why a packet is dropped, in the order in which it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropReason {
    /// The sender does not exist or is not attached.
    NoSender,
    /// It is not from one of the sender's own addresses.
    SourceCheck,
    /// It is not for one receiver: broadcast, multicast, or the router itself.
    NoReceiver,
    /// No rule of the sender's groups allows it.
    EgressGroups,
    /// The sender's route table does not know the way.
    NoRoute,
    /// The route leads to an interface that cannot take packets.
    Blackhole,
    /// Nothing in the VPC has the address.
    UnknownAddress,
    /// The receiver takes only what is for its own addresses.
    DestinationCheck,
    /// No rule of this receiver's groups allows it.
    IngressGroups(EniId),
}

impl Model {
    /// What becomes of a packet that an interface sends, and what `tracker` learns of it.
    ///
    /// `now` must not go back between calls with one tracker.
    pub fn verdict(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        sender: &EniId,
        packet: &Packet,
    ) -> Verdict {
        match self.judge(tracker, now, sender, packet) {
            Ok(receiver) => Verdict::Delivered(receiver),
            Err(reason) => Verdict::Dropped(reason),
        }
    }

    fn judge(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        sender: &EniId,
        packet: &Packet,
    ) -> Result<EniId, DropReason> {
        let sender = self.eni(sender).filter(|eni| eni.is_attached());
        let sender = sender.ok_or(DropReason::NoSender)?;
        if sender.source_dest_check && !sender.addresses.contains(packet.source) {
            return Err(DropReason::SourceCheck);
        }
        if !self.is_for_one(sender, packet.destination) {
            return Err(DropReason::NoReceiver);
        }
        let egress = groups::Question::new(self, sender, RuleDirection::Egress, packet);
        if !tracker.passes(now, &egress) {
            return Err(DropReason::EgressGroups);
        }
        let receiver = self.next_hop(sender, packet.destination)?;
        if receiver.source_dest_check && !receiver.addresses.contains(packet.destination) {
            return Err(DropReason::DestinationCheck);
        }
        let ingress = groups::Question::new(self, receiver, RuleDirection::Ingress, packet);
        if tracker.passes(now, &ingress) {
            Ok(receiver.id.clone())
        } else {
            Err(DropReason::IngressGroups(receiver.id.clone()))
        }
    }

    fn is_for_one(&self, sender: &Eni, destination: Ipv4Addr) -> bool {
        let subnet = self.subnet(&sender.subnet);
        let is_reserved = subnet.is_some_and(|subnet| {
            destination == subnet.router() || destination == subnet.cidr.broadcast()
        });
        let [first, ..] = destination.octets();
        !is_reserved && first != 0 && first < 224
    }

    /// The interface that the sender's route table and the VPC's mapping lead to.
    fn next_hop(&self, sender: &Eni, destination: Ipv4Addr) -> Result<&Eni, DropReason> {
        let table = self
            .route_table_of(&sender.subnet)
            .ok_or(DropReason::NoRoute)?;
        let route = table
            .routes
            .iter()
            .filter(|route| route.destination.contains(&destination))
            .max_by_key(|route| route.destination.prefix_len())
            .ok_or(DropReason::NoRoute)?;
        match &route.target {
            RouteTarget::Local => self
                .eni_by_address(&sender.vpc, destination)
                .filter(|eni| eni.is_attached())
                .ok_or(DropReason::UnknownAddress),
            RouteTarget::Eni(id) => self.live_target(route, id),
        }
    }

    fn live_target(&self, route: &Route, id: &EniId) -> Result<&Eni, DropReason> {
        let alive = self.route_state(route) == RouteState::Active;
        self.eni(id).filter(|_| alive).ok_or(DropReason::Blackhole)
    }
}

#[cfg(test)]
mod tests;
