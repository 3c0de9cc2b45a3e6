//! The reference verdict: what the VPC does with a packet, decided from the model's objects.
//!
//! It is written from the documentation and shares nothing with any fabric: a fabric is checked
//! against it.
//!
//! Ideal vs reality: link-local services are not looked at. NAT gateways use their primary address
//! only, and choose the lowest free port where EC2 chooses any: whoever compares ignores the port.
//! What may be fragmented passes whole, however long it is.

mod acls;
mod edge;
mod groups;
mod journey;
mod tracker;
mod ways;

use std::net::IpAddr;

use underlay_types::{EniId, NetworkAclId, Timestamp};

use self::journey::Journey;
pub use self::tracker::{Tracker, TrackerTimeouts};
use crate::{AclDirection, Eni, Model};

/// A packet, as far as the VPC looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
    /// Its bytes, IP header included.
    pub length: u16,
    /// Whether no router may fragment it; none ever fragments IPv6.
    pub dont_fragment: bool,
}

impl Packet {
    /// A packet that fits every way.
    #[must_use]
    pub const fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Self {
        Self {
            source,
            destination,
            transport,
            length: 100,
            dont_fragment: true,
        }
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// ICMP, or ICMPv6 where the addresses are of IPv6.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The identifier of an echo and its reply.
        id: u16,
    },
    /// An ICMP or ICMPv6 message about a packet that could not be delivered.
    IcmpError {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The packet it is about.
        about: Quoted,
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

impl Transport {
    /// What an ICMP error quotes of it.
    const fn as_quoted(self) -> QuotedTransport {
        match self {
            Self::Icmp { kind, code, id } => QuotedTransport::Icmp { kind, code, id },
            Self::IcmpError { kind, code, .. } => QuotedTransport::Icmp { kind, code, id: 0 },
            Self::Other(number) => QuotedTransport::Other(number),
            Self::Tcp {
                source,
                destination,
                ..
            } => QuotedTransport::Tcp {
                source,
                destination,
            },
            Self::Udp {
                source,
                destination,
            } => QuotedTransport::Udp {
                source,
                destination,
            },
        }
    }
}

/// What an ICMP error quotes of the packet that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// What it carried.
    pub transport: QuotedTransport,
}

/// What a quoted packet carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotedTransport {
    /// An ICMP or ICMPv6 message.
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
    /// It comes out at this interface, as it was sent.
    Delivered(EniId),
    /// It comes out at this interface, as this packet.
    Translated(EniId, Packet),
    /// It leaves for the internet, as this packet.
    Left(Packet),
    /// A NAT gateway knows no such connection and answers with a RST, of which this becomes.
    Reset(Box<Self>),
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
    /// It begins a flow, and an interface's instance tracks as many as it may.
    TrackingFull(EniId),
    /// The sender's route table does not know the way.
    NoRoute,
    /// The route leads to an interface that cannot take packets.
    Blackhole,
    /// Nothing in the VPC has the address.
    UnknownAddress,
    /// It is longer than the way takes and may not be fragmented.
    TooBig {
        /// What the way takes.
        mtu: u32,
        /// Whether the router's ICMP message about it reaches the sender.
        told: bool,
    },
    /// The receiver takes only what is for its own addresses.
    DestinationCheck,
    /// No rule of this receiver's groups allows it.
    IngressGroups(EniId),
    /// The ACL of the subnet that it leaves (egress) or enters does not allow it.
    NetworkAcl(NetworkAclId, AclDirection),
    /// It would leave by an internet gateway, and its source has no public address.
    NoPublicAddress,
    /// The gateway lets answers in only, and it is none.
    NotAsked,
    /// A NAT gateway does not translate its protocol, or has no port left.
    NotTranslated,
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
        self.judge(tracker, now, sender, packet)
            .unwrap_or_else(Verdict::Dropped)
    }

    /// What becomes of a packet that comes from the internet, and what `tracker` learns of it.
    pub fn verdict_from_outside(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        packet: &Packet,
    ) -> Verdict {
        Journey::new(self, tracker, now, packet)
            .begin_outside()
            .unwrap_or_else(Verdict::Dropped)
    }

    fn judge(
        &self,
        tracker: &mut Tracker,
        now: Timestamp,
        sender: &EniId,
        packet: &Packet,
    ) -> Result<Verdict, DropReason> {
        let sender = self.eni(sender).filter(|eni| self.is_live(eni));
        let sender = sender.ok_or(DropReason::NoSender)?;
        if sender.source_dest_check && !sender.addresses.contains(packet.source) {
            return Err(DropReason::SourceCheck);
        }
        if !self.is_for_one(sender, packet.destination) {
            return Err(DropReason::NoReceiver);
        }
        Journey::new(self, tracker, now, packet).begin_at(sender)
    }

    fn is_for_one(&self, sender: &Eni, destination: IpAddr) -> bool {
        let subnet = self.subnet(&sender.subnet);
        match destination {
            IpAddr::V4(destination) => {
                let is_reserved = subnet.is_some_and(|subnet| {
                    destination == subnet.router() || destination == subnet.cidr.broadcast()
                });
                let [first, ..] = destination.octets();
                !is_reserved && first != 0 && first < 224
            }
            IpAddr::V6(destination) => {
                let router = subnet.and_then(|subnet| subnet.router_v6());
                !destination.is_multicast()
                    && !destination.is_unspecified()
                    && !destination.is_loopback()
                    && !destination.is_unicast_link_local()
                    && router != Some(destination)
            }
        }
    }
}

#[cfg(test)]
mod tests;
