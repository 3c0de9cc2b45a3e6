//! The command line. Only paths have flags; everything else is in the configuration file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Gives the pods of this node addresses of the VPC.
#[derive(Debug, Parser)]
#[command(name = "underlay-agent", version)]
pub(crate) struct Arguments {
    /// The configuration file; a missing one means defaults.
    #[arg(long, global = true, default_value = underlay_agent::config::DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Serve this node (the default).
    Run,
    /// Take the node's pods off the network, give every ENI and address back, remove all rules.
    Uninstall,
}
