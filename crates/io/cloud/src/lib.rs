//! Clients for EC2 and the instance metadata service, with credentials, signing, budgets and typed errors.
//!
//! - [`ec2`]: the EC2 Query API: the actions a node needs, typed, signed, budgeted and retried;
//! - [`imds`]: what the instance metadata service says about the instance the program runs on;
//! - [`replies`]: answers without a server, for the fuzz targets.

#![forbid(unsafe_code)]

mod credentials;
pub mod ec2;
pub mod imds;
pub mod replies;
#[cfg(test)]
mod scripted_server;
mod xml;

pub use credentials::CredentialSource;
pub use ec2::{Ec2, Ec2Config, Ec2Error};
pub use imds::{Imds, ImdsError};
