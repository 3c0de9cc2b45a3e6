//! Whatever is asked, the API answers as EC2 does, and a refusal changes nothing.
//!
//! Requests are put together at random from the API's own words and from rubbish, and go the whole
//! way from the bytes of a request to the bytes of an answer, without sockets. Forms that once
//! broke something are kept in `corpus/` and asked first.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod admin;
mod requests;
mod world;
