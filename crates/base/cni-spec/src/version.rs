//! Versions of the specification.

use std::{fmt, str::FromStr};

use serde_json::json;

/// A version of the specification that Underlay speaks, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CniVersion {
    /// 0.3.1: ADD, DEL, VERSION.
    V0_3_1,
    /// 0.4.0 adds CHECK and `prevResult` on DEL.
    V0_4_0,
    /// 1.0.0 drops `version` from the addresses of a result.
    V1_0_0,
    /// 1.1.0 adds STATUS, GC and more fields of interfaces and routes.
    V1_1_0,
}

/// A version that Underlay does not speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI version {0:?} is not supported; supported are 0.3.1, 0.4.0, 1.0.0, 1.1.0")]
pub struct UnsupportedVersion(pub String);

impl CniVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest version.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The version as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl FromStr for CniVersion {
    type Err = UnsupportedVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnsupportedVersion(text.to_owned()))
    }
}

impl fmt::Display for CniVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to VERSION, in the version that the runtime uses.
#[must_use]
pub fn supported_versions_json(in_use: CniVersion) -> String {
    json!({
        "cniVersion": in_use.as_str(),
        "supportedVersions": CniVersion::ALL.map(CniVersion::as_str),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_and_others_are_named() {
        for version in CniVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for other in ["", "0.3.0", "1.0", "1.2.0", "v1.0.0"] {
            assert_eq!(
                other.parse::<CniVersion>(),
                Err(UnsupportedVersion(other.to_owned()))
            );
        }
        assert!(CniVersion::V0_4_0 < CniVersion::V1_0_0);
    }

    #[test]
    fn version_answers_in_the_version_in_use() {
        assert_eq!(
            supported_versions_json(CniVersion::V1_0_0),
            r#"{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}"#
        );
    }
}
