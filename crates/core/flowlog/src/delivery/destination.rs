//! The bucket that a flow log delivers to.

use std::{fmt, str::FromStr};

/// A bucket and a prefix in it: `arn:aws:s3:::bucket` or `arn:aws:s3:::bucket/prefix/…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    partition: String,
    bucket: String,
    prefix: Vec<String>,
}

/// Why a text is not a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a flow-log destination: {rule}")]
pub struct DestinationError {
    /// The text.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl Destination {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Bucket and prefix as the parts of a relative path; none is empty, `.` or `..`.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.bucket.as_str()).chain(self.prefix.iter().map(String::as_str))
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |rule| DestinationError {
            text: text.to_owned(),
            rule,
        };
        let form = "the form is arn:aws:s3:::bucket or arn:aws:s3:::bucket/prefix";
        let (partition, resource) = text
            .strip_prefix("arn:")
            .and_then(|rest| rest.split_once(":s3:::"))
            .ok_or_else(|| error(form))?;
        if !matches!(partition, "aws" | "aws-cn" | "aws-us-gov") {
            return Err(error("the partition is aws, aws-cn or aws-us-gov"));
        }
        let (bucket, prefix) = resource.split_once('/').unwrap_or((resource, ""));
        if !is_bucket(bucket) {
            return Err(error(
                "a bucket's name has 3 to 63 lower-case letters, digits, '.' or '-', and starts \
                 and ends with a letter or digit",
            ));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let prefix: Vec<_> = prefix
            .split('/')
            .filter(|_| !prefix.is_empty())
            .map(str::to_owned)
            .collect();
        if !prefix.iter().all(|part| is_prefix_part(part)) {
            return Err(error(
                "a prefix has non-empty parts of printable characters, other than '.' and '..'",
            ));
        }
        if prefix.iter().any(|part| part == "AWSLogs") {
            return Err(error(
                "AWSLogs is a reserved name and cannot be in the prefix",
            ));
        }
        Ok(Self {
            partition: partition.to_owned(),
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:{}:s3:::{}", self.partition, self.bucket)?;
        self.prefix.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

fn is_bucket(name: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.first().copied().is_some_and(is_alphanumeric)
        && bytes.last().copied().is_some_and(is_alphanumeric)
        && bytes
            .iter()
            .all(|b| is_alphanumeric(*b) || matches!(b, b'.' | b'-'))
        && !name.contains("..")
}

fn is_prefix_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_and_prefix_round_trip() {
        for (text, parts) in [
            ("arn:aws:s3:::flow-logs", vec!["flow-logs"]),
            ("arn:aws-cn:s3:::logs.cn/a/b c", vec!["logs.cn", "a", "b c"]),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), text);
            assert_eq!(destination.parts().collect::<Vec<_>>(), parts);
        }
        let slashed: Destination = "arn:aws:s3:::logs/p/".parse().unwrap();
        assert_eq!(slashed.to_string(), "arn:aws:s3:::logs/p");
        let bare: Destination = "arn:aws:s3:::logs/".parse().unwrap();
        assert_eq!(bare.to_string(), "arn:aws:s3:::logs");
    }

    #[test]
    fn nothing_leads_out_of_the_bucket() {
        for bad in [
            "",
            "flow-logs",
            "arn:aws:s3:::",
            "arn:aws:s3:::..",
            "arn:aws:s3:::a..b",
            "arn:aws:s3:::UPPER",
            "arn:aws:s3:::logs/../../etc",
            "arn:aws:s3:::logs//p",
            "arn:aws:s3:::logs/./p",
            "arn:aws:s3:::logs/a\0b",
            "arn:aws:s3:::logs/AWSLogs/x",
            "arn:evil:s3:::logs",
            "arn:aws:logs:us-east-1:123456789012:log-group:x",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "logs".parse::<Destination>().unwrap_err().to_string(),
            "\"logs\" is not a flow-log destination: the form is arn:aws:s3:::bucket or \
             arn:aws:s3:::bucket/prefix"
        );
    }
}
