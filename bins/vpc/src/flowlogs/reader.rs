//! Reading delivered files back.

use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use parquet::{
    errors::ParquetError,
    file::reader::{FileReader as _, SerializedFileReader},
    record::Field as Value,
};
use underlay_flowlog::{Field, FileFormat, Format, FormatError, Line, LineError, ObjectName};

use super::writer::Event;

/// Text of one file at most: what the documentation gives as the largest file, with room.
const TEXT_BYTES: u64 = 1 << 30;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLine {
    /// When its flow started, in seconds since the Unix epoch; the file's time if it does not say.
    pub at_secs: u64,
    /// The ENI of the stream that it is in.
    pub eni: Option<String>,
    /// The names of its fields.
    pub header: String,
    /// The line.
    pub text: String,
}

/// Why a file is not a delivered one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A line of a stream is no event.
    #[error("a line of {path} is no event", path = .path.display())]
    Event {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        #[source]
        source: serde_json::Error,
    },
    /// It cannot be read or is not gzip.
    #[error("reading flow-log file {path} failed", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its first line, or its columns, do not name fields.
    #[error("{path} does not name its fields", path = .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with the names.
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
    /// It is not Parquet.
    #[error("{path} is not a Parquet file", path = .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: ParquetError,
    },
}

/// Reads a delivered object.
///
/// # Errors
/// If the file cannot be read, or is not a header line and lines that fit it, or a table of
/// fields in Parquet.
pub fn read_object(path: &Path) -> Result<Vec<LoggedLine>, ReadError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str()?.parse::<ObjectName>().ok());
    let delivered = name.as_ref().map_or(0, |name| name.delivered.as_secs());
    let (header, texts) = match name.map(|name| name.format) {
        Some(FileFormat::Parquet) => table_of(path)?,
        Some(FileFormat::Text) | None => text_of(path)?,
    };
    let format = Format::from_header(&header).map_err(|source| ReadError::Header {
        path: path.to_owned(),
        source,
    })?;
    texts
        .into_iter()
        .map(|text| {
            let line = Line::parse(&format, &text).map_err(|source| ReadError::Line {
                path: path.to_owned(),
                source,
            })?;
            Ok(LoggedLine {
                at_secs: line.number(Field::Start).unwrap_or(delivered),
                eni: None,
                header: header.clone(),
                text,
            })
        })
        .collect()
}

/// Reads the events of a stream from an offset on, and says where to go on. An event that is
/// still being written is left for the next time.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn read_stream(path: &Path, offset: u64) -> Result<(Vec<LoggedLine>, u64), ReadError> {
    let text = tail_of(path, offset).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let whole = text.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let events = text.get(..whole).unwrap_or_default();
    let eni = path
        .file_stem()
        .and_then(|stem| Some(stem.to_str()?.rsplit_once('-')?.0.to_owned()));
    let lines = events.lines().map(|line| {
        let event: Event = serde_json::from_str(line).map_err(|source| ReadError::Event {
            path: path.to_owned(),
            source,
        })?;
        Ok(LoggedLine {
            at_secs: event.timestamp / 1000,
            eni: eni.clone(),
            header: event.fields,
            text: event.message,
        })
    });
    let read = u64::try_from(whole).unwrap_or(u64::MAX);
    Ok((
        lines.collect::<Result<_, _>>()?,
        offset.saturating_add(read),
    ))
}

fn tail_of(path: &Path, offset: u64) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = String::new();
    file.take(TEXT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn text_of(path: &Path) -> Result<(String, Vec<String>), ReadError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| {
        GzDecoder::new(file)
            .take(TEXT_BYTES)
            .read_to_string(&mut text)
    });
    read.map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.lines().map(str::to_owned);
    Ok((lines.next().unwrap_or_default(), lines.collect()))
}

/// The names of the columns as a header line, and the rows as lines.
fn table_of(path: &Path) -> Result<(String, Vec<String>), ReadError> {
    let file = fs::File::open(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let parquet = |source| ReadError::Parquet {
        path: path.to_owned(),
        source,
    };
    let table = SerializedFileReader::new(file).map_err(parquet)?;
    let columns = table.metadata().file_metadata().schema_descr().columns();
    let names: Vec<_> = columns
        .iter()
        .map(|column| column.name().replace('_', "-"))
        .collect();
    let rows = table.get_row_iter(None).map_err(parquet)?;
    let lines = rows.map(|row| {
        let row = row.map_err(parquet)?;
        let values: Vec<_> = row
            .get_column_iter()
            .map(|(_, value)| text(value))
            .collect();
        Ok(values.join(" "))
    });
    Ok((names.join(" "), lines.collect::<Result<_, _>>()?))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Str(text) => text.clone(),
        other => other.to_string(),
    }
}
