//! The protocol between the agent and its clients, the plugin and the CLI.
//!
//! One request and one answer per connection over a Unix stream socket. Each is a frame: four
//! bytes of length, most significant first, then as many bytes of JSON. With the first byte of a
//! request comes at most one descriptor (`SCM_RIGHTS`), the pod's network namespace. Unknown fields
//! are ignored on both sides; the agent serves [`PROTOCOL`] and the version before it.
//!
//! Encoding and decoding only: sockets, descriptors and deadlines are the programs'.

#![forbid(unsafe_code)]

mod frame;
mod message;
mod node;
mod paths;

pub use frame::{FRAME_LENGTH_MAX, FrameError, HEADER_LENGTH, decode, encode, frame_length};
pub use message::{Answer, OLDEST_PROTOCOL, PROTOCOL, Request};
pub use node::{DrainOptions, NodeCommand, NodeFailure, UnknownNodeCommand};
pub use paths::{DEFAULT_RUN_DIR, SOCKET_FILE, TOMBSTONE_DIR, tombstone_file};

use std::time::Duration;

/// How long a client waits for the answer to an ADD: longer than the agent may wait for growth, so
/// that the agent's own answer arrives.
pub const ADD_DEADLINE: Duration = Duration::from_secs(90);
/// How long a client waits for the answer to a DEL or GC: a DEL may have to wait for the ADD of the
/// same attachment.
pub const DEL_DEADLINE: Duration = Duration::from_secs(110);
/// How long a client waits for the answer to anything else.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(10);

/// How long a call that finds no agent waits for one: longer than a supervisor takes to start a
/// killed agent again, so that runtime and node do not notice.
pub const RESTART_WAIT: Duration = Duration::from_secs(5);
