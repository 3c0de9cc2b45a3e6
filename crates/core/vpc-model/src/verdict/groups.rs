//! Whether the groups of an interface allow a packet that belongs to no tracked flow.

use std::net::Ipv4Addr;

use super::{Packet, Transport};
use crate::{Eni, Model, Rule, RuleDirection, RulePeer, RuleTraffic};

/// A packet at an interface.
pub(super) struct Question<'a> {
    model: &'a Model,
    pub(super) eni: &'a Eni,
    pub(super) direction: RuleDirection,
    pub(super) packet: &'a Packet,
}

impl<'a> Question<'a> {
    pub(super) const fn new(
        model: &'a Model,
        eni: &'a Eni,
        direction: RuleDirection,
        packet: &'a Packet,
    ) -> Self {
        Self {
            model,
            eni,
            direction,
            packet,
        }
    }

    /// The address on the far side of the interface.
    pub(super) const fn remote(&self) -> Ipv4Addr {
        match self.direction {
            RuleDirection::Egress => self.packet.destination,
            RuleDirection::Ingress => self.packet.source,
        }
    }

    /// Whether any rule of any of the interface's groups allows the packet.
    pub(super) fn is_allowed(&self) -> bool {
        let groups = self.eni.groups.iter();
        groups
            .filter_map(|id| self.model.group(id))
            .flat_map(|group| group.rules_of(self.direction))
            .any(|rule| self.matches(rule))
    }

    fn matches(&self, rule: &Rule) -> bool {
        speaks_of(rule.traffic, self.packet.transport) && self.is_peer(&rule.peer)
    }

    fn is_peer(&self, peer: &RulePeer) -> bool {
        match peer {
            RulePeer::Ipv4(block) => block.contains(&self.remote()),
            RulePeer::Ipv6(_) => false,
            RulePeer::PrefixList(id) => self
                .model
                .prefix_list(id)
                .is_some_and(|list| list.contains(self.remote().into())),
            RulePeer::Group(id) => self
                .model
                .members_of(id)
                .any(|eni| eni.vpc == self.eni.vpc && eni.addresses.contains(self.remote())),
        }
    }
}

fn speaks_of(traffic: RuleTraffic, transport: Transport) -> bool {
    match (traffic, transport) {
        (RuleTraffic::All, _) => true,
        (RuleTraffic::Tcp(ports), Transport::Tcp { destination, .. })
        | (RuleTraffic::Udp(ports), Transport::Udp { destination, .. }) => {
            ports.contains(destination)
        }
        (
            RuleTraffic::Icmp { kind, code },
            Transport::Icmp {
                kind: k, code: c, ..
            },
        ) => kind.is_none_or(|kind| kind == k) && code.is_none_or(|code| code == c),
        (RuleTraffic::Protocol(wanted), Transport::Other(number)) => wanted == number,
        _ => false,
    }
}
