//! The node agent: owns the node's addresses, wires its pods, serves the plugin.

fn main() {}
