//! Drift: what somebody else changed of what is ours, by kind.

use crate::Object;

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The node's end of a pod: its name, address, MTU, group, or that it is up.
    Device,
    /// An element of a map or set of nftables.
    Element,
    /// The device of an ENI.
    Eni,
    /// A permanent neighbour.
    Neighbour,
    /// A pod whose device was deleted while its namespace lives.
    Pod,
    /// A route.
    Route,
    /// A rule that sends a mark to a table.
    Rule,
    /// A chain of nftables and what is in it.
    Ruleset,
    /// A setting under /proc/sys/net.
    Sysctl,
}

impl Drift {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Device,
        Self::Element,
        Self::Eni,
        Self::Neighbour,
        Self::Pod,
        Self::Route,
        Self::Rule,
        Self::Ruleset,
        Self::Sysctl,
    ];

    /// The kind as logs and metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Element => "element",
            Self::Eni => "eni",
            Self::Neighbour => "neighbour",
            Self::Pod => "pod",
            Self::Route => "route",
            Self::Rule => "rule",
            Self::Ruleset => "ruleset",
            Self::Sysctl => "sysctl",
        }
    }

    /// The kind of an object that is missing or too much.
    #[must_use]
    pub const fn of(object: &Object) -> Self {
        match object {
            Object::Neighbour { .. } => Self::Neighbour,
            Object::Route(_) => Self::Route,
            Object::Rule { .. } | Object::RuleOfBefore(_) | Object::Step { .. } => Self::Rule,
            _ => Self::Element,
        }
    }
}
