//! Kinds of traffic that a rule speaks of.

use std::fmt;

use crate::Transport;

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// From `first` to `last`; nothing if they are the wrong way round.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Whether `port` is among them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    pub(crate) const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Both as one range, if they overlap or touch.
    pub(crate) fn joined(self, other: Self) -> Option<Self> {
        let touch = |low: Self, high: Self| u32::from(high.first) <= u32::from(low.last) + 1;
        (touch(self, other) && touch(other, self)).then(|| Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpVersion {
    /// ICMP of IPv4.
    V4,
    /// ICMPv6.
    V6,
}

/// A kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// Everything.
    Any,
    /// Connections to some ports.
    Ports(PortProtocol, PortRange),
    /// ICMP; of any type, or of any code of a type, where `None`.
    Icmp {
        /// Which ICMP.
        version: IcmpVersion,
        /// The type.
        kind: Option<u8>,
        /// The code; meaningless without a type.
        code: Option<u8>,
    },
    /// A protocol without ports, by its number.
    Protocol(u8),
}

/// Why a permission of EC2 does not name a kind of traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// The ports are not a range.
    #[error("ports {from} to {to} of protocol {protocol} are not a range within 0 to 65535")]
    Ports {
        /// `IpProtocol`.
        protocol: String,
        /// `FromPort`.
        from: i32,
        /// `ToPort`.
        to: i32,
    },
    /// The protocol is unknown.
    #[error("{0:?} is not a protocol: tcp, udp, icmp, icmpv6, -1 or a number up to 255")]
    Protocol(String),
}

impl Traffic {
    /// Reads `IpProtocol`, `FromPort` and `ToPort` as `DescribeSecurityGroupRules` gives them:
    /// absent ports (and -1) mean all; for ICMP they are type and code.
    ///
    /// # Errors
    /// When the protocol is unknown or the ports are out of range.
    pub fn from_ec2(
        protocol: &str,
        from: Option<i32>,
        to: Option<i32>,
    ) -> Result<Self, TrafficError> {
        let ports = |kind| match (from, to) {
            (None | Some(-1), None | Some(-1)) => Ok(Self::Ports(kind, PortRange::ALL)),
            _ => {
                let (from, to) = (from.unwrap_or(-1), to.unwrap_or(-1));
                let range = u16::try_from(from).ok().zip(u16::try_from(to).ok());
                range
                    .and_then(|(from, to)| PortRange::new(from, to))
                    .map(|range| Self::Ports(kind, range))
                    .ok_or_else(|| TrafficError::Ports {
                        protocol: protocol.to_owned(),
                        from,
                        to,
                    })
            }
        };
        let icmp = |version| {
            let kind = from.and_then(|kind| u8::try_from(kind).ok());
            let code = to.and_then(|code| u8::try_from(code).ok());
            Ok(Self::Icmp {
                version,
                kind,
                code: kind.and(code),
            })
        };
        match protocol {
            "-1" => Ok(Self::Any),
            "tcp" | "6" => ports(PortProtocol::Tcp),
            "udp" | "17" => ports(PortProtocol::Udp),
            "icmp" | "1" => icmp(IcmpVersion::V4),
            "icmpv6" | "58" => icmp(IcmpVersion::V6),
            number => match number.parse() {
                Ok(number) => Ok(Self::Protocol(number)),
                Err(_) => Err(TrafficError::Protocol(number.to_owned())),
            },
        }
    }

    /// Whether `transport` is of this kind.
    #[must_use]
    pub fn contains(self, transport: Transport) -> bool {
        let icmp = |is, kind: u8, code: u8| match self {
            Self::Icmp {
                version,
                kind: k,
                code: c,
            } => version == is && k.is_none_or(|k| k == kind) && c.is_none_or(|c| c == code),
            _ => false,
        };
        self == Self::Any
            || match transport {
                Transport::Tcp(port) => {
                    matches!(self, Self::Ports(PortProtocol::Tcp, range) if range.contains(port))
                }
                Transport::Udp(port) => {
                    matches!(self, Self::Ports(PortProtocol::Udp, range) if range.contains(port))
                }
                Transport::Icmp(kind, code) => icmp(IcmpVersion::V4, kind, code),
                Transport::Icmpv6(kind, code) => icmp(IcmpVersion::V6, kind, code),
                Transport::Other(number) => self == Self::Protocol(number),
            }
    }

    /// Whether everything of `other` is also of this kind.
    pub(crate) fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Ports(mine, range), Self::Ports(theirs, within)) => {
                mine == theirs && range.covers(within)
            }
            (
                Self::Icmp {
                    version,
                    kind,
                    code,
                },
                Self::Icmp {
                    version: v,
                    kind: k,
                    code: c,
                },
            ) => version == v && (kind.is_none() || kind == k) && (code.is_none() || code == c),
            (mine, theirs) => mine == theirs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_of_ec2_are_read() {
        let tcp = |from, to| Traffic::Ports(PortProtocol::Tcp, PortRange::new(from, to).unwrap());
        assert_eq!(Traffic::from_ec2("-1", None, None), Ok(Traffic::Any));
        assert_eq!(
            Traffic::from_ec2("tcp", Some(80), Some(90)),
            Ok(tcp(80, 90))
        );
        assert_eq!(
            Traffic::from_ec2("6", Some(-1), Some(-1)),
            Ok(tcp(0, 65535))
        );
        let echo = Traffic::Icmp {
            version: IcmpVersion::V4,
            kind: Some(8),
            code: None,
        };
        assert_eq!(Traffic::from_ec2("icmp", Some(8), Some(-1)), Ok(echo));
        assert_eq!(
            Traffic::from_ec2("50", None, None),
            Ok(Traffic::Protocol(50))
        );
        for (protocol, from, to) in [
            ("tcp", Some(90), Some(80)),
            ("udp", Some(0), Some(65536)),
            ("tcp", Some(80), None),
            ("256", None, None),
            ("sctp?", None, None),
        ] {
            assert!(Traffic::from_ec2(protocol, from, to).is_err(), "{protocol}");
        }
    }
}
