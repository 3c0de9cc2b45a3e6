//! `CNI_ARGS`: what the runtime says about the pod.

use std::collections::BTreeMap;

/// Pairs of `CNI_ARGS`, which a runtime passes in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CniArgs(BTreeMap<String, String>);

/// Why a text is not a list of pairs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI_ARGS: {0:?} is not of the form KEY=VALUE")]
pub struct ArgsError(pub String);

impl CniArgs {
    /// Reads `KEY=VALUE` pairs separated by semicolons; a value may be empty.
    ///
    /// # Errors
    /// Names the first part that is not a pair.
    pub fn parse(text: &str) -> Result<Self, ArgsError> {
        text.split(';')
            .filter(|part| !part.is_empty())
            .map(|part| match part.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(ArgsError(part.to_owned())),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The value of `key`, unless it is absent or empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_any_order_and_may_be_empty() {
        let args = CniArgs::parse("K8S_POD_NAME=web-0;IgnoreUnknown=1;K8S_POD_UID=;A=b=c").unwrap();
        assert_eq!(args.value("K8S_POD_NAME"), Some("web-0"));
        assert_eq!(args.value("A"), Some("b=c"));
        assert_eq!(args.value("K8S_POD_UID"), None);
        assert_eq!(args.value("K8S_POD_NAMESPACE"), None);
        assert_eq!(CniArgs::parse("").unwrap(), CniArgs::default());
    }

    #[test]
    fn a_part_without_a_key_or_a_sign_is_named() {
        for bad in ["web", "=x"] {
            let text = format!("A=b;{bad}");
            assert_eq!(CniArgs::parse(&text), Err(ArgsError(bad.to_owned())));
        }
    }
}
