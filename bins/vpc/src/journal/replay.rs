//! Running a journal's records again.

use std::{collections::BTreeSet, path::Path};

use underlay_types::Timestamp;
use underlay_vpc_model::{Change, Model};

use super::{
    Record, Start,
    codec::{self, Kind},
    io_error,
};
use crate::{api, journal::JournalError};

/// What a journal leads to.
#[derive(Debug)]
pub struct Replayed {
    /// Everything, as it is.
    pub start: Start,
    /// When the last of them happened.
    pub last: Timestamp,
    /// How many records were run again.
    pub records: u64,
    /// Bytes at the end that are no whole record.
    pub torn: usize,
}

/// Reads a journal and runs it.
///
/// # Errors
/// When it cannot be read, is none, or was written by another build.
pub fn replay(path: &Path) -> Result<Replayed, JournalError> {
    replay_to(path, None)
}

/// As [`replay`], with the records before `end` only.
pub(super) fn replay_to(path: &Path, end: Option<u64>) -> Result<Replayed, JournalError> {
    let bytes = std::fs::read(path).map_err(io_error("read", path))?;
    let mut rest = bytes.as_slice();
    match codec::take_header(&mut rest) {
        Kind::Ours => {}
        Kind::Newer(version) => {
            let path = path.to_owned();
            return Err(JournalError::Newer { path, version });
        }
        Kind::Foreign => return Err(JournalError::Foreign(path.to_owned())),
    }
    let foreign = || JournalError::Foreign(path.to_owned());
    let mut start: Start = codec::take(&mut rest).ok_or_else(foreign)?;
    let mut records = Vec::new();
    while let Some(record) = codec::take::<Record>(&mut rest) {
        records.push(record);
    }
    let torn = rest.len();
    let refused: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::TakenBack { record } => Some(*record),
            _ => None,
        })
        .collect();
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    let mut last = Timestamp::ZERO;
    for (number, record) in (0..end.unwrap_or(count)).zip(records) {
        if let Record::Call { at, .. } | Record::Event { at, .. } = &record {
            last = *at;
        }
        if !refused.contains(&number) {
            run(&mut start, record).ok_or_else(|| JournalError::Diverged(path.to_owned()))?;
        }
    }
    Ok(Replayed {
        start,
        last,
        records: count,
        torn,
    })
}

/// `None` when it does not lead where it led.
fn run(start: &mut Start, record: Record) -> Option<()> {
    let model = &mut start.model;
    match record {
        Record::Call {
            at,
            caller,
            form,
            sum,
        } => {
            let prepared = api::prepare_again(&form, &caller, at)?;
            tick(model, at);
            prepared.run(model, "", at).ok()?;
            (sum_of(&model.take_changes()) == sum).then_some(())
        }
        Record::Clock(clock) => {
            start.clock = clock;
            Some(())
        }
        Record::Event { at, event, sum } => {
            tick(model, at);
            model.apply(&event, at).ok()?;
            (sum_of(&model.take_changes()) == sum).then_some(())
        }
        Record::Key(key) => {
            start.keys.push(key);
            Some(())
        }
        Record::TakenBack { .. } => Some(()),
    }
}

/// What ended by itself before the record.
fn tick(model: &mut Model, at: Timestamp) {
    model.tick(at);
    model.take_changes();
}

/// The CRC-32 of what was changed: the ids in it depend on everything that came before.
pub(crate) fn sum_of(changes: &[Change]) -> u32 {
    crc32fast::hash(format!("{changes:?}").as_bytes())
}
