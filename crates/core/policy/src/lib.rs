//! EC2 security-group rules compiled for pods of one set on one node.
//!
//! Pods of one set on one node reach each other without crossing the VPC, so the node applies the
//! set's own rules between them. Both ends carry all groups of the set: a connection is allowed if
//! some egress rule of the set and some ingress rule of the set allow it, as with two ENIs that
//! carry the set. [`Rule`] is the input, [`Compiled`] the result, [`allowed`] the definition that
//! the result must agree with.

#![forbid(unsafe_code)]

mod compile;
mod packet;
mod render;
mod rule;
mod traffic;

pub use compile::{Compiled, Match, Peers};
pub use packet::{Packet, Transport};
pub use rule::{Direction, Peer, Rule, allowed};
pub use traffic::{IcmpVersion, PortProtocol, PortRange, Traffic, TrafficError};
