//! What the fabric could not do.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use underlay_netlink::KernelError;
use underlay_types::{Class, EniId, SubnetId};

/// An operation of the fabric that failed.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// The ENI has a port already.
    #[error("{0} is a port of the fabric already")]
    AlreadyPort(EniId),
    /// A program could not be attached.
    #[error("attach the program {program} to {device}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The device on the fabric's side.
        device: String,
        /// The kernel's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel refused a device, address, route or namespace.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The kernel refused the programs or their maps.
    #[error("load the fabric's eBPF programs (they need root and a kernel of 5.17 or later)")]
    Load(#[from] EbpfError),
    /// The kernel refused to change a map.
    #[error("{op} {what} in the map {map}")]
    Map {
        /// What was tried.
        op: &'static str,
        /// The entry.
        what: String,
        /// The map.
        map: &'static str,
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
    /// The kernel did not run a program on a frame.
    #[error("run the eBPF program {program} on a frame")]
    Run {
        /// The program.
        program: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<ProgramError>,
    },
    /// The namespace that a device should go to cannot be opened.
    #[error("give {eni} a device in {}", netns.display())]
    Target {
        /// The ENI.
        eni: EniId,
        /// The namespace.
        netns: PathBuf,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// A namespace of the fabric that was to be taken over is gone.
    #[error("the namespace {0} is gone, as after a restart of the machine")]
    Gone(String),
    /// The fabric was made by another build, whose programs are in the kernel.
    #[error("the fabric in the kernel was made by another build of this program")]
    OtherBuild,
    /// What has to outlive the process could not be kept or found again.
    #[error("{op} {}", path.display())]
    Store {
        /// What was tried.
        op: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// More groups or rules than the maps hold.
    #[error("{what}: {count}, but the fabric holds {limit}")]
    TooMany {
        /// Of what.
        what: String,
        /// How many were given.
        count: usize,
        /// How many fit.
        limit: usize,
    },
    /// The ENI has no port.
    #[error("{0} is not a port of the fabric")]
    UnknownPort(EniId),
    /// The ENI's subnet was not set.
    #[error("{eni} lies in {subnet}, which the fabric does not know")]
    UnknownSubnet {
        /// The ENI.
        eni: EniId,
        /// Its subnet.
        subnet: SubnetId,
    },
}

impl FabricError {
    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::AlreadyPort(_) | Self::OtherBuild => Class::Conflict,
            Self::Kernel(source) | Self::Target { source, .. } => source.class(),
            Self::Attach { .. } | Self::Map { .. } | Self::Store { .. } => Class::Retry,
            Self::Load(_) | Self::Program { .. } => Class::Denied,
            Self::Object(_) => Class::Bug,
            Self::Run { .. } | Self::TooMany { .. } => Class::Invalid,
            Self::Gone(_) | Self::UnknownPort(_) | Self::UnknownSubnet { .. } => Class::NotFound,
        }
    }
}
