//! The fabric with real namespaces, devices and sockets. Needs root.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod groups;
mod metadata;
mod ports;
mod reach;
mod records;
mod resume;
mod routing;
mod traffic;
mod world;
