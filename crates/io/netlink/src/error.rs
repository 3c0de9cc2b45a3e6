//! What the kernel refused.

use std::fmt;

use rustix::io::Errno;
use underlay_types::Class;

/// An operation on an object of the kernel that failed, with the kernel's own words where it gave
/// any (netlink extended acknowledgement).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct KernelError {
    /// What was tried, for example `add route`.
    pub op: &'static str,
    /// On what, for example `10.0.0.7/32 dev pod0 table 1001`.
    pub object: String,
    /// The system's error number.
    pub errno: Errno,
    /// The kernel's explanation; may be empty.
    pub message: String,
}

impl KernelError {
    pub(crate) fn new(op: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self {
            op,
            object: object.into(),
            errno,
            message: String::new(),
        }
    }

    /// A closure for `map_err` on a system call.
    pub(crate) fn on(op: &'static str, object: impl fmt::Display) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::new(op, object.to_string(), errno)
    }

    pub(crate) fn from_io(
        op: &'static str,
        object: impl Into<String>,
        error: &std::io::Error,
    ) -> Self {
        Self {
            op,
            object: object.into(),
            errno: Errno::from_io_error(error).unwrap_or(Errno::IO),
            message: error.to_string(),
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.errno {
            Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL | Errno::NXIO => {
                Class::NotFound
            }
            Errno::EXIST => Class::Conflict,
            Errno::ACCESS | Errno::PERM => Class::Denied,
            Errno::AGAIN | Errno::BUSY | Errno::INTR | Errno::NOBUFS | Errno::NOMEM => Class::Retry,
            _ => Class::Invalid,
        }
    }

    /// Whether the object was not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.class() == Class::NotFound
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.op, self.object, self.errno)?;
        if !self.message.is_empty() {
            write!(f, " ({})", self.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_was_tried_on_what() {
        let mut error = KernelError::new("add link", "pod0", Errno::EXIST);
        error.message = "name in use".to_owned();
        let text = error.to_string();
        assert!(text.starts_with("add link pod0: File exists"), "{text}");
        assert!(text.ends_with("(name in use)"), "{text}");
        assert_eq!(error.class(), Class::Conflict);
    }
}
