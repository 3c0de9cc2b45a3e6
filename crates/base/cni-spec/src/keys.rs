//! Whose a key of the network configuration is: the specification's, another party's, or ours.

use serde_json::{Map, Value};

use crate::{CniError, ErrorCode};

/// Our key with the security groups of every pod of the network: an array of group ids.
pub const SECURITY_GROUPS: &str = "securityGroups";
/// Our key that says whether every pod of the network gets a whole ENI.
pub const ENI: &str = "eni";
/// Our key with the network card that addresses of the network's pods are on: a number.
pub const NETWORK_CARD: &str = "networkCard";
/// Our key with the folder of the agent's socket and the tombstones, where it is not the default.
pub const RUN_DIR: &str = "runDir";
/// The keys that are ours.
pub const OWN_KEYS: [&str; 4] = [ENI, NETWORK_CARD, RUN_DIR, SECURITY_GROUPS];

/// Keys that the specification gives a meaning, in a network configuration or in a list of them,
/// and what runtimes derive from them.
const SPECIFICATION_KEYS: [&str; 14] = [
    "args",
    "capabilities",
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "dns",
    "ipMasq",
    "ipam",
    "loadOnlyInlinedPlugins",
    "name",
    "prevResult",
    "runtimeConfig",
    "type",
];

/// Refuses keys that could only be ours and are not; a misspelt `securityGroups` would otherwise
/// leave pods without their groups.
pub(crate) fn refuse_unknown(config: &Map<String, Value>) -> Result<(), CniError> {
    let unknown: Vec<&str> = config
        .keys()
        .map(String::as_str)
        .filter(|key| {
            !key.contains(['.', '/'])
                && !SPECIFICATION_KEYS.contains(key)
                && !OWN_KEYS.contains(key)
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(CniError::new(
        ErrorCode::InvalidConfig,
        format!(
            "unknown key in the network configuration: {}",
            unknown.join(", ")
        ),
    )
    .with_details(format!("Underlay's own keys are {}", OWN_KEYS.join(", "))))
}
