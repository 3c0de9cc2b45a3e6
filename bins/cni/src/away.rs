//! Why the agent did not answer, and what people are told.

use std::{io, path::PathBuf, time::Duration};

use underlay_agent_api::FrameError;
use underlay_cni_spec::{CniError, ErrorCode};

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
        let again = |msg: String| {
            CniError::new(ErrorCode::TryAgainLater, msg).with_details(
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

/// What the system answered. A runtime takes a DEL's error that says "not found" or "no such file
/// or directory" for a success, so that these words must not reach it.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such path".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}
