//! The JSON documents of the metadata service.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros};
use underlay_types::Timestamp;

use super::InstanceView;

/// As EC2 writes times here: to the second, in UTC.
const TIME: &[BorrowedFormatItem<'_>] =
    macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// Temporary credentials of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token.
    pub session_token: String,
    /// When they were made.
    pub last_updated: Timestamp,
    /// When they end.
    pub expiration: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument<'a> {
    account_id: &'a str,
    architecture: &'a str,
    availability_zone: &'a str,
    billing_products: Option<()>,
    devpay_product_codes: Option<()>,
    marketplace_product_codes: Option<()>,
    image_id: &'a str,
    instance_id: &'a str,
    instance_type: &'a str,
    kernel_id: Option<()>,
    pending_time: String,
    private_ip: Option<String>,
    ramdisk_id: Option<()>,
    region: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProfileDocument {
    code: &'static str,
    last_updated: String,
    instance_profile_arn: String,
    instance_profile_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsDocument<'a> {
    code: &'static str,
    last_updated: String,
    #[serde(rename = "Type")]
    kind: &'static str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

/// `dynamic/instance-identity/document`.
pub(super) fn identity(view: &InstanceView) -> String {
    json(&IdentityDocument {
        account_id: view.account.as_str(),
        architecture: &view.architecture,
        availability_zone: &view.zone.name,
        billing_products: None,
        devpay_product_codes: None,
        marketplace_product_codes: None,
        image_id: view.image.as_str(),
        instance_id: view.id.as_str(),
        instance_type: &view.instance_type,
        kernel_id: None,
        pending_time: text(view.launch_time),
        private_ip: view.primary_address().map(|address| address.to_string()),
        ramdisk_id: None,
        region: &view.region,
        version: "2017-09-30",
    })
}

/// `meta-data/iam/info`.
pub(super) fn profile(view: &InstanceView) -> String {
    json(&ProfileDocument {
        code: "Success",
        last_updated: text(view.launch_time),
        instance_profile_arn: format!(
            "arn:aws:iam::{}:instance-profile/{}",
            view.account, view.profile
        ),
        instance_profile_id: instance_profile_id(&view.profile),
    })
}

/// `meta-data/iam/security-credentials/<role>`.
pub(super) fn credentials(credentials: &RoleCredentials) -> String {
    json(&CredentialsDocument {
        code: "Success",
        last_updated: text(credentials.last_updated),
        kind: "AWS-HMAC",
        access_key_id: &credentials.access_key_id,
        secret_access_key: &credentials.secret_access_key,
        token: &credentials.session_token,
        expiration: text(credentials.expiration),
    })
}

/// The id of an instance profile: 21 characters that follow from its name (FNV-1a).
#[must_use]
pub fn instance_profile_id(name: &str) -> String {
    let hash = fnv(0, name);
    format!("AIPA{hash:017X}")
}

/// An Ed25519 public key as OpenSSH writes it (RFC 8709), of bytes that follow from a name (FNV-1a).
pub(super) fn public_key(name: &str) -> String {
    const ALGORITHM: &str = "ssh-ed25519";
    let mut blob = Vec::new();
    blob.extend(11_u32.to_be_bytes());
    blob.extend(ALGORITHM.as_bytes());
    blob.extend(32_u32.to_be_bytes());
    for quarter in 0..4_u64 {
        blob.extend(fnv(quarter, name).to_be_bytes());
    }
    format!("{ALGORITHM} {} {name}", STANDARD.encode(blob))
}

fn fnv(salt: u64, text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn text(at: Timestamp) -> String {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .and_then(|date| date.format(TIME).ok())
        .expect("584 years of nanoseconds end long before the calendar does")
}

fn json(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("texts and numbers have a JSON form")
}
