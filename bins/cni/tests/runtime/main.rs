//! A container runtime by hand: runs the plugin as a runtime does, against the agent's front over a
//! real socket. Behind the front stands a node that keeps leases in memory: what the engine does is
//! tested with the engine.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod away;
mod commands;
mod kills;
mod malformed;
mod memory_node;
mod namespaces;
mod order;
mod plugin;
mod socket;
