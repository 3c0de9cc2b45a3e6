//! The fabric with real namespaces, devices and sockets. Needs root.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod acls;
mod gateways;
mod groups;
mod ipv6;
mod link_local;
mod metadata;
mod peering;
mod ports;
mod reach;
mod records;
mod resume;
mod routing;
mod too_big;
mod tracking;
mod traffic;
mod trunk;
mod world;
