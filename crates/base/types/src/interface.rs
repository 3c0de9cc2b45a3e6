//! How a pod is on the network.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::Mac;

/// How a pod is on the network: what it has of an ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// Addresses of an ENI that the node and other pods use too: a veth, routed by the node.
    #[default]
    Shared,
    /// A whole ENI: its own device, moved into the pod's namespace.
    Whole(WholeEni),
}

impl Interface {
    /// Whether it is [`Self::Shared`].
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }
}

/// What must be known of an ENI that a pod owns, to find its device and to configure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WholeEni {
    /// Its Ethernet address, by which its device is found: names change as it moves.
    pub mac: Mac,
    /// The IPv4 block of its subnet.
    pub subnet: Ipv4Net,
}
