//! The agent's folder: root's alone, and one agent's at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The agent's folder, claimed until this is dropped or the process ends.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

/// Why the agent's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Another agent has claimed it.
    #[error("another underlay-agent runs here: it holds {0}")]
    Claimed(PathBuf),
    /// It belongs to somebody else, who could put files into it.
    #[error("{path} belongs to user {uid}, not to root; remove it, or name another run_dir")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The system refused.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl RunDir {
    /// Makes the folder, with access for root alone, and claims it. An agent that was killed
    /// leaves no claim behind.
    ///
    /// # Errors
    /// See [`RunDirError`].
    pub fn claim(path: &Path) -> Result<Self, RunDirError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| RunDirError::Io { what, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io("create", path))?;
        let metadata = path.metadata().map_err(io("look at", path))?;
        if metadata.uid() != 0 {
            let path = path.to_owned();
            return Err(RunDirError::Foreign {
                path,
                uid: metadata.uid(),
            });
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(io("take others' access from", path))?;
        let lock_path = path.join("agent.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RunDirError::Claimed(lock_path)),
            Err(TryLockError::Error(source)) => Err(io("lock", &lock_path)(source)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time_and_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let claim = RunDir::claim(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        assert!(matches!(RunDir::claim(&path), Err(RunDirError::Claimed(_))));
        drop(claim);
        assert!(RunDir::claim(&path).is_ok());
    }
}
