//! Ports of the node that pods with an explicit security-group set may reach.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A range of ports of one protocol, written `tcp/53` or `udp/8000-8100`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePort {
    protocol: TransportProtocol,
    first: u16,
    last: u16,
}

/// Why a text is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port like \"tcp/53\" or a range like \"udp/8000-8100\"")]
pub struct NodePortError(pub String);

impl NodePort {
    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> TransportProtocol {
        self.protocol
    }

    /// The ports, never empty.
    #[must_use]
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for NodePort {
    type Err = NodePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NodePortError(text.to_owned());
        let (protocol, ports) = text.split_once('/').ok_or_else(error)?;
        let protocol = match protocol {
            "tcp" => TransportProtocol::Tcp,
            "udp" => TransportProtocol::Udp,
            _ => return Err(error()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| digits && *port != 0)
        };
        let (first, last) = port(first).zip(port(last)).ok_or_else(error)?;
        if first <= last {
            Ok(Self {
                protocol,
                first,
                last,
            })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for NodePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            TransportProtocol::Tcp => "tcp/",
            TransportProtocol::Udp => "udp/",
        })?;
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
