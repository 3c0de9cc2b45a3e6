//! A request that is not carried out.

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Why.
    pub(crate) reason: String,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The request is wrong.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self {
            status: 400,
            reason: reason.into(),
        }
    }

    /// There is no such thing.
    pub(crate) fn unknown(reason: impl Into<String>) -> Self {
        Self {
            status: 404,
            reason: reason.into(),
        }
    }

    /// The request contradicts the state.
    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Self {
            status: 409,
            reason: reason.into(),
        }
    }

    /// The request could not be carried out.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        Self {
            status: 500,
            reason: underlay_types::chain(error),
        }
    }
}
