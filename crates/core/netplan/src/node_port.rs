//! Ports of the node that pods with an explicit group set may open connections to.

use std::{fmt, str::FromStr};

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A range of ports of one protocol, written `tcp/53` or `udp/8000-8100`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePort {
    protocol: Protocol,
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
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The ports as nftables writes them: one, or the first and the last with a dash between.
    pub(crate) fn range(&self) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for NodePort {
    type Err = NodePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NodePortError(text.to_owned());
        let (protocol, ports) = text.split_once('/').ok_or_else(error)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
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
        write!(f, "{}/{}", self.protocol, self.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_round_trip_and_reject_other_shapes() {
        for text in ["tcp/53", "tcp/1", "tcp/65535", "udp/1-65535"] {
            assert_eq!(text.parse::<NodePort>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "53",
            "53/udp",
            "tcp",
            "tcp/",
            "tcp/0",
            "tcp/53/",
            "sctp/1",
            "tcp/2-1",
            "tcp/+1",
            "tcp/65536",
            "tcp/1-",
        ] {
            assert_eq!(
                text.parse::<NodePort>(),
                Err(NodePortError(text.to_owned()))
            );
        }
    }
}
