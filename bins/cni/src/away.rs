//! Why the agent did not answer, and what people are told.

use std::{
    io,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use underlay_agent_api::{FrameError, RESTART_WAIT};
use underlay_cni_spec::{CniError, Command, ErrorCode};

use crate::invocation::Invocation;

/// Why there is no answer of the agent.
pub(crate) enum CallError {
    /// Nobody listens on the socket.
    Connect(PathBuf, io::Error),
    /// The connection ended before the answer.
    Lost(io::Error),
    /// No answer within the deadline.
    Late(Duration),
    /// The request does not fit into a frame.
    Request(FrameError),
    /// The answer is none.
    Answer(FrameError),
}

impl CallError {
    /// Whether no agent holds the request any more: a DEL may then leave a tombstone.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Connect(..) | Self::Lost(_))
    }

    /// The answer to the runtime.
    pub(crate) fn into_error(self, invocation: &Invocation) -> CniError {
        let command = invocation.command;
        // Pods that run lose nothing while the agent is away.
        let code = match command {
            Command::Status => ErrorCode::NotAvailable,
            _ => ErrorCode::TryAgainLater,
        };
        let again = |msg: String| {
            CniError::new(code, msg).with_details(
                "look with `systemctl status underlay-agent` and `journalctl -u underlay-agent`; \
                 once it runs, `underlay node status` says what it waits for",
            )
        };
        match self {
            Self::Connect(path, error) => again(format!(
                "{command}: the Underlay agent is away: {}: {}",
                path.display(),
                reason(&error)
            )),
            Self::Lost(error) => again(format!(
                "{command}: the Underlay agent ended before it answered: {}",
                reason(&error)
            )),
            Self::Late(limit) => again(format!(
                "{command}: the Underlay agent did not answer within {limit:?}"
            )),
            Self::Request(error) => CniError::new(ErrorCode::Decode, format!("{command}: {error}")),
            Self::Answer(error) => again(format!(
                "{command}: the Underlay agent's answer is not understood: {error}; are plugin and \
                 agent of one release?"
            )),
        }
    }
}

/// Time between two looks for the agent.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long a call waits for an agent that is away.
pub(crate) struct Patience {
    command: Command,
    end: Instant,
}

impl Patience {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            end: Instant::now() + RESTART_WAIT,
        }
    }

    /// Whether the call is worth another try after `failure`; returns when it is time for it. An
    /// ADD that an agent may have begun is not: its leftovers are for the runtime's DEL. A DEL
    /// need not wait.
    pub(crate) fn waits(&self, failure: &CallError) -> bool {
        let repeatable = match failure {
            CallError::Connect(..) => self.command != Command::Del,
            CallError::Lost(_) => !matches!(self.command, Command::Add | Command::Del),
            CallError::Late(_) | CallError::Request(_) | CallError::Answer(_) => false,
        };
        if !repeatable || Instant::now() + INTERVAL > self.end {
            return false;
        }
        sleep(INTERVAL);
        true
    }
}

/// What the system answered. A runtime takes a DEL's error that says "not found" or "no such file
/// or directory" for a success, so that these words must not reach it.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such path".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}
