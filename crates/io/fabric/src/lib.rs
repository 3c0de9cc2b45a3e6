//! The packet fabric of the local VPC: a namespace in which each ENI is a port, and eBPF between the ports.
