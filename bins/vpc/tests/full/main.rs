//! `underlay-vpc serve` in full mode, as a program. Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod ec2;
mod ending;
mod gateways;
mod guests;
mod link_local;
mod network;
mod outside;
mod run;
mod survival;
mod trunks;
