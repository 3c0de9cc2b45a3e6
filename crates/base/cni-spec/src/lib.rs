//! The CNI specification, 0.3.1 to 1.1.0, as types: environment, configuration, results, errors.
//!
//! Data only. A runtime runs a plugin with an [`Environment`] and a [`NetworkConfig`] on standard
//! input; the plugin answers with an [`AddResult`], nothing, or a [`CniError`]. Whatever the
//! runtime sends is parsed here, and a part that does not fit becomes the specification's error
//! code with a message that names it.
//!
//! Specification: <https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md>

#![forbid(unsafe_code)]

mod args;
mod command;
mod config;
mod environment;
mod error;
mod keys;
mod pod_eni;
mod result;
mod version;

pub use args::{ArgsError, CniArgs};
pub use command::Command;
pub use config::{Attachments, ConfigHead, NetworkConfig, POD_ANNOTATIONS};
pub use environment::{Environment, Variables};
pub use error::{CniError, ErrorCode};
pub use keys::{ENI, NETWORK_CARD, OWN_KEYS, RUN_DIR, SECURITY_GROUPS};
pub use pod_eni::{POD_ENI, PodEni, PodEniError};
pub use result::{AddResult, Interface, IpConfig, PreviousResult, Route};
pub use version::{CniVersion, UnsupportedVersion, supported_versions_json};
