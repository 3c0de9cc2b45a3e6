//! What happened: packets of one flow at one ENI.

use std::{fmt, net::IpAddr, ops::BitOr, str::FromStr};

use underlay_types::Timestamp;

/// Which way a packet crosses the ENI, from the ENI's owner's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the owner.
    Ingress,
    /// From the owner.
    Egress,
}

/// What the security groups and network ACLs decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Let through.
    Accept,
    /// Refused.
    Reject,
}

/// The TCP flags a flow log reports: FIN 1, SYN 2, RST 4, and ACK 16 only of a SYN-ACK.
///
/// Flags of several packets are OR-ed, but only after [`TcpFlags::of_packet`]: OR-ing the raw
/// bytes of a SYN and a later ACK would read as a SYN-ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TcpFlags(u8);

/// One flow at one ENI: what the counters of a window are kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Which way it crosses the ENI.
    pub direction: Direction,
    /// The packets' own source address.
    pub src: IpAddr,
    /// The packets' own destination address.
    pub dst: IpAddr,
    /// The source port; 0 unless TCP or UDP.
    pub src_port: u16,
    /// The destination port; 0 unless TCP or UDP.
    pub dst_port: u16,
    /// The IANA protocol number.
    pub protocol: u8,
    /// What was decided.
    pub action: Action,
}

/// The packets of one flow in a part of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowRecord {
    /// The flow.
    pub key: FlowKey,
    /// Packets counted.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// When the first packet was seen, since the Unix epoch.
    pub first: Timestamp,
    /// When the last packet was seen, since the Unix epoch.
    pub last: Timestamp,
    /// The reported flags of all packets, OR-ed.
    pub tcp_flags: TcpFlags,
}

/// Which records a flow log wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficType {
    /// Accepted traffic only.
    Accept,
    /// Rejected traffic only.
    Reject,
    /// Everything.
    All,
}

/// Why a text is not a traffic type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a traffic type: use ACCEPT, REJECT or ALL")]
pub struct TrafficTypeError(pub String);

// === impl TcpFlags ===

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// No reported flag.
    pub const NONE: Self = Self(0);

    /// The reported flags of one packet, from its TCP header's flag byte.
    #[must_use]
    pub const fn of_packet(raw: u8) -> Self {
        let reported = raw & (Self::FIN | Self::SYN | Self::RST);
        if raw & (Self::SYN | Self::ACK) == Self::SYN | Self::ACK {
            Self(reported | Self::ACK)
        } else {
            Self(reported)
        }
    }

    /// Flags that were mapped per packet and OR-ed elsewhere; bits that no flow log reports are
    /// dropped.
    #[must_use]
    pub const fn from_reported(bits: u8) -> Self {
        Self(bits & (Self::FIN | Self::SYN | Self::RST | Self::ACK))
    }

    /// The bit mask as a flow log prints it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// === impl FlowRecord ===

impl FlowRecord {
    /// Adds the packets of another record of the same flow.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.tcp_flags = self.tcp_flags | other.tcp_flags;
    }
}

// === text ===

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Reject => "REJECT",
        })
    }
}

impl TrafficType {
    /// Whether a record of `action` is wanted.
    #[must_use]
    pub fn wants(self, action: Action) -> bool {
        match self {
            Self::Accept => action == Action::Accept,
            Self::Reject => action == Action::Reject,
            Self::All => true,
        }
    }
}

impl fmt::Display for TrafficType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Reject => "REJECT",
            Self::All => "ALL",
        })
    }
}

impl FromStr for TrafficType {
    type Err = TrafficTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ACCEPT" => Ok(Self::Accept),
            "REJECT" => Ok(Self::Reject),
            "ALL" => Ok(Self::All),
            _ => Err(TrafficTypeError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_reported_of_a_syn_ack_only() {
        let reported = |packets: &[u8]| {
            packets
                .iter()
                .fold(TcpFlags::NONE, |all, raw| all | TcpFlags::of_packet(*raw))
                .bits()
        };
        assert_eq!(reported(&[0x02]), 2, "SYN");
        assert_eq!(reported(&[0x12]), 18, "SYN-ACK");
        assert_eq!(reported(&[0x10, 0x18]), 0, "ACK and PSH");
        assert_eq!(reported(&[0x02, 0x10, 0x18]), 2, "SYN, then ACKs");
        assert_eq!(reported(&[0x02, 0x10, 0x11]), 3, "SYN to FIN");
        assert_eq!(reported(&[0x12, 0x10, 0x11]), 19, "SYN-ACK to FIN");
        assert_eq!(reported(&[0x14]), 4, "RST");
        assert_eq!(TcpFlags::from_reported(0xff).bits(), 23);
    }

    #[test]
    fn traffic_types_round_trip_and_choose_records() {
        for (kind, accepts, rejects) in [
            (TrafficType::Accept, true, false),
            (TrafficType::Reject, false, true),
            (TrafficType::All, true, true),
        ] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(
                (kind.wants(Action::Accept), kind.wants(Action::Reject)),
                (accepts, rejects)
            );
        }
        assert_eq!(
            "all".parse::<TrafficType>(),
            Err(TrafficTypeError("all".into()))
        );
    }
}
