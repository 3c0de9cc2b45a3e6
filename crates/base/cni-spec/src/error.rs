//! The specification's error answer.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::CniVersion;

/// A code of the specification (below 100) or of Underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// 1: the version is not supported, or has no such command.
    IncompatibleVersion,
    /// 2: a field of the network configuration is not supported.
    UnsupportedField,
    /// 3: the container is unknown; the runtime need not clean up.
    UnknownContainer,
    /// 4: an environment variable is missing or malformed.
    InvalidEnvironment,
    /// 5: an operation of the system failed.
    Io,
    /// 6: the input is not JSON of the right shape.
    Decode,
    /// 7: the network configuration is not valid.
    InvalidConfig,
    /// 11: a passing condition; the runtime should try again later.
    TryAgainLater,
    /// 50: STATUS: ADD cannot be served.
    NotAvailable,
    /// 51: STATUS: ADD cannot be served and containers may have limited connectivity.
    LimitedConnectivity,
    /// 100: EC2 refused, and will refuse again.
    RefusedByEc2,
    /// 101: CHECK found what stands to differ from what was promised.
    Differs,
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::RefusedByEc2 => 100,
            Self::Differs => 101,
        }
    }
}

/// The error answer to any command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One line for people.
    pub msg: String,
    /// More for people; may be empty.
    pub details: String,
}

impl CniError {
    /// An error without details.
    #[must_use]
    pub fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            details: String::new(),
        }
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The answer as JSON, in the version that the runtime uses.
    #[must_use]
    pub fn to_json(&self, in_use: CniVersion) -> String {
        let mut answer = Map::new();
        answer.insert("cniVersion".into(), in_use.as_str().into());
        answer.insert("code".into(), json!(self.code.number()));
        answer.insert("msg".into(), self.msg.as_str().into());
        if !self.details.is_empty() {
            answer.insert("details".into(), self.details.as_str().into());
        }
        Value::Object(answer).to_string()
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {}", self.code.number(), self.msg)?;
        if self.details.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.details)
        }
    }
}

impl std::error::Error for CniError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_print_as_the_specification_says() {
        let error = CniError::new(ErrorCode::InvalidConfig, "name: is missing");
        assert_eq!(
            error.to_json(CniVersion::V1_0_0),
            r#"{"cniVersion":"1.0.0","code":7,"msg":"name: is missing"}"#
        );
        assert_eq!(
            error
                .with_details("see \"name\"")
                .to_json(CniVersion::V0_4_0),
            r#"{"cniVersion":"0.4.0","code":7,"details":"see \"name\"","msg":"name: is missing"}"#
        );
    }
}
