//! The folder that outlives a server, and going on from it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};
use underlay_vpc_model::{Model, ModelConfig};

use super::{ApiServer, Clock};
use crate::journal::{JournalError, Replayed, replay};

/// A folder that one process at a time has, until it ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Whoever holds it has the folder; the kernel takes it from those that end.
    _lock: File,
}

/// Why a server cannot go on from a folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has the folder.
    #[error("another process serves from {}", .0.display())]
    Busy(PathBuf),
    /// The options are not those of the beginning.
    #[error(
        "{} was begun with other options ({what}): start with the same ones, or with an empty folder", path.display()
    )]
    Changed {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The system refused.
    #[error("{op} {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl StateDir {
    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// `Busy`; `Io`.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let failed = |op| {
            let path = path.to_owned();
            move |source| StateError::Io { op, path, source }
        };
        fs::create_dir_all(path).map_err(failed("create"))?;
        let lock = File::create(path.join("lock")).map_err(failed("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Busy(path.to_owned())),
            Err(errno) => Err(failed("lock")(errno.into())),
        }
    }

    /// Its journal, which need not be there.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// What its journal leads to, if it has one.
    ///
    /// # Errors
    /// `Journal`.
    pub fn replayed(&self) -> Result<Option<Replayed>, StateError> {
        let path = self.journal();
        if !path.exists() {
            return Ok(None);
        }
        let replayed = replay(&path)?;
        if replayed.torn > 0 {
            tracing::warn!(
                bytes = replayed.torn,
                "the journal's end was torn: a call that was not answered did not happen"
            );
        }
        Ok(Some(replayed))
    }

    /// The model and the clock of a journal, if they are what `config` would begin.
    ///
    /// # Errors
    /// `Changed`.
    pub fn go_on(
        &self,
        replayed: &mut Replayed,
        config: impl FnOnce(u64) -> ModelConfig,
    ) -> Result<(Model, Clock), StateError> {
        let start = &mut replayed.start;
        let was = start.model.config().clone();
        let wanted = config(was.seed);
        if wanted != was {
            let what = if wanted.seed != was.seed {
                "--seed"
            } else if wanted.limits != was.limits {
                "quotas"
            } else {
                "Region, zones, account, preset or address order"
            };
            let path = self.path.clone();
            return Err(StateError::Changed { path, what });
        }
        let model = std::mem::replace(&mut start.model, Model::new(was));
        Ok((model, Clock::resumed(start.clock, replayed.last)))
    }
}

impl ApiServer {
    /// A server that goes on with what `dir` holds, or begins it.
    ///
    /// # Errors
    /// Those of [`StateDir::replayed`] and [`StateDir::go_on`].
    pub fn from_state(
        dir: &StateDir,
        config: impl FnOnce(u64) -> ModelConfig,
        begin: impl FnOnce(Model, Option<Clock>) -> Arc<Self>,
        random: u64,
    ) -> Result<Arc<Self>, StateError> {
        let Some(mut replayed) = dir.replayed()? else {
            return Ok(begin(Model::new(config(random)), None));
        };
        let (model, clock) = dir.go_on(&mut replayed, config)?;
        let server = begin(model, Some(clock));
        server.restore_keys(&mut replayed);
        tracing::info!(records = replayed.records, "gone on from the journal");
        Ok(server)
    }
}
