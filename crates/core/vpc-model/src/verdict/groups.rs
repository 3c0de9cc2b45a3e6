//! Whether the groups of an interface allow a packet, and whether such a packet is tracked.

use std::net::IpAddr;

use underlay_types::VpcId;

use super::{Packet, Segment, Transport};
use crate::{Eni, Model, Rule, RuleDirection, RulePeer, RuleTraffic};

/// A packet at an interface.
pub(super) struct Question<'a> {
    pub(super) model: &'a Model,
    pub(super) eni: &'a Eni,
    pub(super) direction: RuleDirection,
    pub(super) packet: &'a Packet,
    /// The VPC among whose interfaces the far side is looked for; `None` when no reference to a
    /// group speaks of it: on the other side of the internet, or of a middlebox.
    pub(super) remote_vpc: Option<&'a VpcId>,
    /// Whether every flow is tracked that goes this way.
    pub(super) automatic: bool,
}

impl<'a> Question<'a> {
    /// The address on the far side of the interface.
    pub(super) const fn remote(&self) -> IpAddr {
        match self.direction {
            RuleDirection::Egress => self.packet.destination,
            RuleDirection::Ingress => self.packet.source,
        }
    }

    /// Whether any rule of any of the interface's groups allows the packet.
    pub(super) fn is_allowed(&self) -> bool {
        self.rules(self.direction).any(|rule| self.matches(rule))
    }

    /// Whether the packet, which the rules allow, begins a flow that is tracked (EC2 User Guide,
    /// "Amazon EC2 security group connection tracking", "Untracked connections" and
    /// "Automatically tracked connections").
    ///
    /// A TCP connection is tracked from its SYN on. The documentation does not say so, but that
    /// removing a rule interrupts an untracked connection at once: if a later segment could begin
    /// a tracked one, the next segment of the other side would revive it.
    pub(super) fn begins_tracked_flow(&self) -> bool {
        match self.packet.transport {
            Transport::Icmp { .. } | Transport::IcmpError { .. } | Transport::Other(_) => true,
            Transport::Tcp {
                destination,
                segment,
                ..
            } => segment == Segment::Syn && !self.is_untracked(self.direction, destination),
            // Nothing tells an answer from a question: it is untracked as either.
            Transport::Udp {
                source,
                destination,
            } => {
                !self.is_untracked(self.direction, destination)
                    && !self.is_untracked(self.direction.reverse(), source)
            }
        }
    }

    /// Whether flows that begin in `direction`, to `port`, are not tracked: everyone is allowed
    /// them by one rule, and everyone all ports in the other direction by another.
    fn is_untracked(&self, direction: RuleDirection, port: u16) -> bool {
        !self.automatic
            && self.is_open(direction, port, port)
            && self.is_open(direction.reverse(), 0, u16::MAX)
    }

    /// Whether one rule allows everyone the packet's protocol to these ports.
    fn is_open(&self, direction: RuleDirection, from: u16, to: u16) -> bool {
        let v6 = self.packet.source.is_ipv6();
        self.rules(direction).any(|rule| {
            let everyone = match &rule.peer {
                RulePeer::Ipv4(block) => !v6 && block.prefix_len() == 0,
                RulePeer::Ipv6(block) => v6 && block.prefix_len() == 0,
                // A list may hold everyone; the documentation speaks of rules.
                RulePeer::Group(_) | RulePeer::PrefixList(_) => false,
            };
            let ports = match (rule.traffic, self.packet.transport) {
                (RuleTraffic::All, _) => true,
                (RuleTraffic::Tcp(ports), Transport::Tcp { .. })
                | (RuleTraffic::Udp(ports), Transport::Udp { .. }) => {
                    ports.contains(from) && ports.contains(to)
                }
                _ => false,
            };
            everyone && ports
        })
    }

    fn rules(&self, direction: RuleDirection) -> impl Iterator<Item = &'a Rule> {
        let (model, groups) = (self.model, self.eni.groups.iter());
        groups
            .filter_map(move |id| model.group(id))
            .flat_map(move |group| group.rules_of(direction))
    }

    fn matches(&self, rule: &Rule) -> bool {
        self.is_spoken_of(rule.traffic) && self.is_peer(&rule.peer)
    }

    fn is_peer(&self, peer: &RulePeer) -> bool {
        match (peer, self.remote()) {
            (RulePeer::Ipv4(block), IpAddr::V4(remote)) => block.contains(&remote),
            (RulePeer::Ipv6(block), IpAddr::V6(remote)) => block.contains(&remote),
            (RulePeer::Ipv4(_), IpAddr::V6(_)) | (RulePeer::Ipv6(_), IpAddr::V4(_)) => false,
            (RulePeer::Group(id), remote) => self
                .model
                .members_of(id)
                .filter(|eni| Some(&eni.vpc) == self.remote_vpc && self.model.is_live(eni))
                .any(|eni| eni.addresses.contains(remote)),
            (RulePeer::PrefixList(id), remote) => self
                .model
                .prefix_list(id)
                .is_some_and(|list| list.contains(remote)),
        }
    }

    fn is_spoken_of(&self, traffic: RuleTraffic) -> bool {
        let v6 = self.packet.source.is_ipv6();
        match (traffic, self.packet.transport) {
            (RuleTraffic::All, _) => true,
            (RuleTraffic::Tcp(ports), Transport::Tcp { destination, .. })
            | (RuleTraffic::Udp(ports), Transport::Udp { destination, .. }) => {
                ports.contains(destination)
            }
            (
                RuleTraffic::Icmp { kind, code },
                Transport::Icmp {
                    kind: k, code: c, ..
                }
                | Transport::IcmpError {
                    kind: k, code: c, ..
                },
            ) => !v6 && kind.is_none_or(|kind| kind == k) && code.is_none_or(|code| code == c),
            (
                RuleTraffic::Icmpv6 { kind, code },
                Transport::Icmp {
                    kind: k, code: c, ..
                }
                | Transport::IcmpError {
                    kind: k, code: c, ..
                },
            ) => v6 && kind.is_none_or(|kind| kind == k) && code.is_none_or(|code| code == c),
            (RuleTraffic::Protocol(wanted), Transport::Other(number)) => wanted == number,
            _ => false,
        }
    }
}
