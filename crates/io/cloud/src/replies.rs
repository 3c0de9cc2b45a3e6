//! What this crate makes of answers, whoever gave them: for the fuzz targets, which have no server.

/// Reads `body` as the answer of every action, and as a refusal with `status`.
pub fn ec2(status: u16, body: &str) {
    crate::ec2::read_any(status, body);
}

/// Reads `text` as the answer to every path.
pub fn imds(text: &str) {
    crate::imds::read_any(text);
}
