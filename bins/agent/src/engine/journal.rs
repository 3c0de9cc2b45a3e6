//! The journal's file: what must be known after a crash, recorded before the first effect.
//!
//! It lies on a tmpfs, so nothing is synced. A torn tail, left by a kill in the middle of a write,
//! is dropped. When much of it is history it is written anew and renamed over the old one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use underlay_journal::{Change, Decoded, State, VERSION, decode, encode, encode_header};
use underlay_types::Timestamp;

/// Records of history, beyond twice the living ones, that make the journal worth rewriting.
const HISTORY_MAX: usize = 4096;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("cannot {what} the journal {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file is not a journal this version reads. It is left as it is.
    #[error("cannot use the journal {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// The open journal and what it says.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole records: a failed append is cut off there.
    length: u64,
    /// The version of the file's records.
    version: u32,
    records: usize,
    state: State,
}

impl Journal {
    /// Opens the journal at `path`, or begins it, and rewrites it without history, in the words of
    /// this version. Where there is no room for that, as on a full disk, the old file stays in use:
    /// the node's pods are known, and can go. The second value is the number of bytes of a torn tail that were dropped.
    ///
    /// # Errors
    /// `Unreadable` for a foreign file or a newer version; `Io`.
    pub(super) fn open(path: &Path) -> Result<(Self, usize), JournalError> {
        let bytes = read(path)?;
        let Decoded {
            state,
            dropped,
            version,
        } = decode(&bytes).map_err(|error| JournalError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let whole = bytes.len() - dropped;
        let (file, length, version) = match rewrite(path, &state) {
            Err(error) if whole > 0 => {
                tracing::warn!(
                    "{}; the old one stays in use",
                    underlay_types::chain(&error)
                );
                let (file, length) = reopen(path, whole)?;
                (file, length, version)
            }
            rewritten => {
                let (file, length) = rewritten?;
                (file, length, VERSION)
            }
        };
        let records = state.changes().count();
        let journal = Self {
            path: path.to_owned(),
            file,
            length,
            version,
            records,
            state,
        };
        Ok((journal, dropped))
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Records a change. Returns once a crash of the agent cannot lose it.
    ///
    /// # Errors
    /// `Io`; the journal is then as before.
    pub(super) fn record(&mut self, change: Change) -> Result<(), JournalError> {
        let change = self.state.worded(change, self.version);
        let bytes = encode(&change);
        if let Err(source) = self.file.write_all(&bytes) {
            // A part of the record may stand there; without this the next one would follow it.
            let cut = self.file.set_len(self.length);
            let back = self.file.seek(SeekFrom::Start(self.length));
            let what = if cut.is_err() || back.is_err() {
                "append to (and cut what was written of)"
            } else {
                "append to"
            };
            let path = self.path.clone();
            return Err(JournalError::Io { what, path, source });
        }
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.records += 1;
        self.state.apply(change);
        if self.records > HISTORY_MAX && self.records > 2 * self.state.changes().count() {
            // The change is recorded all the same, in the old file, which only stays long.
            if let Err(error) = self.compact() {
                tracing::warn!(%error, "cannot rewrite the journal; it grows until that works");
            }
        }
        Ok(())
    }

    /// Forgets what no longer matters and rewrites the file.
    ///
    /// # Errors
    /// `Io`; the old file then stays in use.
    pub(super) fn compact(&mut self) -> Result<(), JournalError> {
        let (file, length) = rewrite(&self.path, &self.state)?;
        self.file = file;
        self.length = length;
        self.version = VERSION;
        self.records = self.state.changes().count();
        Ok(())
    }

    /// Forgets cooldowns that have ended by both clocks; they stay in the file until it is
    /// rewritten.
    pub(super) fn forget_cooled(&mut self, wall_ms: u64, boot: Timestamp, cooldown: Duration) {
        self.state.forget_cooled(wall_ms, boot, cooldown);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(source) => Err(JournalError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes a journal beside the old one and renames it over: at no time is there half a journal.
fn rewrite(path: &Path, state: &State) -> Result<(File, u64), JournalError> {
    let beside = path.with_extension("new");
    let io = |what| {
        let path = path.to_owned();
        move |source| JournalError::Io { what, path, source }
    };
    let mut bytes = encode_header();
    for change in state.changes() {
        bytes.extend(encode(&change));
    }
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&bytes)?;
        Ok(file)
    };
    let written = write().map_err(io("write a new copy of"));
    let replaced = written.and_then(|file| {
        std::fs::rename(&beside, path).map_err(io("replace"))?;
        Ok((file, u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    });
    if replaced.is_err()
        && let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %beside.display(), "half a journal is left");
    }
    replaced
}

/// The old file, to be appended to after its first `whole` bytes.
fn reopen(path: &Path, whole: usize) -> Result<(File, u64), JournalError> {
    let length = u64::try_from(whole).unwrap_or(u64::MAX);
    let open = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    };
    let file = open().map_err(|source| JournalError::Io {
        what: "append to",
        path: path.to_owned(),
        source,
    })?;
    Ok((file, length))
}

#[cfg(test)]
mod tests;
