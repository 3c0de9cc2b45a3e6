//! Full mode: instances are namespaces, ENIs are devices, and packets obey the VPC.
//!
//! The model decides; a driver makes the kernel follow each change before the call that made it is
//! answered. Everything that is made is recorded in the run's folder first ([`RunDir`]), so that
//! [`clean()`] finds it even if this process is killed.

pub mod admin;
mod claim;
mod clean;
mod commands;
mod debts;
mod driver;
mod endpoints;
mod hosts;
mod link_local;
mod metadata;
mod namespaces;
mod preflight;
mod process;
mod run_dir;
mod serve;
mod translate;
mod vpc;
mod windows;

pub use claim::Claim;
pub use clean::{CleanError, clean};
pub use commands::{CommandError, FullArgs, RunCommand};
pub use driver::{DriveError, Driver};
pub use link_local::LinkLocalError;
pub use metadata::MetadataError;
pub use namespaces::{NamespaceError, Namespaces};
pub use preflight::PreflightError;
pub use process::{EndError, ProcessRecord, ProcessRecordError};
pub use run_dir::{RunDir, RunDirError, RunId, RunIdError};
pub use serve::{Ending, FullError, FullOptions, serve, stop};
