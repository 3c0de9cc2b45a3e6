//! Events of a log stream, as lines of a file.
//!
//! A log group is a folder below `CloudWatchLogs`, which no bucket can be named; a stream is a
//! file in it, an event one line of JSON with the keys of CloudWatch Logs' FilterLogEvents, and
//! `fields`: the names of the message's fields, which a text object has in its header line.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use underlay_flowlog::LogGroup;

/// The folder of all log groups.
const GROUPS: &str = "CloudWatchLogs";

/// How the names of streams' files end.
const SUFFIX: &str = ".jsonl";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::flowlogs) struct Event {
    /// When its flow started, in milliseconds since the Unix epoch.
    pub(in crate::flowlogs) timestamp: u64,
    /// When it was delivered.
    pub(in crate::flowlogs) ingestion_time: u64,
    /// The names of the message's fields.
    pub(in crate::flowlogs) fields: String,
    /// The line.
    pub(in crate::flowlogs) message: String,
}

/// Events that are to be added to a stream.
#[derive(Debug)]
pub(super) struct Events {
    /// The stream's file, relative to the writer's folder.
    pub(super) path: PathBuf,
    /// The lines of JSON, each with its end.
    pub(super) text: Vec<u8>,
}

/// The file of a stream, relative to the writer's folder.
pub(super) fn stream_path(group: &LogGroup, stream: &str) -> PathBuf {
    let folder: PathBuf = std::iter::once(GROUPS).chain(group.parts()).collect();
    folder.join(format!("{stream}{SUFFIX}"))
}

/// Whether a path is that of a stream's file.
pub(in crate::flowlogs) fn is_stream(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(SUFFIX))
        && path.iter().any(|part| part == GROUPS)
}

impl Events {
    pub(super) fn new(path: PathBuf, events: &[Event]) -> Self {
        let mut text = Vec::new();
        for event in events {
            let line = serde_json::to_vec(event).expect("texts and numbers have a JSON form");
            text.extend(line);
            text.push(b'\n');
        }
        Self { path, text }
    }

    /// Adds the events to their stream, all or none.
    pub(super) fn append_below(&self, dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
        let path = dir.join(&self.path);
        self.append(&path)
            .map(|()| path.clone())
            .map_err(|error| (path, error))
    }

    fn append(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let before = file.metadata()?.len();
        file.write_all(&self.text).or_else(|error| {
            file.set_len(before)?;
            Err(error)
        })
    }
}
