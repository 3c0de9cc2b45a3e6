//! The admin API of a running VPC: JSON over HTTP on a Unix socket in the run's folder.
//!
//! `GET /status`, `POST /endpoints`, `POST /hosts`, `POST /flow-logs/flush`, `POST /stop`. A
//! refusal is a status from 400 on with `{"error": "..."}`. All else is as [`crate::admin`] says.

mod client;
mod inspect;
mod server;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::{
    endpoints::{Endpoint, EndpointRequest},
    hosts::{Host, HostRequest},
};
pub use crate::admin::{AdminError, Refusal};
pub use client::Client;
pub(super) use server::{Facts, FullAdmin};

/// What a running VPC says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The run's name.
    pub run: String,
    /// The server's process.
    pub pid: u32,
    /// Where the API is served.
    pub api: String,
    /// Where flow logs are written.
    pub flow_log_dir: PathBuf,
    /// How many VPCs there are.
    pub vpcs: usize,
    /// How many subnets.
    pub subnets: usize,
    /// The running instances.
    pub instances: Vec<InstanceStatus>,
    /// ENIs attached to nothing.
    pub free_enis: usize,
    /// ENIs of endpoints and hosts.
    pub external_enis: usize,
    /// What happened to packets, by name; zeros are left out.
    pub packets: Vec<(String, u64)>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its id.
    pub id: String,
    /// Its type.
    pub instance_type: String,
    /// Its availability zone.
    pub zone: String,
    /// Its namespace.
    pub netns: PathBuf,
    /// Its ENIs with their primary addresses, the primary one first.
    pub enis: Vec<(String, String)>,
}

/// What a flush wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    /// The files.
    pub files: Vec<PathBuf>,
    /// What went wrong.
    pub errors: Vec<String>,
}
