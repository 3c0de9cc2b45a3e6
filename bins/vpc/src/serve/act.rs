//! Changing the model: noted in the journal, carried out by the hook, or taken back.

use std::path::Path;

use underlay_types::{EniId, InstanceId, Timestamp, chain};
use underlay_vpc_model::{Change, Ec2Error, Event, Model};

use super::{ApiServer, HookError, undo};
use crate::{
    api::{ApiResponse, HeldKey, Prepared, RoleKey},
    journal::{Journal, JournalError, Record, Replayed, Start, sum_of},
};

impl ApiServer {
    /// Keeps a journal at `path` from now on, which begins with what everything is now. One that
    /// was kept before ends.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_journal(&self, path: &Path) -> Result<(), JournalError> {
        let model = self.model.lock();
        let fresh = Journal::begin(path, &self.start(&model))?;
        *self.journal.lock() = Some(fresh);
        Ok(())
    }

    /// Accepts what was given out before, by another process.
    pub fn restore_keys(&self, replayed: &mut Replayed) {
        for key in replayed.start.keys.drain(..) {
            self.credentials.restore(key);
        }
    }

    /// Has an event happen, and the hook carry out what changed.
    ///
    /// # Errors
    /// The hook's, or that it was not noted; then the model's refusal.
    pub fn change(&self, event: Event) -> Result<Result<Option<EniId>, Ec2Error>, HookError> {
        self.act(
            |model, now| model.apply(&event, now),
            Some(|at, sum| Record::Event {
                at,
                event: event.clone(),
                sum,
            }),
        )
    }

    /// Runs a call. When the hook cannot carry out what it did, the model is as it was before,
    /// and the hook is told; unless the call removed something, which stays removed.
    pub(super) fn run(
        &self,
        prepared: Prepared,
        request_id: &str,
    ) -> Result<Result<ApiResponse, Ec2Error>, HookError> {
        let input = prepared.may_change().then(|| prepared.input());
        self.act(
            |model, now| prepared.run(model, request_id, now),
            input.map(|(caller, form)| {
                |at, sum| Record::Call {
                    at,
                    caller,
                    form,
                    sum,
                }
            }),
        )
    }

    fn act<R>(
        &self,
        act: impl FnOnce(&mut Model, Timestamp) -> Result<R, Ec2Error>,
        record: Option<impl FnOnce(Timestamp, u32) -> Record>,
    ) -> Result<Result<R, Ec2Error>, HookError> {
        let mut model = self.model.lock();
        let now = self.tick(&mut model);
        let result = act(&mut model, now);
        let changes = model.take_changes();
        let mut done = Ok(());
        if let (Some(record), Ok(_)) = (record, &result) {
            done = match self.note(record(now, sum_of(&changes))) {
                Ok(number) => self.carry_out_or_take_back(&mut model, number, changes, now),
                Err(error) => {
                    self.restore(&mut model, u64::MAX, now);
                    Err(HookError(chain(&error)))
                }
            };
            self.shorten(&model);
        }
        drop(model);
        self.deadline.notify_one();
        done.map(|()| result)
    }

    fn carry_out_or_take_back(
        &self,
        model: &mut Model,
        number: u64,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), HookError> {
        let back = undo::inverse(&changes);
        let carried_out = self.carry_out(model, changes);
        if let (Err(_), Some(back)) = (&carried_out, back)
            && self.restore(model, number, now)
        {
            if let Err(error) = self.note(Record::TakenBack { record: number }) {
                tracing::error!(error = chain(&error), "a restart would do a refused call");
            }
            if let Err(error) = self.carry_out(model, back) {
                tracing::error!(%error, "a refused call was not taken back in full");
            }
        }
        carried_out
    }

    /// Makes the model what it was before a record, by running those before it again: that is
    /// seldom, and costs nothing as long as it does not happen. False without a journal.
    fn restore(&self, model: &mut Model, record: u64, now: Timestamp) -> bool {
        let journal = self.journal.lock();
        let Some(journal) = journal.as_ref() else {
            return false;
        };
        match journal.model_before(record) {
            Ok(before) => {
                *model = before;
                // What ended by now was carried out before.
                model.tick(now);
                model.take_changes();
                true
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "a refused call stays done");
                false
            }
        }
    }

    /// Adds a record, and says its number.
    fn note(&self, record: Record) -> Result<u64, JournalError> {
        match self.journal.lock().as_mut() {
            Some(journal) => journal.append(&record),
            None => Ok(0),
        }
    }

    pub(super) fn note_clock(&self) {
        if let Err(error) = self.note(Record::Clock(self.clock.record())) {
            tracing::error!(error = chain(&error), "a restart would not know the clock");
        }
    }

    pub(super) fn note_key(&self, instance: &InstanceId, role: &str, key: &RoleKey) {
        let key = HeldKey {
            instance: instance.clone(),
            role: role.to_owned(),
            key: key.clone(),
        };
        if let Err(error) = self.note(Record::Key(key)) {
            tracing::error!(
                error = chain(&error),
                "a restart would not know a role's key"
            );
        }
    }

    /// Writes a journal anew that is mostly history.
    fn shorten(&self, model: &Model) {
        let is_long = self.journal.lock().as_ref().is_some_and(Journal::is_long);
        if is_long {
            self.write_anew(model);
        }
    }

    /// Writes the journal anew: what changed the model otherwise is no record.
    pub(super) fn write_anew(&self, model: &Model) {
        let mut journal = self.journal.lock();
        let Some(long) = journal.as_mut() else {
            return;
        };
        match Journal::begin(long.path(), &self.start(model)) {
            Ok(fresh) => *long = fresh,
            Err(error) => tracing::error!(error = chain(&error), "the journal is not up to date"),
        }
    }

    fn start<'a>(&self, model: &'a Model) -> Start<&'a Model> {
        Start {
            model,
            clock: self.clock.record(),
            keys: self.credentials.held(),
        }
    }
}

#[cfg(test)]
mod tests;
