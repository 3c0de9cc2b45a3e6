//! `underlay-agent uninstall`: asks the running agent, or becomes one for as long as it takes.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};
use underlay_agent::engine::Engine;
use underlay_agent_api::{
    Answer, DrainOptions, HEADER_LENGTH, NodeCommand, NodeFailure, Request, decode, encode,
    frame_length,
};

use crate::program::{Agent, prepare};

/// ENIs take some 20 s to leave on EC2; a cooldown is not waited for.
const DEADLINE: Duration = Duration::from_secs(180);

pub(crate) fn run(config: &Path) -> anyhow::Result<()> {
    let config = prepare(config)?;
    let socket = config.paths.socket();
    if let Ok(stream) = UnixStream::connect(&socket) {
        return ask(stream);
    }
    // What nobody knew of must go too.
    Engine::forget_ec2(&config.paths.journal());
    let agent = Agent::start(&config).context("no agent runs here, and none can be started")?;
    let asked = UnixStream::connect(&socket)
        .with_context(|| format!("cannot connect to {}", socket.display()))
        .and_then(ask);
    agent.stop();
    asked
}

fn ask(mut stream: UnixStream) -> anyhow::Result<()> {
    let options = DrainOptions {
        deadline_seconds: DEADLINE.as_secs(),
    };
    let stdin = serde_json::to_string(&options)?;
    let request = Request::new(NodeCommand::Uninstall.as_str(), BTreeMap::new(), stdin);
    stream.set_read_timeout(Some(DEADLINE + Duration::from_secs(30)))?;
    stream
        .write_all(&encode(&request)?)
        .context("cannot ask the agent")?;
    let mut header = [0; HEADER_LENGTH];
    stream
        .read_exact(&mut header)
        .context("the agent did not answer")?;
    let mut json = vec![0; frame_length(header)?];
    stream
        .read_exact(&mut json)
        .context("the agent did not answer")?;
    let answer: Answer = decode(&json)?;
    if answer.exit == 0 {
        return Ok(());
    }
    match serde_json::from_str::<NodeFailure>(&answer.stdout) {
        Ok(failure) => bail!("{}", failure.error),
        Err(_) => bail!("the agent answered {}: {}", answer.exit, answer.stdout),
    }
}
