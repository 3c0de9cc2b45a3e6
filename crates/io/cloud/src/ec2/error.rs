//! What an EC2 call that did not succeed says, and what its caller can do about it.

use std::{error::Error, time::Duration};

use underlay_types::{Class, Refusal};

/// An EC2 call that did not succeed: what was tried on what, and why it failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{action} on {object}: {failure}")]
pub struct Ec2Error {
    action: &'static str,
    object: String,
    failure: Box<Ec2Failure>,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Ec2Failure {
    /// EC2 answered with an error.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No credentials to sign with.
    #[error(
        "no AWS credentials: {0} (checked environment, profile files, web identity, instance role)"
    )]
    Credentials(String),
    /// The request could not be built or signed.
    #[error("the request could not be built: {0}")]
    Request(String),
    /// The endpoint could not be reached: nothing was sent.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// Where the request was to go.
        endpoint: String,
        /// What the system said.
        reason: String,
    },
    /// The connection broke or no answer came: the call may have been carried out.
    #[error("no answer from {endpoint}: {reason}")]
    NoAnswer {
        /// Where the request went.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The client-side budget of the action would not be free within the time allowed.
    #[error("the call budget of this action is spent for another {}ms", .0.as_millis())]
    Budget(Duration),
    /// The answer is not what the action's model says.
    #[error("the answer cannot be read: {0}")]
    Reply(String),
}

// === impl Ec2Error ===

impl Ec2Error {
    pub(crate) fn new(
        action: &'static str,
        object: impl Into<String>,
        failure: impl Into<Ec2Failure>,
    ) -> Self {
        Self {
            action,
            object: object.into(),
            failure: Box::new(failure.into()),
        }
    }

    /// The EC2 action, for example `AttachNetworkInterface`.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// What the action was tried on.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> &Ec2Failure {
        &self.failure
    }

    /// EC2's own words, if EC2 answered.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &*self.failure {
            Ec2Failure::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// EC2's error code, if EC2 answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.code.as_str())
    }

    /// Whether the change may have been made although the call failed: look before repeating it.
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        match &*self.failure {
            Ec2Failure::NoAnswer { .. } | Ec2Failure::Reply(_) => true,
            Ec2Failure::Refused(refusal) => refusal.status >= 500 && !refusal.is_throttle(),
            _ => false,
        }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.failure.class()
    }
}

// === impl Ec2Failure ===

impl Ec2Failure {
    /// What a caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::Credentials(_) => Class::Denied,
            Self::Request(_) | Self::Reply(_) => Class::Bug,
            Self::Unreachable { .. } | Self::NoAnswer { .. } => Class::Retry,
            Self::Budget(after) => Class::Throttled {
                after: Some(*after),
            },
        }
    }
}

/// The innermost cause of `error`, as text: transports wrap what the system said several times.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
