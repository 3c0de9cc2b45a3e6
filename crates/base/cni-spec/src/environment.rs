//! The environment that a runtime runs a plugin in.

use std::collections::BTreeMap;

use underlay_types::{ContainerId, IfName, LeaseKeyError};

use crate::{CniError, Command, ErrorCode};

/// The `CNI_*` variables as given, by name.
pub type Variables = BTreeMap<String, String>;

/// The environment of one command, checked against what the command requires.
///
/// | | ADD | DEL | CHECK | GC | STATUS | VERSION |
/// |---|---|---|---|---|---|---|
/// | `CNI_CONTAINERID`, `CNI_IFNAME` | required | required | required | - | - | - |
/// | `CNI_NETNS` | required | optional | required | - | - | - |
/// | `CNI_PATH` | optional | optional | optional | required | optional | - |
/// | `CNI_ARGS` | optional | optional | optional | - | - | - |
///
/// A variable that is set and empty counts as absent: runtimes pass all of them always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: Command,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`; present for ADD, DEL and CHECK.
    pub attachment: Option<(ContainerId, IfName)>,
    /// `CNI_NETNS`; present for ADD and CHECK.
    pub netns: Option<String>,
    /// `CNI_ARGS`, verbatim; empty if absent.
    pub args: String,
}

impl Environment {
    /// Checks `variables` for `command`; all mistakes are reported together.
    ///
    /// # Errors
    /// Code 4, naming each variable that is missing or malformed.
    pub fn parse(command: Command, variables: &Variables) -> Result<Self, CniError> {
        let mut mistakes = Vec::new();
        let container = part::<ContainerId>(variables, "CNI_CONTAINERID", command, &mut mistakes);
        let ifname = part::<IfName>(variables, "CNI_IFNAME", command, &mut mistakes);
        let netns = value(variables, "CNI_NETNS").map(str::to_owned);
        if netns.is_none() && matches!(command, Command::Add | Command::Check) {
            mistakes.push(format!("CNI_NETNS: is required for {command}"));
        }
        if command == Command::Gc && value(variables, "CNI_PATH").is_none() {
            mistakes.push(format!("CNI_PATH: is required for {command}"));
        }
        if !mistakes.is_empty() {
            return Err(CniError::new(
                ErrorCode::InvalidEnvironment,
                mistakes.join("; "),
            ));
        }
        Ok(Self {
            command,
            attachment: container.zip(ifname),
            netns,
            args: value(variables, "CNI_ARGS").unwrap_or_default().to_owned(),
        })
    }
}

fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

fn part<T: std::str::FromStr<Err = LeaseKeyError>>(
    variables: &Variables,
    name: &str,
    command: Command,
    mistakes: &mut Vec<String>,
) -> Option<T> {
    if !command.names_an_attachment() {
        return None;
    }
    let Some(text) = value(variables, name) else {
        mistakes.push(format!("{name}: is required for {command}"));
        return None;
    };
    text.parse()
        .map_err(|error| mistakes.push(format!("{name}: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn each_command_requires_its_variables_and_names_all_that_are_missing() {
        let missing = |command| Environment::parse(command, &variables(&[("CNI_NETNS", "")]));
        let message = |command| missing(command).unwrap_err().msg;
        assert_eq!(
            message(Command::Add),
            "CNI_CONTAINERID: is required for ADD; CNI_IFNAME: is required for ADD; \
             CNI_NETNS: is required for ADD"
        );
        assert_eq!(
            message(Command::Del),
            "CNI_CONTAINERID: is required for DEL; CNI_IFNAME: is required for DEL"
        );
        assert_eq!(
            message(Command::Check),
            "CNI_CONTAINERID: is required for CHECK; CNI_IFNAME: is required for CHECK; \
             CNI_NETNS: is required for CHECK"
        );
        assert_eq!(message(Command::Gc), "CNI_PATH: is required for GC");
        for command in [Command::Status, Command::Version] {
            assert_eq!(
                missing(command).unwrap(),
                Environment {
                    command,
                    attachment: None,
                    netns: None,
                    args: String::new()
                }
            );
        }
    }

    #[test]
    fn malformed_values_are_code_4_and_named() {
        let given = [
            ("CNI_CONTAINERID", "../etc"),
            ("CNI_IFNAME", "a/b"),
            ("CNI_NETNS", "/n"),
        ];
        let error = Environment::parse(Command::Add, &variables(&given)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidEnvironment);
        assert_eq!(
            error.msg,
            "CNI_CONTAINERID: \"../etc\" is not a container id: an alphanumeric, then \
             alphanumerics, '_', '.' or '-'; CNI_IFNAME: \"a/b\" is not a interface name: \
             1 to 15 bytes without '/', ':' and white space"
        );
    }

    #[test]
    fn del_does_without_a_namespace() {
        let given = [
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_NETNS", ""),
        ];
        let environment = Environment::parse(Command::Del, &variables(&given)).unwrap();
        assert_eq!(environment.netns, None);
        assert_eq!(
            environment.attachment,
            Some(("c1".parse().unwrap(), "eth0".parse().unwrap()))
        );
    }
}
