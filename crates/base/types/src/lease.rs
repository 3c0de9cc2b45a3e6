//! The key of a lease: which interface of which container on which network.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a part of a lease key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {rule}")]
pub struct LeaseKeyError {
    /// What the text should have been.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// The specification allows an alphanumeric first, then alphanumerics, `_`, `.` and `-`
/// (CNI specification 1.1.0, "CNI_CONTAINERID" and network configuration "name").
fn has_cni_name_shape(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// The kernel allows 1 to 15 bytes without `/`, `:` or white space, other than `.` and `..`
/// (Linux 6.18 net/core/dev.c, dev_valid_name).
fn has_ifname_shape(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text
            .bytes()
            .any(|b| matches!(b, b'/' | b':') || b.is_ascii_whitespace() || b == 0)
}

macro_rules! key_parts {
    ($($(#[$doc:meta])* $name:ident $what:literal $check:ident $rule:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = LeaseKeyError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(LeaseKeyError { what: $what, text: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = LeaseKeyError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(part: $name) -> Self {
                part.0.into()
            }
        }
    )+};
}

key_parts! {
    /// The name of a network configuration.
    NetworkName "network name" has_cni_name_shape
        "an alphanumeric, then alphanumerics, '_', '.' or '-'",
    /// The id of a container (or pod sandbox), as the runtime gives it.
    ContainerId "container id" has_cni_name_shape
        "an alphanumeric, then alphanumerics, '_', '.' or '-'",
    /// The name of an interface inside a pod.
    IfName "interface name" has_ifname_shape
        "1 to 15 bytes without '/', ':' and white space",
}

/// The key of a lease. Directions and names are from the pod's point of view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseKey {
    /// The network configuration's name.
    pub network: NetworkName,
    /// The container.
    pub container: ContainerId,
    /// The interface inside the container.
    pub ifname: IfName,
}

impl LeaseKey {
    /// A stable 64-bit hash (FNV-1a) of the key, for names that must fit the kernel's limits.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let parts = [
            self.network.as_str(),
            self.container.as_str(),
            self.ifname.as_str(),
        ];
        parts
            .iter()
            // The separator cannot occur in a part, so that no two keys concatenate alike.
            .flat_map(|part| part.bytes().chain([b'/']))
            .fold(OFFSET, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(PRIME)
            })
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.container, self.ifname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(network: &str, container: &str, ifname: &str) -> LeaseKey {
        LeaseKey {
            network: network.parse().unwrap(),
            container: container.parse().unwrap(),
            ifname: ifname.parse().unwrap(),
        }
    }

    #[test]
    fn the_hash_is_stable_and_tells_keys_apart() {
        assert_eq!(
            key("underlay", "c1", "eth0").stable_hash(),
            key("underlay", "c1", "eth0").stable_hash()
        );
        assert_ne!(
            key("a", "bc", "eth0").stable_hash(),
            key("ab", "c", "eth0").stable_hash()
        );
        assert_ne!(
            key("a", "b", "eth0").stable_hash(),
            key("a", "b", "eth1").stable_hash()
        );
    }

    #[test]
    fn names_follow_the_specification_and_the_kernel() {
        for bad in ["", "-a", "a b", "a/b", "é"] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
        assert!("fifteen-bytes-x".parse::<IfName>().is_ok());
        assert_eq!(
            "a b".parse::<ContainerId>().unwrap_err().to_string(),
            "\"a b\" is not a container id: an alphanumeric, then alphanumerics, '_', '.' or '-'"
        );
    }
}
