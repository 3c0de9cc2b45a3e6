//! Records as bytes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

const FORMAT: &str = "underlay-vpc-journal";
const VERSION: u32 = 1;
const PREFIX: usize = 8;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// What the beginning of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Foreign,
    Newer(u32),
    Ours,
}

pub(super) fn header() -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
    };
    append(&mut bytes, &header);
    bytes
}

/// Adds a record to `bytes`.
pub(super) fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let at = bytes.len();
    bytes.extend([0; PREFIX]);
    serde_json::to_writer(&mut *bytes, value).expect("keys are text and memory does not fail");
    let json = bytes.get(at + PREFIX..).unwrap_or_default();
    let length = u32::try_from(json.len()).expect("an account is shorter than 4 GiB");
    let sum = crc32fast::hash(json);
    let prefix = [length.to_be_bytes(), sum.to_be_bytes()].concat();
    if let Some(place) = bytes.get_mut(at..at + PREFIX) {
        place.copy_from_slice(&prefix);
    }
}

/// Takes the first whole record off `bytes`, if there is one.
pub(super) fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Option<T> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let word = |at: usize| Some(u32::from_be_bytes(prefix.get(at..at + 4)?.try_into().ok()?));
    let (json, rest) = rest.split_at_checked(usize::try_from(word(0)?).ok()?)?;
    if crc32fast::hash(json) != word(4)? {
        return None;
    }
    let value = serde_json::from_slice(json).ok()?;
    *bytes = rest;
    Some(value)
}

/// Takes the header off `bytes`.
pub(super) fn take_header(bytes: &mut &[u8]) -> Kind {
    match take::<Header>(bytes) {
        Some(header) if header.format != FORMAT => Kind::Foreign,
        Some(header) if header.version > VERSION => Kind::Newer(header.version),
        Some(_) => Kind::Ours,
        None => Kind::Foreign,
    }
}
