//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Pod networking on the VPC: the command for people.
#[derive(Debug, Parser)]
#[command(name = "underlay", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look inside this node, and give its ENIs back.
    Node {
        /// The agent's socket.
        #[arg(long, global = true, default_value = "/run/underlay/agent.sock")]
        socket: PathBuf,
        #[command(subcommand)]
        query: NodeQuery,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeQuery {
    /// ENIs, pools, and what the agent waits for.
    Status {
        /// Print the agent's own JSON.
        #[arg(long)]
        json: bool,
    },
    /// The pods of this node and their addresses.
    Pods {
        /// Print the agent's own JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop growing and give every ENI without pods back.
    Drain {
        /// How long to wait for EC2.
        #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
        deadline: Duration,
    },
    /// End a drain: grow and serve pods again.
    Resume,
    /// Drain, and take the network configuration away from the container runtime first.
    Uninstall {
        /// How long to wait for EC2.
        #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
        deadline: Duration,
    },
}
