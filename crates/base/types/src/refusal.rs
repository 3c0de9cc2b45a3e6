//! An error as EC2 wrote it, and what its caller can do about it.

use std::fmt;

use crate::Class;

/// An error as EC2 wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// EC2's code, for example `InsufficientFreeAddressesInSubnet`; `Http<status>` where the
    /// answer carried none.
    pub code: String,
    /// EC2's text.
    pub message: String,
    /// What AWS support asks for; empty where absent.
    pub request_id: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        Ok(())
    }
}

impl Refusal {
    /// Whether EC2 asked for fewer requests.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        matches!(
            self.code.as_str(),
            "RequestLimitExceeded"
                | "Throttling"
                | "ThrottlingException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "TooManyRequestsException"
                | "Http429"
        )
    }

    /// What a caller can do about it, by EC2's code.
    #[must_use]
    pub fn class(&self) -> Class {
        if self.is_throttle() {
            return Class::Throttled { after: None };
        }
        match self.code.as_str() {
            code if code.ends_with(".NotFound") => Class::NotFound,
            "UnauthorizedOperation"
            | "AuthFailure"
            | "Blocked"
            | "OptInRequired"
            | "PendingVerification"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "RequestExpired"
            | "MissingAuthenticationToken"
            | "AccessDenied"
            | "AccessDeniedException" => Class::Denied,
            "InsufficientFreeAddressesInSubnet"
            | "InsufficientCidrBlocks"
            | "PrivateIpAddressLimitExceeded"
            | "AttachmentLimitExceeded"
            | "NetworkInterfaceLimitExceeded"
            | "SecurityGroupsPerInterfaceLimitExceeded"
            | "InvalidNetworkInterface.InUse"
            | "InvalidIPAddress.InUse"
            | "DependencyViolation"
            | "IncorrectState"
            | "IncorrectInstanceState"
            | "IdempotentParameterMismatch"
            | "OperationNotPermitted" => Class::Conflict,
            "InternalError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "Unavailable"
            | "RequestTimeout"
            | "InsufficientInstanceCapacity" => Class::Retry,
            // One code for many things: the text tells a spent subnet, a taken device index and an
            // ENI in use from a wrong parameter.
            "InvalidParameterValue" if self.names_a_conflict() => Class::Conflict,
            _ if self.status >= 500 => Class::Retry,
            _ => Class::Invalid,
        }
    }

    fn names_a_conflict(&self) -> bool {
        [
            "sufficient free Ipv4 addresses or prefixes",
            "already has an interface attached at device index",
            "is currently in use",
        ]
        .iter()
        .any(|text| self.message.contains(text))
    }

    /// Whether the subnet has no free address (or no free aligned prefix) for the request.
    #[must_use]
    pub fn is_subnet_exhausted(&self) -> bool {
        matches!(
            self.code.as_str(),
            "InsufficientFreeAddressesInSubnet" | "InsufficientCidrBlocks"
        ) || self
            .message
            .contains("sufficient free Ipv4 addresses or prefixes")
    }
}
