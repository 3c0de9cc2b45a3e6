//! What answers as the instance metadata service, or instead of it.

/// Reads it as every path's answer.
pub fn run(bytes: &[u8]) {
    underlay_cloud::replies::imds(&String::from_utf8_lossy(bytes));
}
