//! DELs that the plugin left while no agent was there.

use std::{
    fs::{File, read, read_dir, remove_file},
    io,
    path::PathBuf,
};

use underlay_agent_api::{Request, decode, tombstone_file};
use underlay_types::{LeaseKey, chain};

use super::dispatch::Dispatch;

/// The folder of tombstones.
#[derive(Debug)]
pub(super) struct Tombstones {
    dir: PathBuf,
}

impl Tombstones {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Whether a DEL for `key` is pending.
    pub(super) fn exists(&self, key: &LeaseKey) -> bool {
        self.dir.join(tombstone_file(key)).exists()
    }

    /// Forgets the pending DEL for `key`, if there is one.
    pub(super) fn remove(&self, key: &LeaseKey) {
        self.remove_file(&tombstone_file(key));
    }

    /// Forgets the pending DEL in `file`, if there is one.
    pub(super) fn remove_file(&self, file: &str) {
        match remove_file(self.dir.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(file, error = chain(&error), "cannot remove a tombstone");
            }
            _ => {}
        }
    }

    /// Carries out every pending DEL. One that fails stays for the next time.
    pub(super) fn consume(&self, dispatch: &Dispatch) {
        let entries = match read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let dir = self.dir.display();
                tracing::error!(%dir, error = chain(&error), "cannot read the tombstones");
                return;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            let Ok(file) = entry.file_name().into_string() else {
                continue;
            };
            if file.starts_with('.') {
                self.remove_dead_draft(&file);
            } else {
                self.consume_one(&file, dispatch);
            }
        }
    }

    fn consume_one(&self, file: &str, dispatch: &Dispatch) {
        let bytes = match read(self.dir.join(file)) {
            Ok(bytes) => bytes,
            // A DEL came meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::error!(file, error = chain(&error), "cannot read a tombstone");
                return;
            }
        };
        let request: Request = match decode(&bytes) {
            Ok(request) => request,
            Err(error) => {
                // Tombstones appear by rename, so that this is no draft; it will not get better.
                tracing::error!(
                    file,
                    error = chain(&error),
                    "removed a tombstone that is none"
                );
                self.remove_file(file);
                return;
            }
        };
        match dispatch.bury(file, &request) {
            Ok(()) => tracing::info!(file, "carried out a DEL that was left for the agent"),
            Err(error) => {
                tracing::error!(file, %error, "cannot carry out a DEL left for the agent")
            }
        }
    }

    /// Removes a draft whose plugin was killed; a living one holds a lock on its draft.
    fn remove_dead_draft(&self, file: &str) {
        let lock = File::open(self.dir.join(file)).map(|draft| draft.try_lock().map(|()| draft));
        if matches!(lock, Ok(Ok(_))) {
            self.remove_file(file);
        }
    }
}
