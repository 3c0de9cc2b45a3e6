//! What the CLI asks of the agent about the node as a whole.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A command about the node. Its answer's `stdout` is JSON: the state for `Status`, `{}` for the
/// others, and a [`NodeFailure`] where `exit` is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeCommand {
    /// `NODE_STATUS`: ENIs, pools, leases and what the agent waits for.
    Status,
    /// `NODE_DRAIN`: stop growth, give every ENI without pods back. `stdin` is [`DrainOptions`].
    Drain,
    /// `NODE_RESUME`: end what `Drain` began: grow again.
    Resume,
    /// `NODE_UNINSTALL`: as `Drain`, and take the conflist away first, so that the runtime sends no
    /// more pods. `stdin` is [`DrainOptions`].
    Uninstall,
}

/// A command that is none about the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of NODE_STATUS, NODE_DRAIN, NODE_RESUME, NODE_UNINSTALL")]
pub struct UnknownNodeCommand(pub String);

/// How to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOptions {
    /// Seconds after which what is not yet given back is reported instead.
    pub deadline_seconds: u64,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            deadline_seconds: 60,
        }
    }
}

/// Why a command about the node failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    /// What is left and why.
    pub error: String,
}

impl NodeCommand {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Status, Self::Drain, Self::Resume, Self::Uninstall];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "NODE_STATUS",
            Self::Drain => "NODE_DRAIN",
            Self::Resume => "NODE_RESUME",
            Self::Uninstall => "NODE_UNINSTALL",
        }
    }
}

impl fmt::Display for NodeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NodeCommand {
    type Err = UnknownNodeCommand;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|command| command.as_str() == text)
            .ok_or_else(|| UnknownNodeCommand(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for command in NodeCommand::ALL {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        assert!("ADD".parse::<NodeCommand>().is_err());
    }
}
