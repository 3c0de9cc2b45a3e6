//! The first packet of a connection, as far as rules look at it.

use std::net::IpAddr;

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The sender.
    pub source: IpAddr,
    /// The receiver; of the same family as the source.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// ICMP of this type and code.
    Icmp(u8, u8),
    /// ICMPv6 of this type and code.
    Icmpv6(u8, u8),
    /// Any other protocol, by its number.
    Other(u8),
}
