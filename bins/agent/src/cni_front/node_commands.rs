//! What the CLI asks about the node as a whole.

use std::time::Duration;

use serde::Serialize;
use underlay_agent_api::{Answer, DrainOptions, NodeCommand, NodeFailure};
use underlay_types::chain;

use super::conflist::Conflist;
use crate::service::{NodeService, ServiceError};

/// Carries out `command`; `stdin` holds its options, or nothing.
pub(super) fn answer(
    command: NodeCommand,
    stdin: &str,
    service: &dyn NodeService,
    conflist: &Conflist,
) -> Answer {
    let outcome = match command {
        NodeCommand::Status => Ok(service.node_status()),
        NodeCommand::Drain => within(stdin, |deadline| service.drain(deadline)),
        NodeCommand::Resume => service
            .resume()
            .map(|()| serde_json::json!({}))
            .map_err(|error| error.to_string()),
        NodeCommand::Uninstall => conflist
            .withdraw()
            .map_err(|error| chain(&error))
            .and_then(|()| within(stdin, |deadline| service.uninstall(deadline))),
    };
    match outcome {
        Ok(value) => Answer::new(0, value.to_string()),
        Err(error) => Answer::new(1, json(&NodeFailure { error })),
    }
}

fn within(
    stdin: &str,
    call: impl FnOnce(Duration) -> Result<(), ServiceError>,
) -> Result<serde_json::Value, String> {
    let options = if stdin.trim().is_empty() {
        DrainOptions::default()
    } else {
        serde_json::from_str(stdin)
            .map_err(|error| format!("the options to drain with: {error}"))?
    };
    call(Duration::from_secs(options.deadline_seconds)).map_err(|error| error.to_string())?;
    Ok(serde_json::json!({}))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
