//! Where agent and clients meet in the file system.

use underlay_types::LeaseKey;

/// The agent's folder unless `runDir` in the conflist (for the plugin) or `paths.run_dir` in the
/// configuration (for the agent) names another. Root's alone.
pub const DEFAULT_RUN_DIR: &str = "/run/underlay";
/// The agent's socket in that folder.
pub const SOCKET_FILE: &str = "agent.sock";
/// The folder of tombstones in that folder: DEL requests, verbatim, that found no agent.
pub const TOMBSTONE_DIR: &str = "tombstones";

/// The name of the tombstone of a DEL for `key`: one file per attachment, however often the runtime
/// repeats the DEL.
#[must_use]
pub fn tombstone_file(key: &LeaseKey) -> String {
    format!("{:016x}", key.stable_hash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_named_by_the_hash_of_its_key() {
        let key = LeaseKey {
            network: "underlay".parse().unwrap(),
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        };
        let name = tombstone_file(&key);
        assert_eq!(name, format!("{:016x}", key.stable_hash()));
        assert_eq!(name.len(), 16);
    }
}
