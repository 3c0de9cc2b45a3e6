//! The side towards the container runtime: socket, CNI requests and results, conflist, tombstones.
//!
//! Start-up, in this order: [`RunDir::claim`] makes sure that no other agent runs; once the engine
//! can serve, [`Front::start`] listens, carries out the DELs that the plugin left while no agent
//! was there, and serves; [`Front::publish_conflist`] tells the runtime that pods may come.
//!
//! Every connection carries one request and gets a thread of its own, since a
//! [`NodeService`](crate::service::NodeService) call blocks. Calls for one attachment wait for each
//! other, calls for different ones do not.

mod added;
mod branch_annotation;
mod conflist;
mod connection;
mod dispatch;
mod key_locks;
mod node_commands;
mod outcome;
mod pod_request;
mod run_dir;
mod server;
mod tombstones;

pub use conflist::ConflistError;
pub use run_dir::{RunDir, RunDirError};
pub use server::{Front, FrontError};
