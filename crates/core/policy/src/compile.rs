//! From rules to two short lists.

use std::net::IpAddr;

use ipnet::IpNet;
use underlay_types::SecurityGroupSet;

use crate::{Direction, Packet, Peer, Rule, Traffic};

/// The other ends that a [`Match`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// Every pod of the set.
    All,
    /// Those with an address of this block.
    Net(IpNet),
}

impl Peers {
    fn contains(self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Net(net) => net.contains(&address),
        }
    }

    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Net(mine), Self::Net(theirs)) => mine.contains(&theirs),
            (Self::Net(_), Self::All) => false,
        }
    }
}

/// Traffic with some peers that one direction's rules allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// The other ends.
    pub peers: Peers,
    /// The traffic.
    pub traffic: Traffic,
}

impl Match {
    fn covers(self, other: Self) -> bool {
        self.peers.covers(other.peers) && self.traffic.covers(other.traffic)
    }

    /// Both as one, if they differ in ports that overlap or touch and in nothing else.
    fn joined(self, other: Self) -> Option<Self> {
        match (self.traffic, other.traffic) {
            (Traffic::Ports(mine, range), Traffic::Ports(theirs, more))
                if mine == theirs && self.peers == other.peers =>
            {
                let traffic = Traffic::Ports(mine, range.joined(more)?);
                Some(Self { traffic, ..self })
            }
            _ => None,
        }
    }
}

/// Rules of a set compiled for traffic between its own pods: a connection is allowed if a match of
/// each list allows it. Sorted, and no match covers another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compiled {
    /// What the sender's side allows; the peers are receivers.
    pub egress: Vec<Match>,
    /// What the receiver's side allows; the peers are senders.
    pub ingress: Vec<Match>,
}

impl Compiled {
    /// Compiles the rules of all groups of `set`.
    #[must_use]
    pub fn new(rules: &[Rule], set: &SecurityGroupSet) -> Self {
        let side = |direction| {
            let rules = rules.iter().filter(|rule| rule.direction == direction);
            minimal(rules.flat_map(|rule| matches_of(rule, set)).collect())
        };
        let (egress, ingress) = (side(Direction::Egress), side(Direction::Ingress));
        if egress.is_empty() || ingress.is_empty() {
            return Self::nothing();
        }
        Self { egress, ingress }
    }

    /// What holds while the rules of a set are unknown: nothing is allowed.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether a connection that starts with `packet` is allowed.
    #[must_use]
    pub fn allows(&self, packet: &Packet) -> bool {
        let some = |matches: &[Match], peer| {
            matches
                .iter()
                .any(|m| m.peers.contains(peer) && m.traffic.contains(packet.transport))
        };
        some(&self.egress, packet.destination) && some(&self.ingress, packet.source)
    }
}

/// What a rule allows between pods of the set. Both ends carry every group of the set, so that a
/// reference to one of them means everybody and a reference to another nobody.
fn matches_of(rule: &Rule, set: &SecurityGroupSet) -> Vec<Match> {
    let peers = match &rule.peer {
        Peer::Cidr(net) => vec![Peers::Net(net.trunc())],
        Peer::Group(group) if set.contains(group) => vec![Peers::All],
        Peer::Group(_) => Vec::new(),
        Peer::PrefixList(nets) => nets.iter().map(|net| Peers::Net(net.trunc())).collect(),
    };
    let traffic = rule.traffic;
    peers
        .into_iter()
        .map(|peers| Match { peers, traffic })
        .collect()
}

/// The same traffic with as few matches as merging ports and dropping covered ones gives.
fn minimal(mut matches: Vec<Match>) -> Vec<Match> {
    matches.sort_unstable();
    // Sorted, ranges of the same protocol and peers stand together in the order of their starts.
    let mut merged: Vec<Match> = Vec::with_capacity(matches.len());
    for next in matches {
        match merged.last().and_then(|last| last.joined(next)) {
            Some(both) => {
                merged.pop();
                merged.push(both);
            }
            None => merged.push(next),
        }
    }
    merged.dedup();
    let covered = |one: &Match| {
        merged
            .iter()
            .any(|other| other != one && other.covers(*one))
    };
    merged.iter().copied().filter(|m| !covered(m)).collect()
}

#[cfg(test)]
mod tests;
