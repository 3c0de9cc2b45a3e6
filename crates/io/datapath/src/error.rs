//! What the data path could not do.

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// An operation of the data path that failed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The kernel refused the object.
    #[error("load the node's eBPF programs (they need root and a kernel of 5.17 or later)")]
    Load(#[from] EbpfError),
    /// The kernel refused to change the map of branch ENIs.
    #[error("{op} {what} in the map branches")]
    Map {
        /// What was tried.
        op: &'static str,
        /// The entry.
        what: String,
        /// The kernel's answer.
        #[source]
        source: Box<MapError>,
    },
    /// The embedded object lacks a map or a program, or has one of another shape.
    #[error("the eBPF object has no fitting {0}")]
    Object(&'static str),
    /// The kernel refused a program.
    #[error("load the eBPF program {program}")]
    Program {
        /// The program.
        program: &'static str,
        /// The kernel's answer, with the verifier's words.
        #[source]
        source: Box<ProgramError>,
    },
    /// The kernel did not tell what a map holds.
    #[error("read the map {map}")]
    Read {
        /// The map.
        map: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<MapError>,
    },
}
