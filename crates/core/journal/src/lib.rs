//! The agent's journal without its file: records, their bytes, and what they promise after a crash.
//!
//! A journal is a header and records, each four bytes of length, four of CRC-32 (both most
//! significant first) and JSON. [`decode`] reads as far as records are whole; what a kill cut short
//! was never acted on, as each record is written before its first effect.
//!
//! Version 2 is written; version 1, which had no [`Change::LeaseState`], is read.

#![forbid(unsafe_code)]

mod codec;
mod promises;
mod record;

pub use codec::{DecodeError, Decoded, VERSION, decode, encode, encode_header};
pub use promises::{Promises, promises};
pub use record::{
    Addresses, Change, Cooling, Creation, LeaseRecord, LeaseState, PARTS_FOR, Parting, State,
    StateChange,
};

#[cfg(test)]
mod tests;
