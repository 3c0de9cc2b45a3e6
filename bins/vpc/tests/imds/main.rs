//! The metadata service as clients that we did not write see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod botocore;
mod hop_limit;
mod namespaces;
mod refusals;
mod service;
