//! What a runtime hands the plugin: a command, variables, and a configuration on standard input.
//!
//! The bytes: a line with the command, lines with variables, an empty line, standard input.

use underlay_cni_spec::{
    CniArgs, CniError, CniVersion, Command, ConfigHead, Environment, NetworkConfig, Variables,
};

/// Reads them as the agent does.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, stdin) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let command = lines.next().unwrap_or_default();
    let variables: Variables = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let head = ConfigHead::parse(stdin);
    let version = head
        .as_ref()
        .map_or(CniVersion::NEWEST, ConfigHead::answer_version);
    let command = match command.parse::<Command>() {
        Ok(command) => command,
        Err(error) => return check(&error, version),
    };
    match NetworkConfig::parse(command, stdin) {
        Ok(config) => {
            assert!(head.is_ok(), "the plugin refuses what the agent reads");
            assert_eq!(
                config.version, version,
                "answers are in the version of the configuration"
            );
        }
        Err(error) => check(&error, version),
    }
    match Environment::parse(command, &variables) {
        Ok(environment) => {
            // Where the command needs an attachment, it is there.
            assert!(environment.attachment.is_some() || !command.names_an_attachment());
            drop(CniArgs::parse(&environment.args));
        }
        Err(error) => check(&error, version),
    }
}

/// An error is JSON with a code that the specification has or leaves to plugins.
fn check(error: &CniError, version: CniVersion) {
    let json = error.to_json(version);
    let json: serde_json::Value = serde_json::from_str(&json).expect("an error is JSON");
    assert_eq!(json["code"], error.code.number());
    assert!(
        json["msg"].as_str().is_some_and(|msg| !msg.is_empty()),
        "{json}"
    );
}
