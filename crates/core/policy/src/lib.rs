//! EC2 security-group rules compiled for pods of one set on one node.
