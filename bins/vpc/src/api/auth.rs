//! Who calls: Signature Version 4, present always, verified on demand.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use underlay_types::Timestamp;
use underlay_vpc_model::{Ec2Error, ErrorCode};

use super::{Moment, credentials::Credentials, request::ApiRequest};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the caller's clock may be from ours.
const CLOCK_SKEW_SECS: u64 = 5 * 60;

/// A signature as it came with a request.
struct Signature<'a> {
    access_key: &'a str,
    /// `date/region/service/aws4_request`.
    scope: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Checks that a request is signed, and with `verify` that the signature is right.
///
/// Returns the access key.
///
/// # Errors
/// `AuthFailure` without a signature, by an unknown key, or with a wrong session token;
/// `IncompleteSignature` for one that is not well-formed; `SignatureDoesNotMatch`.
pub(super) fn authenticate(
    request: &ApiRequest,
    credentials: &Credentials,
    verify: bool,
    at: Moment,
) -> Result<String, Ec2Error> {
    let Some(header) = request.header("authorization") else {
        return Err(failure(
            "AWS was not able to validate the provided access credentials",
        ));
    };
    let signature = parse(header)?;
    if verify {
        check(request, &signature, credentials, at)?;
    }
    Ok(signature.access_key.to_owned())
}

fn parse(header: &str) -> Result<Signature<'_>, Ec2Error> {
    let rest = header.strip_prefix(ALGORITHM).ok_or_else(|| {
        incomplete(format!(
            "Authorization header requires the algorithm {ALGORITHM}."
        ))
    })?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',').map(str::trim) {
        match part.split_once('=') {
            Some(("Credential", value)) => credential = value.split_once('/'),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
    }
    let missing =
        |what: &str| incomplete(format!("Authorization header requires '{what}' parameter."));
    let (access_key, scope) = credential.ok_or_else(|| missing("Credential"))?;
    if scope.split('/').count() != 4 || !scope.ends_with("/aws4_request") || access_key.is_empty() {
        return Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements: \
             keyid/date/region/service/aws4_request"
                .to_owned(),
        ));
    }
    Ok(Signature {
        access_key,
        scope,
        signed_headers: signed_headers.ok_or_else(|| missing("SignedHeaders"))?,
        signature: signature.ok_or_else(|| missing("Signature"))?,
    })
}

fn check(
    request: &ApiRequest,
    signature: &Signature<'_>,
    credentials: &Credentials,
    at: Moment,
) -> Result<(), Ec2Error> {
    let known = credentials
        .find(signature.access_key, at.vpc)
        .ok_or_else(|| failure("AWS was not able to validate the provided access credentials"))?;
    if known.token.as_deref() != request.header("x-amz-security-token") {
        return Err(failure(
            "The security token included in the request is invalid",
        ));
    }
    let date = request.header("x-amz-date").unwrap_or_default();
    check_date(date, signature.scope, at.wall)?;
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{}\n{}",
        signature.scope,
        hex(&Sha256::digest(canonical_request(
            request,
            signature.signed_headers
        )))
    );
    let key = signature
        .scope
        .split('/')
        .fold(format!("AWS4{}", known.secret).into_bytes(), |key, part| {
            mac(&key, part.as_bytes()).finalize().into_bytes().to_vec()
        });
    let expected = unhex(signature.signature).unwrap_or_default();
    // Compares in constant time.
    mac(&key, to_sign.as_bytes())
        .verify_slice(&expected)
        .map_err(|_mismatch| {
            let text = "The request signature we calculated does not match the signature you \
                    provided. Check your AWS Secret Access Key and signing method.";
            Ec2Error::new(ErrorCode::SignatureDoesNotMatch, text)
        })
}

/// A signature is for a day and, in fact, for minutes.
fn check_date(date: &str, scope: &str, now: Timestamp) -> Result<(), Ec2Error> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let signed = time::PrimitiveDateTime::parse(date, format)
        .map(|date| date.assume_utc().unix_timestamp())
        .map_err(|_unparsable| {
            incomplete("x-amz-date must be of the form 20260102T030405Z".to_owned())
        })?;
    let signed = u64::try_from(signed).unwrap_or(0);
    if !date.starts_with(scope.split('/').next().unwrap_or_default())
        || signed.abs_diff(now.as_secs()) > CLOCK_SKEW_SECS
    {
        let text = format!("Signature expired or not yet current: {date}");
        return Err(Ec2Error::new(ErrorCode::SignatureDoesNotMatch, text));
    }
    Ok(())
}

fn canonical_request(request: &ApiRequest, signed_headers: &str) -> String {
    let mut query: Vec<_> = form_urlencoded::parse(request.query.as_bytes())
        .map(|(name, value)| format!("{}={}", percent(&name), percent(&value)))
        .collect();
    query.sort_unstable();
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        request.path,
        query.join("&")
    );
    for name in signed_headers.split(';') {
        let value = request.header(name).unwrap_or_default();
        let folded: Vec<_> = value.split_whitespace().collect();
        text.push_str(&format!("{name}:{}\n", folded.join(" ")));
    }
    let body = hex(&Sha256::digest(&request.body));
    format!("{text}\n{signed_headers}\n{body}")
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all that is written");
        }
        out
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn failure(text: &str) -> Ec2Error {
    Ec2Error::new(ErrorCode::AuthFailure, text)
}

fn incomplete(text: String) -> Ec2Error {
    Ec2Error::new(ErrorCode::IncompleteSignature, text)
}
