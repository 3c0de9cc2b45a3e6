//! One object of a bucket, as a file.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use parquet::errors::ParquetError;
use underlay_flowlog::{FileFormat, Format, Line, ObjectName};

/// An object that is to be written.
#[derive(Debug)]
pub(super) struct Object {
    /// Relative to the writer's folder.
    pub(super) folder: PathBuf,
    pub(super) name: ObjectName,
    pub(super) content: Vec<u8>,
}

/// The bytes of an object with these lines.
pub(super) fn content(
    file_format: FileFormat,
    format: &Format,
    lines: &[String],
) -> Result<Vec<u8>, ParquetError> {
    match file_format {
        FileFormat::Text => Ok(gzip(
            format!("{}\n{}\n", format.header(), lines.join("\n")).as_bytes(),
        )),
        FileFormat::Parquet => {
            let lines = lines.iter().map(|line| Line::parse(format, line));
            let lines: Result<Vec<_>, _> = lines.collect();
            let lines = lines.map_err(|error| ParquetError::External(error.into()))?;
            super::parquet::encode(format, &lines)
        }
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec cannot fail")
}

impl Object {
    /// Writes the file under a name of its own, then links it to its place; a taken name leads to
    /// the next hash.
    pub(super) fn write_below(&self, dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
        let folder = dir.join(&self.folder);
        let mut name = self.name.clone();
        let unfinished = folder.join(format!(".{name}.part"));
        let path_of = |name: &ObjectName| folder.join(name.to_string());
        let prepared =
            fs::create_dir_all(&folder).and_then(|()| fs::write(&unfinished, &self.content));
        if let Err(error) = prepared {
            return Err((path_of(&name), error));
        }
        let linked = loop {
            let path = path_of(&name);
            match fs::hard_link(&unfinished, &path) {
                Ok(()) => break Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    name.hash = name.hash.wrapping_add(1);
                }
                Err(error) => break Err((path, error)),
            }
        };
        let removed = fs::remove_file(&unfinished);
        match (linked, removed) {
            // The lines are in place; a left-over that cannot be removed is no reason to write
            // them a second time.
            (Ok(path), Err(error)) => {
                tracing::warn!(path = %unfinished.display(), %error, "a left-over stays");
                Ok(path)
            }
            (linked, _) => linked,
        }
    }
}
