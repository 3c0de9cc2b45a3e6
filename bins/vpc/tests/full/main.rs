//! `underlay-vpc serve` in full mode, as a program. Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod ec2;
mod ending;
mod gateways;
mod gateways_survive;
mod guests;
mod inspect;
mod link_local;
mod network;
mod outside;
mod power;
mod run;
mod survival;
mod trunks;
