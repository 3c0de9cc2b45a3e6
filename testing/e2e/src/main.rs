//! The demo, the benchmarks and the end-to-end tests.

#![forbid(unsafe_code)]

mod bench;
mod cluster;
mod demo;
mod screen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shows and measures Underlay on this machine.
#[derive(Debug, Parser)]
#[command(name = "underlay-e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Arguments),
    /// Part of `bench`: runs plugins in the namespaces that it was started in.
    #[command(hide = true)]
    BenchWorker {
        /// What to run, as JSON.
        setup: String,
    },
    /// Fails if the agent holds more after many ADDs and DELs than before.
    Soak {
        /// ADDs, each with its DEL.
        #[arg(long, default_value_t = 100_000)]
        rounds: usize,
    },
    /// Fails if the plugin has more instructions or bytes than were recorded.
    PluginBudget,
    /// Kubernetes on the local VPC, with Underlay as its only network.
    Cluster {
        #[command(subcommand)]
        command: cluster::Command,
    },
    /// A VPC, three nodes, 30 pods and a three-tier application guarded by security groups.
    Demo {
        /// Leave everything running; `demo-down` removes it.
        #[arg(long)]
        keep: bool,
        /// The run's id; demos with different ids stand side by side.
        #[arg(long, default_value = demo::RUN_ID)]
        run: String,
    },
    /// Removes what `demo --keep` left running.
    DemoDown {
        /// The run's id.
        #[arg(long, default_value = demo::RUN_ID)]
        run: String,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match arguments.command {
        Command::Bench(arguments) => runtime.block_on(bench::run(arguments)),
        Command::BenchWorker { setup } => {
            bench::worker::run(&setup)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Soak { rounds } => runtime.block_on(bench::soak::run(rounds)),
        Command::PluginBudget => bench::check_plugin(),
        Command::Cluster { command } => runtime.block_on(cluster::run(command)),
        Command::Demo { keep, run } => runtime.block_on(demo::run(&run, keep)),
        Command::DemoDown { run } => demo::down(&run),
    }
}
