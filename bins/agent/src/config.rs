//! The configuration file `/etc/underlay/agent.toml`.
