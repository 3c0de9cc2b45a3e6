//! The control plane as clients see it: no root, no namespaces, only the API.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod ansible;
mod api_server;
mod bad_input;
mod boto3;
mod driven;
mod memory;
mod parquet;
mod scale;
mod survival;
