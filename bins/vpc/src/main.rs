//! The VPC on one machine: EC2 API, instance metadata, fabric, flow logs.

fn main() {}
