//! What the kernel refused.

use underlay_netlink::{Errno, KernelError};
use underlay_types::Class;

/// What the kernel refused, and what could not be undone after that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {error}")]
pub struct Failure {
    /// What was being done, for example `wire pod underlay/c1/eth0`.
    pub doing: String,
    /// The operation that failed, on what, and the kernel's answer.
    pub error: KernelError,
    /// Operations that failed besides: of the undoing, or of a removal that went on. Empty after a
    /// failed set-up: nothing of it is left.
    pub left: Vec<KernelError>,
}

impl Failure {
    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.error.class()
    }

    /// A failure with nothing left behind.
    pub(super) fn clean(doing: impl Into<String>, error: KernelError) -> Self {
        Self {
            doing: doing.into(),
            error,
            left: Vec::new(),
        }
    }

    /// The failure of a removal that went on: the first error, with the others besides.
    pub(super) fn first(doing: impl Into<String>, errors: Vec<KernelError>) -> Result<(), Self> {
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(error) => Err(Self {
                doing: doing.into(),
                error,
                left: errors.collect(),
            }),
        }
    }
}

/// An error of ours in the shape of the kernel's.
pub(super) fn refused(
    op: &'static str,
    object: impl Into<String>,
    why: impl Into<String>,
) -> KernelError {
    KernelError {
        op,
        object: object.into(),
        errno: Errno::INVAL,
        message: why.into(),
    }
}
