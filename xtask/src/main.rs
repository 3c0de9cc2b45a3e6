//! Developer commands that need no privileges: `cargo run -p xtask -- check-layers`.

#![forbid(unsafe_code)]

mod layers;
mod metadata;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Developer commands of Underlay")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fails on a dependency that points against the direction of the layers.
    CheckLayers,
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::CheckLayers => check_layers(),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people"
)]
fn check_layers() -> anyhow::Result<ExitCode> {
    let packages = metadata::workspace_packages()?;
    let broken = layers::violations(&packages);
    for violation in &broken {
        eprintln!("check-layers: {violation}");
    }
    if broken.is_empty() {
        println!(
            "check-layers: {} packages, every edge points down",
            packages.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
