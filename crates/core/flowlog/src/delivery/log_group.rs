//! Log groups and streams of CloudWatch Logs.

use std::{fmt, str::FromStr};

use underlay_types::EniId;

use crate::TrafficType;

/// The name of a log group: 1 to 512 letters, digits and `_ - / . #` (CloudWatch Logs API
/// Reference, CreateLogGroup).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogGroup(String);

/// Why a text is not a log group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a log group: its name has 1 to 512 letters, digits, '_', '-', '/', '.' or '#', \
     and its ARN is arn:aws:logs:<region>:<account>:log-group:<name>"
)]
pub struct LogGroupError(pub String);

impl LogGroup {
    /// Reads an ARN, with or without `:*` at its end.
    ///
    /// # Errors
    /// If it is none of a log group.
    pub fn from_arn(arn: &str) -> Result<Self, LogGroupError> {
        let error = || LogGroupError(arn.to_owned());
        let mut parts = arn.splitn(7, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (head, partition, service) = (next(), next(), next());
        let (_region, _account, kind, name) = (next(), next(), next(), next());
        let known = matches!(partition, "aws" | "aws-cn" | "aws-us-gov");
        if head != "arn" || !known || service != "logs" || kind != "log-group" {
            return Err(error());
        }
        let name = name.strip_suffix(":*").unwrap_or(name);
        name.parse().map_err(|_name: LogGroupError| error())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the parts of a relative path. A part that would lead elsewhere is written with
    /// `%`, which no name has.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').map(|part| match part {
            "" => "%",
            "." => "%2E",
            ".." => "%2E%2E",
            other => other,
        })
    }
}

impl FromStr for LogGroup {
    type Err = LogGroupError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b);
        let is_short = text.split('/').all(|part| part.len() <= 255);
        if (1..=512).contains(&text.len()) && text.bytes().all(is_allowed) && is_short {
            Ok(Self(text.to_owned()))
        } else {
            Err(LogGroupError(text.to_owned()))
        }
    }
}

impl fmt::Display for LogGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of the stream that an ENI's records go to.
#[must_use]
pub fn log_stream(eni: &EniId, traffic: TrafficType) -> String {
    format!("{eni}-{}", traffic.to_string().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_read() {
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/vpc/flow.logs";
        for arn in [arn.to_owned(), format!("{arn}:*")] {
            let group = LogGroup::from_arn(&arn).unwrap();
            assert_eq!(group.to_string(), "/vpc/flow.logs");
            assert_eq!(group.to_string().parse(), Ok(group));
        }
        let eni = "eni-0123456789abcdef0".parse().unwrap();
        assert_eq!(
            log_stream(&eni, TrafficType::All),
            "eni-0123456789abcdef0-all"
        );
    }

    #[test]
    fn nothing_leads_out_of_the_folder_of_groups() {
        let parts = |name: &str| -> Vec<String> {
            let group: LogGroup = name.parse().unwrap();
            group.parts().map(str::to_owned).collect()
        };
        assert_eq!(parts("/a//b/"), ["%", "a", "%", "b", "%"]);
        assert_eq!(parts("../.."), ["%2E%2E", "%2E%2E"]);
        let long = "x".repeat(513);
        let deep = format!("a/{}", "x".repeat(256));
        for bad in ["", "a b", "a%2E", "a\\b", "gr\u{fc}n", &long, &deep] {
            assert_eq!(bad.parse::<LogGroup>(), Err(LogGroupError(bad.to_owned())));
        }
        for bad in [
            "",
            "arn:aws:s3:::bucket",
            "arn:aws:logs:us-east-1:123456789012:log-group:",
            "arn:aws:logs:us-east-1:123456789012:destination:x",
            "arn:evil:logs:us-east-1:123456789012:log-group:x",
        ] {
            assert!(LogGroup::from_arn(bad).is_err(), "{bad:?}");
        }
    }
}
