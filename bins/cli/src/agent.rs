//! One question to the agent over its Unix socket.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use underlay_agent_api::{
    Answer, FrameError, HEADER_LENGTH, NodeCommand, NodeFailure, Request, decode, encode,
    frame_length,
};

/// The agent behind a socket.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
}

/// Why the agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no agent at {}: it is not running on this node, or its socket is elsewhere (--socket); look at its log (journalctl -u underlay-agent)", .0.display())]
    Away(PathBuf),
    #[error("the agent behind {} has ended: nobody listens there any more; look at its log (journalctl -u underlay-agent)", .0.display())]
    Ended(PathBuf),
    #[error("the agent answers root only: run this as root")]
    NotRoot,
    #[error("the agent has not answered {command} within {}s; look at its log (journalctl -u underlay-agent)", .after.as_secs())]
    Silent {
        command: NodeCommand,
        after: Duration,
    },
    #[error("talking to the agent at {}: {error}", .socket.display())]
    Io { socket: PathBuf, error: io::Error },
    #[error("the agent's answer to {command} cannot be read: {error}")]
    Frame {
        command: NodeCommand,
        error: FrameError,
    },
    #[error("{0}")]
    Refused(String),
}

// === impl Agent ===

impl Agent {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The JSON that the agent answers to `command`.
    pub(crate) fn ask(
        &self,
        command: NodeCommand,
        stdin: &str,
        patience: Duration,
    ) -> Result<String, AskError> {
        let frame_error = |error| AskError::Frame { command, error };
        let request = Request::new(command.as_str(), BTreeMap::new(), stdin.to_owned());
        let request = encode(&request).map_err(frame_error)?;
        let deadline = Instant::now() + patience;
        let failed = |error: io::Error| self.explain(error, command, patience);
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        stream.write_all(&request).map_err(failed)?;
        let mut header = [0; HEADER_LENGTH];
        read_until(&mut stream, &mut header, deadline).map_err(failed)?;
        let mut json = vec![0; frame_length(header).map_err(frame_error)?];
        read_until(&mut stream, &mut json, deadline).map_err(failed)?;
        let answer: Answer = decode(&json).map_err(frame_error)?;
        if answer.exit == 0 {
            return Ok(answer.stdout);
        }
        let failure = serde_json::from_str::<NodeFailure>(&answer.stdout);
        Err(AskError::Refused(
            failure.map_or(answer.stdout, |failure| failure.error),
        ))
    }

    fn explain(&self, error: io::Error, command: NodeCommand, after: Duration) -> AskError {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::NotFound => AskError::Away(socket),
            io::ErrorKind::ConnectionRefused => AskError::Ended(socket),
            io::ErrorKind::PermissionDenied => AskError::NotRoot,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                AskError::Silent { command, after }
            }
            _ => AskError::Io { socket, error },
        }
    }
}

fn read_until(stream: &mut UnixStream, mut rest: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => rest = &mut rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
