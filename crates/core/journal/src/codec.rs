//! Records as bytes.

use serde::{Deserialize, Serialize};

use crate::{Change, State};

const FORMAT: &str = "underlay-journal";
/// What is written.
pub const VERSION: u32 = 2;
/// What is read, too: the version before.
const OLDEST: u32 = VERSION - 1;
const PREFIX: usize = 8;
/// No record comes near this; a longer one is garbage.
const RECORD_MAX: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// Why bytes are not a journal that this version reads.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They begin with no header of ours.
    #[error("it is not a journal of underlay-agent")]
    Foreign,
    /// A later version of the format.
    #[error(
        "its version {0} is newer than this agent knows; start the newer agent again, or remove \
         the file once the node has no pods"
    )]
    Newer(u32),
}

/// What could be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What its whole records say together.
    pub state: State,
    /// Bytes at the end that are no whole record.
    pub dropped: usize,
    /// The version of its records: what is appended must be of it.
    pub version: u32,
}

/// What every journal begins with.
#[must_use]
pub fn encode_header() -> Vec<u8> {
    header(VERSION)
}

fn header(version: u32) -> Vec<u8> {
    let format = FORMAT.to_owned();
    frame(&Header { format, version })
}

/// A record as bytes.
#[must_use]
pub fn encode(change: &Change) -> Vec<u8> {
    frame(change)
}

fn frame(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, value).expect("records have text keys and no writer fails");
    let json = &bytes[PREFIX..];
    let length = u32::try_from(json.len()).expect("a record is far shorter than 4 GiB");
    let sum = crc32fast::hash(json);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4..PREFIX].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Splits off the JSON of the first whole record.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let word = |at: usize| Some(u32::from_be_bytes(prefix.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(word(0)?)
        .ok()
        .filter(|length| *length <= RECORD_MAX)?;
    let (json, rest) = rest.split_at_checked(length)?;
    (crc32fast::hash(json) == word(4)?).then_some((json, rest))
}

/// Reads a journal up to its first torn or unknown record. No bytes at all are an empty journal, as
/// is a torn header: it is written before anything can be recorded.
///
/// # Errors
/// When the bytes are something else, or a later version's.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut state = State::default();
    let Some((first, mut rest)) = split(bytes) else {
        let mut headers = (OLDEST..=VERSION).map(header);
        return if headers.any(|header| header.starts_with(bytes)) {
            Ok(Decoded {
                state,
                dropped: bytes.len(),
                version: VERSION,
            })
        } else {
            Err(DecodeError::Foreign)
        };
    };
    let version = match serde_json::from_slice::<Header>(first) {
        Ok(header) if header.format == FORMAT && header.version <= VERSION => header.version,
        Ok(header) if header.format == FORMAT => return Err(DecodeError::Newer(header.version)),
        Ok(_) | Err(_) => return Err(DecodeError::Foreign),
    };
    while let Some((json, after)) = split(rest) {
        let Ok(change) = serde_json::from_slice(json) else {
            break;
        };
        state.apply(change);
        rest = after;
    }
    Ok(Decoded {
        state,
        dropped: rest.len(),
        version,
    })
}
