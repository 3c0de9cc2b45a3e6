//! What the kernel of a node must look like for its pods, and the operations that get it there,
//! as data.
//!
//! Nothing here touches a kernel. [`NodeState`] is what is wired; [`node`], [`eni`], [`pod`] and
//! [`set_chain`] say which [`Object`]s that needs and give a [`Plan`]: the [`Op`]s that make them
//! exist or go, in an order in which stopping half-way and undoing leaves nothing. [`diff`]
//! compares what must be with what is. [`numbers`] owns every mark, rule priority, table, device
//! group and nftables name.
//!
//! How a packet of a pod finds its way, at a cost that does not grow with the pods:
//! 1. one map gives (device, source address) the mark of the pod's ENI, or the packet is dropped;
//! 2. one rule for each ENI sends the mark to the table of the ENI's group set, which has the node's
//!    pods of the set;
//! 3. one more sends it to the ENI's own table, which has the VPC's router for the rest.
//!
//! A pod that owns an ENI takes none of this way: see [`whole`].
//!
//! Directions are the pod's: what it sends leaves it.

#![forbid(unsafe_code)]

mod branch;
pub mod devices;
pub mod diff;
mod drift;
mod egress;
pub mod eni;
mod facts;
pub mod names;
pub mod node;
mod node_port;
pub mod numbers;
mod object;
mod plan;
pub mod pod;
mod ruleset;
mod services;
pub mod set_chain;
pub mod snat;
mod state;
pub mod steps;
pub mod trunk;
pub mod whole;

pub use drift::Drift;
pub use egress::Egress;
pub use facts::{EniSlot, EniWiring, NodeFacts, PodWiring, SlotOutOfRange};
pub use node_port::{NodePort, NodePortError, Protocol};
pub use object::{Object, Route, RuleOfBefore, Target};
pub use plan::{Op, Plan};
pub use snat::{Snat, SourcePorts};
pub use state::NodeState;
