//! The node against the modelled VPC in simulated time.
//!
//! A schedule is one life of a node, from its first start to its drain: the real allocator
//! (`underlay-ipam`) and the real journal codec and replay (`underlay-journal`) against the real
//! model of EC2 (`underlay-vpc-model`), with what lies between them played: the agent's client and
//! its retries, the kernel's devices, the container runtime. Everything follows from one number,
//! the seed: sizes and targets, which faults strike and when, where the agent is killed, what time
//! does. What must hold is checked after each step and at rest; a schedule that fails is repeated
//! by its seed, with a trace.

#![forbid(unsafe_code)]

mod agent;
mod cloud;
mod queue;
mod schedule;
mod setting;
mod tally;
mod world;

pub use schedule::{Campaign, Violation, replay, run};
pub use tally::Tally;
