//! The command for people: looks inside a node, drives the local VPC.

fn main() {}
