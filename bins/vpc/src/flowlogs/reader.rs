//! Reading delivered files back.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use underlay_flowlog::{Field, Format, FormatError, Line, LineError, ObjectName};

/// Text of one file at most: what the documentation gives as the largest file, with room.
const TEXT_BYTES: u64 = 1 << 30;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLine {
    /// When its flow started, in seconds since the Unix epoch; the file's time if it does not say.
    pub at_secs: u64,
    /// The names of its fields.
    pub header: String,
    /// The line.
    pub text: String,
}

/// Why a file is not a delivered one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read or is not gzip.
    #[error("reading flow-log file {path} failed", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its first line does not name fields.
    #[error("{path} does not begin with a header line", path = .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        #[source]
        source: FormatError,
    },
    /// A line does not fit the header.
    #[error("a line of {path} does not fit its header", path = .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        #[source]
        source: LineError,
    },
}

/// Reads a delivered file.
///
/// # Errors
/// If the file cannot be read, or is not a header line and lines that fit it.
pub fn read_object(path: &Path) -> Result<Vec<LoggedLine>, ReadError> {
    let text = text_of(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let format = Format::from_header(header).map_err(|source| ReadError::Header {
        path: path.to_owned(),
        source,
    })?;
    let delivered = path
        .file_name()
        .and_then(|name| name.to_str()?.parse::<ObjectName>().ok())
        .map_or(0, |name| name.delivered.as_secs());
    lines
        .map(|text| {
            let line = Line::parse(&format, text).map_err(|source| ReadError::Line {
                path: path.to_owned(),
                source,
            })?;
            Ok(LoggedLine {
                at_secs: line.number(Field::Start).unwrap_or(delivered),
                header: header.to_owned(),
                text: text.to_owned(),
            })
        })
        .collect()
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    GzDecoder::new(file)
        .take(TEXT_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}
