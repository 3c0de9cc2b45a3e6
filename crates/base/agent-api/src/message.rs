//! Requests and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the protocol that clients speak now.
pub const PROTOCOL: u32 = 1;
/// The oldest version that the agent serves: the one before [`PROTOCOL`], once there is one.
pub const OLDEST_PROTOCOL: u32 = 1;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version of the protocol.
    pub proto: u32,
    /// `CNI_COMMAND`, or the name of a [`NodeCommand`](crate::NodeCommand).
    pub command: String,
    /// The `CNI_*` variables that were set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Standard input, verbatim.
    #[serde(default)]
    pub stdin: String,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(command: &str, env: BTreeMap<String, String>, stdin: String) -> Self {
        Self {
            proto: PROTOCOL,
            command: command.to_owned(),
            env,
            stdin,
        }
    }
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of the protocol.
    pub proto: u32,
    /// The client's exit status; 0 is success.
    pub exit: u8,
    /// The client's standard output, verbatim.
    #[serde(default)]
    pub stdout: String,
}

impl Answer {
    /// An answer of this version.
    #[must_use]
    pub fn new(exit: u8, stdout: String) -> Self {
        Self {
            proto: PROTOCOL,
            exit,
            stdout,
        }
    }
}
