//! What comes from outside, as bytes. Each target takes any bytes: it must neither panic nor read
//! them as what they are not. `make fuzz` looks for bytes that break one; what was found lies in
//! `crashers/` and is tried again by `cargo test`, as is the corpus.

#![forbid(unsafe_code)]
#![expect(clippy::panic, reason = "a target tells by panicking")]

pub mod cni;
pub mod ec2;
pub mod imds;
pub mod journal;
pub mod pod_eni;
pub mod protocol;

/// A target: its name, which is that of its folders, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("cni", cni::run),
    ("ec2", ec2::run),
    ("imds", imds::run),
    ("journal", journal::run),
    ("pod-eni", pod_eni::run),
    ("protocol", protocol::run),
];
