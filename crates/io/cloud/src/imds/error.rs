//! What a metadata request that did not succeed says.

use underlay_types::Class;

/// A metadata request that did not succeed: what was asked for and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instance metadata {path}: {failure}")]
pub struct ImdsError {
    path: String,
    failure: ImdsFailure,
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImdsFailure {
    /// The configured endpoint is not a URL.
    #[error(
        "endpoint {endpoint:?} (AWS_EC2_METADATA_SERVICE_ENDPOINT) is not a URL like http://169.254.169.254: {reason}"
    )]
    Endpoint {
        /// The text as given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No session token came back.
    #[error(
        "no session token from {endpoint}: {reason}; either this is not an EC2 instance, or the metadata hop limit (HttpPutResponseHopLimit, 1 by default) is too small for a caller behind another network namespace"
    )]
    NoToken {
        /// Where the request went.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The service did not answer.
    #[error("no answer from {endpoint}: {reason}")]
    NoAnswer {
        /// Where the request went.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The service refused.
    #[error("{}: {}", .status, explain(*.status, .body))]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what the path promises.
    #[error("{text:?} cannot be read: {reason}")]
    Reply {
        /// The beginning of the answer.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

// === impl ImdsError ===

impl ImdsError {
    pub(crate) fn new(path: impl Into<String>, failure: ImdsFailure) -> Self {
        Self {
            path: path.into(),
            failure,
        }
    }

    /// That `text` at `path` makes no sense.
    pub(crate) fn unreadable(path: &str, text: &str, reason: impl std::fmt::Display) -> Self {
        let text = text.chars().take(100).collect();
        Self::new(
            path,
            ImdsFailure::Reply {
                text,
                reason: reason.to_string(),
            },
        )
    }

    /// What was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> &ImdsFailure {
        &self.failure
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match &self.failure {
            ImdsFailure::Endpoint { .. } => Class::Invalid,
            ImdsFailure::NoToken { .. } | ImdsFailure::NoAnswer { .. } => Class::Retry,
            ImdsFailure::Status { status: 404, .. } => Class::NotFound,
            ImdsFailure::Status {
                status: 401 | 403, ..
            } => Class::Denied,
            ImdsFailure::Status { status, .. } if *status == 429 => {
                Class::Throttled { after: None }
            }
            ImdsFailure::Status { status, .. } if *status >= 500 => Class::Retry,
            ImdsFailure::Status { .. } => Class::Invalid,
            ImdsFailure::Reply { .. } => Class::Bug,
        }
    }
}

fn explain(status: u16, body: &str) -> &str {
    match status {
        401 => "the session token was refused twice",
        403 => "the metadata service is switched off for this instance, or a proxy is in the way",
        404 => "the instance has no such metadata",
        _ => body,
    }
}
