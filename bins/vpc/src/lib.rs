//! The VPC on one machine: EC2 API, instance metadata, fabric, flow logs.

#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod control_plane;
pub mod dns;
pub mod flowlogs;
pub mod full;
pub mod imds;
pub mod journal;
pub mod ntp;
pub mod serve;
