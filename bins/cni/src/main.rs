//! The CNI plugin: hands the request and the pod's namespace to the agent, prints the answer.
//!
//! It decides nothing. What a runtime passed wrongly it says itself, so that the answer does not
//! depend on the agent; VERSION needs no agent either. Where no agent answers, ADD, CHECK, GC and
//! STATUS wait a while for it to be started again and are then refused with code 11, STATUS with 50;
//! DEL leaves a tombstone for the next agent.
//!
//! It may be killed at any point: before the request is sent nothing has happened, after it the
//! agent completes the call, and a tombstone appears by rename.

#![forbid(unsafe_code)]

mod away;
mod call;
mod invocation;
mod tombstone;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use underlay_agent_api::Answer;
use underlay_cni_spec::{CniError, CniVersion, Command, ErrorCode, supported_versions_json};

use crate::{away::Patience, invocation::Invocation};

fn main() -> ExitCode {
    let mut version = CniVersion::NEWEST;
    let answer = run(&mut version).unwrap_or_else(|error| Answer::new(1, error.to_json(version)));
    match print(&answer.stdout) {
        Ok(()) => ExitCode::from(answer.exit),
        // Nobody reads the answer; the runtime must not take the call for a success.
        Err(_unread) => ExitCode::FAILURE,
    }
}

/// Runs the command. `version` is what a failure is to be answered in, as far as it is known.
fn run(version: &mut CniVersion) -> Result<Answer, CniError> {
    let command = invocation::command()?;
    let stdin = invocation::stdin()?;
    if command == Command::Version {
        *version = invocation::version_asked(&stdin);
        return Ok(Answer::new(0, supported_versions_json(*version)));
    }
    let invocation = Invocation::read(command, stdin, version)?;
    let netns = invocation.open_netns()?;
    let patience = Patience::new(command);
    let failure = loop {
        match call::agent(&invocation, netns.as_ref()) {
            Ok(answer) => return Ok(answer),
            Err(failure) if patience.waits(&failure) => {}
            Err(failure) => break failure,
        }
    };
    if command != Command::Del || !failure.is_away() {
        return Err(failure.into_error(&invocation));
    }
    tombstone::leave(&invocation).map_err(|cause| cause.into_error(failure, &invocation))?;
    // An agent that began to listen before the tombstone stood may have looked for tombstones
    // already: ask again. One that begins later finds it.
    Ok(call::agent(&invocation, netns.as_ref())
        .unwrap_or_else(|_still_away| Answer::new(0, String::new())))
}

fn print(stdout: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(stdout.as_bytes())?;
    out.flush()
}

/// A failure of the system, on what.
fn io_error(what: impl std::fmt::Display, error: &io::Error) -> CniError {
    CniError::new(ErrorCode::Io, format!("{what}: {error}"))
}
