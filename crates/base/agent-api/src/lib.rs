//! The protocol between the plugin (or the CLI) and the agent: frames over a Unix socket.
