//! What the kernel of a node must look like for its pods, and the operations that get it there,
//! as data.
//!
//! [`numbers`] owns every mark, rule priority, table, device group and nftables name.

#![forbid(unsafe_code)]

mod facts;
pub mod names;
pub mod numbers;

pub use facts::{
    EniSlot, EniWiring, NodeFacts, NodePort, NodePortError, PodWiring, Protocol, SlotOutOfRange,
};
