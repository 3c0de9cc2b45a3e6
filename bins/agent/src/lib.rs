//! The node agent: owns the node's addresses, wires its pods, serves the plugin.
//!
//! Five parts, joined only through [`service`]:
//! - [`cni_front`] speaks to the plugin and the CLI over the Unix socket and to the runtime through
//!   the conflist; it turns CNI requests into [`service`] calls and answers into CNI results;
//! - [`engine`] owns the allocator, the journal and the EC2 calls;
//! - [`kernel`] carries out the operations that `underlay-netplan` decides on;
//! - [`metrics`] tells Prometheus what [`service`] knows;
//! - [`config`] reads `/etc/underlay/agent.toml`.
//!
//! Before all of them, [`preflight`] looks whether the node can take the agent's packet rules.

#![forbid(unsafe_code)]

pub mod cni_front;
pub mod config;
pub mod engine;
pub mod kernel;
pub mod metrics;
pub mod preflight;
pub mod service;
pub mod waiting;
