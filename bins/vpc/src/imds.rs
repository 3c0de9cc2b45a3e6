//! The instance metadata service over HTTP.
//!
//! The answer is the model's ([`underlay_vpc_model::Imds`]); this serves it on listeners that the
//! fabric places one hop behind the ENIs. Who calls is known by the fabric port that a connection
//! came in by, never by its source address.

mod connection;
mod server;

pub use server::{Caller, Metadata, MetadataServer, Resolve, serve};
