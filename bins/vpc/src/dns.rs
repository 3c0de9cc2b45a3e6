//! The VPC's DNS resolver, on UDP and TCP.
//!
//! What a name stands for is the model's to say ([`underlay_vpc_model::Resolution`]); names that
//! are not the VPC's go to an upstream resolver, if the operator named one, and fail otherwise.
//! Who asks is known by the fabric port that a packet came in by.

mod message;
mod server;
mod upstream;

pub use server::{Resolve, Resolver, serve_tcp, serve_udp};
