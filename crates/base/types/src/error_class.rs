//! What a caller can do about an error, decided where the error is born.

use std::time::Duration;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The state of the world contradicts the request: look again, then decide.
    Conflict,
    /// The request is wrong and will stay wrong.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// A passing condition: the same request may succeed later.
    Retry,
    /// The remote side asks for fewer requests.
    Throttled {
        /// How long to wait before the next try, where the remote side said so.
        after: Option<Duration>,
    },
    /// Credentials or permissions are missing.
    Denied,
    /// A defect of ours.
    Bug,
}
