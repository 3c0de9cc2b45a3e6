//! EC2 security-group rules compiled for pods of one set on one node.

/// Rules of a set compiled for traffic between its own pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {}
