//! What answers as EC2, or instead of it.

/// Reads it as every action's answer and as a refusal; the first byte is the status.
pub fn run(bytes: &[u8]) {
    let (status, body) = bytes.split_first().unwrap_or((&0, &[]));
    let status = 200 + u16::from(*status);
    underlay_cloud::replies::ec2(status, &String::from_utf8_lossy(body));
}
