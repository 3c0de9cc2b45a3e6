//! The kernel part of the agent against a real kernel: a node, its ENIs and a small VPC, each in a
//! namespace of the test's own that dies with the test. Needs root and `nft`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test panics where it fails and says what it measured"
)]

mod branch_drift;
mod branches;
mod check;
mod drift;
mod egress;
mod groups;
mod injected;
mod ipv6;
mod kube_proxy;
mod lab;
mod lifecycle;
mod measure;
mod moved;
mod outside;
mod routing;
mod second;
mod services;
mod traffic;
mod upgrade;
mod whole;
