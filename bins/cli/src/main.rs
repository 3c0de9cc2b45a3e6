//! The command for people: looks inside a node.
//!
//! `underlay node status`, `pods`, `drain`, `resume` and `uninstall` ask the agent over its Unix socket and
//! print what it says: tables for people, or its own JSON with `--json`.

#![forbid(unsafe_code)]

mod agent;
mod arguments;
mod node_status;
mod render;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::Parser as _;
use underlay_agent_api::{DrainOptions, NodeCommand, QUERY_DEADLINE};

use self::{
    agent::Agent,
    arguments::{Arguments, Command, NodeQuery},
    node_status::NodeStatus,
};

/// What the client waits longer than the agent, so that the agent's own answer arrives.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let Command::Node { socket, query } = Arguments::parse().command;
    match run(&Agent::at(socket), &query) {
        Ok(text) => print(&text),
        Err(error) => {
            // Nothing is left to do where even standard error is closed.
            writeln!(io::stderr(), "underlay: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(agent: &Agent, query: &NodeQuery) -> anyhow::Result<String> {
    match query {
        NodeQuery::Status { json } => {
            status(agent, *json, |status| render::node_status(status, now_ms()))
        }
        NodeQuery::Pods { json: false } => status(agent, false, render::pods),
        NodeQuery::Pods { json: true } => {
            let status: serde_json::Value = serde_json::from_str(&ask_status(agent)?)
                .context("the agent's status is not JSON")?;
            let leases = status.get("leases").unwrap_or(&serde_json::Value::Null);
            Ok(format!("{leases:#}\n"))
        }
        NodeQuery::Drain { deadline } => {
            give_back(agent, NodeCommand::Drain, *deadline)?;
            Ok("drained: every ENI without pods was given back\n".to_owned())
        }
        NodeQuery::Resume => {
            agent.ask(NodeCommand::Resume, "", QUERY_DEADLINE)?;
            Ok("resumed: the node grows and serves pods again\n".to_owned())
        }
        NodeQuery::Uninstall { deadline } => {
            give_back(agent, NodeCommand::Uninstall, *deadline)?;
            Ok(
                "uninstalled: the node sends no more pods here and its ENIs were given back\n"
                    .to_owned(),
            )
        }
    }
}

/// A clock before 1970 shows every notice as new.
fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn status(
    agent: &Agent,
    json: bool,
    render: impl Fn(&NodeStatus) -> String,
) -> anyhow::Result<String> {
    let text = ask_status(agent)?;
    if json {
        let value: serde_json::Value =
            serde_json::from_str(&text).context("the agent's status is not JSON")?;
        return Ok(format!("{value:#}\n"));
    }
    let status = serde_json::from_str(&text)
        .context("the agent's status has another shape than this version knows; try --json")?;
    Ok(render(&status))
}

fn ask_status(agent: &Agent) -> anyhow::Result<String> {
    Ok(agent.ask(NodeCommand::Status, "", QUERY_DEADLINE)?)
}

fn give_back(agent: &Agent, command: NodeCommand, deadline: Duration) -> anyhow::Result<()> {
    let options = DrainOptions {
        deadline_seconds: deadline.as_secs(),
    };
    let stdin = serde_json::to_string(&options)?;
    agent.ask(command, &stdin, deadline + ANSWER_MARGIN)?;
    Ok(())
}

/// A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
