//! Whose a run is: begun now, or gone on with after the process that had it ended.

use std::io;

use underlay_fabric::LoadedPrograms;

use super::{
    clean::clean,
    preflight,
    process::ProcessRecord,
    run_dir::{RunDir, RunId},
    serve::FullError,
};
use crate::serve::{StateDir, StateError};

/// A run that is this process's until it ends.
#[derive(Debug)]
pub struct Claim {
    pub(super) run: RunDir,
    pub(super) state: StateDir,
    pub(super) programs: LoadedPrograms,
    /// Whether another process began it.
    pub(super) resumes: bool,
}

impl Claim {
    /// Takes the run of this name: begins it, or goes on with it if its process has ended. What is
    /// left of one that ended before it was ready is removed first.
    ///
    /// # Errors
    /// `Taken` while another process has it, and for a folder that is no run's; when something is
    /// missing on this machine.
    pub fn take(id: &RunId) -> Result<Self, FullError> {
        let programs = preflight::check()?;
        let run = RunDir::of(id);
        let begun = create(&run)?;
        if !begun && !run.path().join("lock").exists() {
            return Err(FullError::Taken(id.clone()));
        }
        let mut state = take_state(&run)?;
        let resumes = state.journal().exists();
        if !begun && !resumes {
            let errors = clean(&run);
            if !errors.is_empty() || !create(&run)? {
                return Err(FullError::Taken(id.clone()));
            }
            state = take_state(&run)?;
        }
        run.append("pids", &ProcessRecord::own("underlay-vpc").to_string())?;
        Ok(Self {
            run,
            state,
            programs,
            resumes,
        })
    }

    /// The folder whose journal says what the run was.
    #[must_use]
    pub const fn state(&self) -> &StateDir {
        &self.state
    }
}

/// Whether the run's folder was made now.
fn create(run: &RunDir) -> Result<bool, FullError> {
    match run.create() {
        Ok(()) => Ok(true),
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn take_state(run: &RunDir) -> Result<StateDir, FullError> {
    match StateDir::take(run.path()) {
        Err(StateError::Busy(_)) => Err(FullError::Taken(run.id().clone())),
        other => Ok(other?),
    }
}
