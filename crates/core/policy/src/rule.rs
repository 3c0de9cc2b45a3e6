//! Security-group rules, and what they mean.

use std::net::IpAddr;

use ipnet::IpNet;
use underlay_types::{SecurityGroupId, SecurityGroupSet};

use crate::{Packet, Traffic};

/// Which way the traffic goes, seen from the group's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To it.
    Ingress,
    /// From it.
    Egress,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Addresses of a block.
    Cidr(IpNet),
    /// Members of a group.
    Group(SecurityGroupId),
    /// Addresses of the blocks of a prefix list.
    PrefixList(Vec<IpNet>),
}

/// A rule of one of the groups of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// What.
    pub traffic: Traffic,
    /// From or to whom.
    pub peer: Peer,
}

impl Rule {
    fn allows(&self, direction: Direction, set: &SecurityGroupSet, packet: &Packet) -> bool {
        let other = match direction {
            Direction::Ingress => packet.source,
            Direction::Egress => packet.destination,
        };
        let peer = match &self.peer {
            Peer::Cidr(net) => contains(net, other),
            Peer::Group(group) => set.contains(group),
            Peer::PrefixList(nets) => nets.iter().any(|net| contains(net, other)),
        };
        self.direction == direction && peer && self.traffic.contains(packet.transport)
    }
}

fn contains(net: &IpNet, address: IpAddr) -> bool {
    net.contains(&address)
}

/// Whether a connection that starts with `packet`, from a pod of `set` to another, is allowed by
/// `rules`, those of all groups of the set: the definition.
#[must_use]
pub fn allowed(rules: &[Rule], set: &SecurityGroupSet, packet: &Packet) -> bool {
    let some = |direction| rules.iter().any(|rule| rule.allows(direction, set, packet));
    some(Direction::Egress) && some(Direction::Ingress)
}
