//! The node agent: owns the node's addresses, wires its pods, serves the plugin.

#![forbid(unsafe_code)]

mod arguments;
mod program;
mod uninstall;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use arguments::{Arguments, Command};
use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => program::run(&arguments.config),
        Command::Uninstall => uninstall::run(&arguments.config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            drop(writeln!(io::stderr(), "underlay-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
