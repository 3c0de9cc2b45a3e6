//! Compiled rules as lines of nftables chains.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Compiled, Direction, IcmpVersion, Match, Peers, PortProtocol, PortRange, Traffic};

impl Compiled {
    /// The lines of the chain that a packet between two pods of the set meets first. Established
    /// connections go on; new ones that the sender's side allows go to the chain `receiver`.
    #[must_use]
    pub fn sender_chain(&self, receiver: &str) -> Vec<String> {
        let allowed = self.egress.iter();
        let mut lines = vec!["ct state established,related accept".to_owned()];
        lines.extend(allowed.map(|m| line(*m, Direction::Egress, &format!("goto {receiver}"))));
        lines.push("drop".to_owned());
        lines
    }

    /// The lines of the chain that decides for the receiver's side.
    #[must_use]
    pub fn receiver_chain(&self) -> Vec<String> {
        let allowed = self.ingress.iter();
        let mut lines: Vec<_> = allowed
            .map(|m| line(*m, Direction::Ingress, "accept"))
            .collect();
        lines.push("drop".to_owned());
        lines
    }
}

fn line(allowed: Match, direction: Direction, verdict: &str) -> String {
    let parts = [
        peers(allowed.peers, direction),
        traffic(allowed.traffic),
        verdict.to_owned(),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn peers(peers: Peers, direction: Direction) -> String {
    let Peers::Net(net) = peers else {
        return String::new();
    };
    let family = match net.addr() {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    let field = match direction {
        Direction::Ingress => "saddr",
        Direction::Egress => "daddr",
    };
    match (net, net.prefix_len()) {
        (IpNet::V4(_), 0) => "meta nfproto ipv4".to_owned(),
        (IpNet::V6(_), 0) => "meta nfproto ipv6".to_owned(),
        _ => format!("{family} {field} {net}"),
    }
}

fn traffic(traffic: Traffic) -> String {
    match traffic {
        Traffic::Any => String::new(),
        Traffic::Ports(protocol, ports) => {
            let protocol = match protocol {
                PortProtocol::Tcp => "tcp",
                PortProtocol::Udp => "udp",
            };
            if ports == PortRange::ALL {
                format!("meta l4proto {protocol}")
            } else {
                format!("{protocol} dport {ports}")
            }
        }
        Traffic::Icmp {
            version,
            kind,
            code,
        } => {
            let name = match version {
                IcmpVersion::V4 => "icmp",
                IcmpVersion::V6 => "icmpv6",
            };
            match (kind, code) {
                (None, _) if version == IcmpVersion::V4 => "meta l4proto icmp".to_owned(),
                (None, _) => "meta l4proto ipv6-icmp".to_owned(),
                (Some(kind), None) => format!("{name} type {kind}"),
                (Some(kind), Some(code)) => format!("{name} type {kind} {name} code {code}"),
            }
        }
        Traffic::Protocol(number) => format!("meta l4proto {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_start_with_established_and_end_with_drop() {
        let ports = PortRange::new(80, 90).unwrap();
        let tcp = Traffic::Ports(PortProtocol::Tcp, ports);
        let echo = Traffic::Icmp {
            version: IcmpVersion::V4,
            kind: Some(8),
            code: Some(0),
        };
        let net = |text: &str| Peers::Net(text.parse().unwrap());
        let compiled = Compiled {
            egress: vec![Match {
                peers: net("0.0.0.0/0"),
                traffic: Traffic::Any,
            }],
            ingress: vec![
                Match {
                    peers: Peers::All,
                    traffic: tcp,
                },
                Match {
                    peers: net("10.0.0.0/16"),
                    traffic: echo,
                },
            ],
        };
        assert_eq!(
            compiled.sender_chain("set-1-in"),
            [
                "ct state established,related accept",
                "meta nfproto ipv4 goto set-1-in",
                "drop"
            ]
        );
        assert_eq!(
            compiled.receiver_chain(),
            [
                "tcp dport 80-90 accept",
                "ip saddr 10.0.0.0/16 icmp type 8 icmp code 0 accept",
                "drop"
            ]
        );
        let nothing = Compiled::nothing().sender_chain("x");
        assert_eq!(nothing, ["ct state established,related accept", "drop"]);
    }
}
