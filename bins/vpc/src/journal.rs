//! The journal: what changed the model, so that another process can go on with it.
//!
//! A file of records, each four bytes of length, four of CRC-32 (both most significant first) and
//! JSON. The first says what the file is, the second what everything was when the file was written
//! anew; each further one is an input of the model: a call with its time, an event, or word that
//! the kernel refused one. The model is a pure function of its inputs, so that running them again
//! makes it again. A record is written after the model took the input and before anybody hears of
//! it: not the kernel, and not the caller. A torn tail, left by a kill in the middle of a write, is
//! dropped: nobody heard of it.
//!
//! Nothing is synced: the file outlives the process, not the machine's power.

mod codec;
mod replay;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;
use underlay_vpc_model::{Event, Model, Speed};

use crate::api::HeldKey;

pub(crate) use replay::sum_of;
pub use replay::{Replayed, replay};

/// Weight of records, beyond that of what everything was, that makes the file worth writing anew.
const HISTORY_MAX: u64 = 8 << 20;

/// What a record weighs besides its bytes: as many bytes of what everything was are read in the
/// time in which a call is run again, more or less. So a restart runs 1,024 records at most, or as
/// many as take about as long as reading everything.
const RECORD_WEIGHT: u64 = 8 << 10;

/// What everything was.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start<M = Model> {
    /// The objects.
    pub model: M,
    /// The clock.
    pub clock: ClockRecord,
    /// The keys of instances' roles.
    pub keys: Vec<HeldKey>,
}

/// What the VPC's clock showed when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRecord {
    /// At this time of the machine
    pub wall: Timestamp,
    /// it showed this,
    pub shown: Timestamp,
    /// and went as fast as this.
    pub speed: Speed,
}

/// Something that happened.
#[derive(Debug, Serialize, Deserialize)]
pub enum Record {
    /// A call that was answered with success.
    Call {
        /// When.
        at: Timestamp,
        /// Who called, as STS names him.
        caller: String,
        /// Its parameters.
        form: String,
        /// The CRC-32 of what it changed.
        sum: u32,
    },
    /// The clock was moved.
    Clock(ClockRecord),
    /// Something outside the API.
    Event {
        /// When.
        at: Timestamp,
        /// What.
        event: Event,
        /// The CRC-32 of what it changed.
        sum: u32,
    },
    /// A role's key was given out.
    Key(HeldKey),
    /// The kernel refused what a record led to: it did not happen.
    TakenBack {
        /// The record's number in the file, from 0 on.
        record: u64,
    },
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Running the records again does not lead where they led.
    #[error(
        "the journal {} was written by another build: it can be gone on with after an orderly stop only", .0.display()
    )]
    Diverged(PathBuf),
    /// The file is no journal of ours.
    #[error("{} is no journal of underlay-vpc", .0.display())]
    Foreign(PathBuf),
    /// The system refused.
    #[error("{op} the journal {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// It was written by a later version.
    #[error("the journal {} has version {version}, which this program does not know", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole records: a failed append is cut off there.
    length: u64,
    /// Bytes of them that say what everything was.
    start: u64,
    records: u64,
}

impl Journal {
    /// Begins a journal, or writes the one at `path` anew: at no time is there half a journal.
    ///
    /// # Errors
    /// `Io`; an older journal is as before.
    pub fn begin(path: &Path, start: &Start<&Model>) -> Result<Self, JournalError> {
        let beside = path.with_extension("new");
        let failed = |op| io_error(op, &beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed("open"))?;
        let mut bytes = codec::header();
        codec::append(&mut bytes, start);
        file.write_all(&bytes).map_err(failed("write"))?;
        std::fs::rename(&beside, path).map_err(io_error("replace", path))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            start: length,
            records: 0,
        })
    }

    /// Adds a record, and says its number. Returns once the end of this process cannot lose it.
    ///
    /// # Errors
    /// `Io`; the journal is as before.
    pub fn append(&mut self, record: &Record) -> Result<u64, JournalError> {
        let mut bytes = Vec::with_capacity(512);
        codec::append(&mut bytes, record);
        // At its place, not at the end: a part that an earlier failure left is written over.
        self.file
            .write_all_at(&bytes, self.length)
            .map_err(io_error("append to", &self.path))?;
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.records += 1;
        Ok(self.records - 1)
    }

    /// Whether it is mostly history, so that it should be written anew.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        let history = self.length - self.start + self.records * RECORD_WEIGHT;
        history > HISTORY_MAX && history > self.start
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model that its records before `record` lead to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn model_before(&self, record: u64) -> Result<Model, JournalError> {
        replay::replay_to(&self.path, Some(record)).map(|replayed| replayed.start.model)
    }
}

fn io_error(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { op, path, source }
}
