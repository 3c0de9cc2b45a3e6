//! The folder of a run: what was made, so that it can be removed by whoever comes later.
//!
//! `/run/underlay-vpc/<run-id>/` holds `pids` (lines `<pid> <start time in ticks> <name>`),
//! `namespaces` (names under /run/netns), `cgroups` (paths below each controller's mount) and the
//! admin socket. A line is written before the thing it names is made.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where runs lie.
const ROOT: &str = "/run/underlay-vpc";
const ID_MAX: usize = 40;

/// The name of a run: 1 to 40 lower-case letters, digits and dashes, not beginning with a dash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(Box<str>);

/// Why a text does not name a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not name a run: use 1 to 40 lower-case letters, digits and dashes, a dash not first"
)]
pub struct RunIdError(String);

/// A run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    id: RunId,
    path: PathBuf,
}

/// A folder of a run that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{op} {}", path.display())]
pub struct RunDirError {
    /// What was tried.
    pub op: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

// === impl RunId ===

impl RunId {
    /// A name that no other run has, made of random bits.
    #[must_use]
    pub fn random(bits: u64) -> Self {
        let [a, b, c, d, ..] = bits.to_be_bytes();
        Self(format!("run-{a:02x}{b:02x}{c:02x}{d:02x}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=ID_MAX).contains(&text.len()) && !text.starts_with('-');
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(RunIdError(text.to_owned()))
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl RunDir ===

impl RunDir {
    /// The folder of a run, which need not exist.
    #[must_use]
    pub fn of(id: &RunId) -> Self {
        Self {
            id: id.clone(),
            path: Path::new(ROOT).join(id.as_str()),
        }
    }

    /// The folders that exist.
    ///
    /// # Errors
    /// When /run/underlay-vpc cannot be read.
    pub fn all() -> Result<Vec<Self>, RunDirError> {
        let root = Path::new(ROOT);
        let failed = |source| RunDirError {
            op: "list",
            path: root.to_owned(),
            source,
        };
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            // What does not carry a run's name was not made by a run.
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                runs.push(Self::of(&id));
            }
        }
        runs.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(runs)
    }

    /// The run's name.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.path.join("admin.sock")
    }

    /// The name under /run/netns of a namespace of this run that serves `purpose`.
    #[must_use]
    pub fn netns_name(&self, purpose: &str) -> String {
        format!("underlay-{}-{purpose}", self.id)
    }

    /// Makes the folder. Of several processes that try, one succeeds: the run is its.
    ///
    /// # Errors
    /// When it is there already ([`io::ErrorKind::AlreadyExists`]) or cannot be made.
    pub fn create(&self) -> Result<(), RunDirError> {
        fs::create_dir_all(ROOT).map_err(self.failed("create", Path::new(ROOT)))?;
        fs::create_dir(&self.path).map_err(self.failed("create", &self.path))
    }

    /// The lines of one of the folder's files; none if there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self, file: &str) -> Result<Vec<String>, RunDirError> {
        let path = self.path.join(file);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => {
                let text = other.map_err(self.failed("read", &path))?;
                Ok(text.lines().map(str::to_owned).collect())
            }
        }
    }

    /// Adds a line to one of the folder's files.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, file: &str, line: &str) -> Result<(), RunDirError> {
        let path = self.path.join(file);
        let open = fs::File::options().create(true).append(true).open(&path);
        // One write, so that lines of several writers do not mix.
        open.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(self.failed("append to", &path))
    }

    /// Replaces the list of namespaces.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_namespaces(&self, names: &BTreeSet<String>) -> Result<(), RunDirError> {
        let path = self.path.join("namespaces");
        let fresh = self.path.join(".namespaces.new");
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(self.failed("write", &path))
    }

    /// Removes the folder with all it holds.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(&self) -> Result<(), RunDirError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
        let path = path.to_owned();
        move |source| RunDirError { op, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_round_trip_and_cannot_leave_their_folder() {
        for text in ["a", "demo", "e2e-4711", &"x".repeat(40)] {
            let id: RunId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
        }
        for text in ["", ".", "..", "a/b", "-x", "Demo", "a b", &"x".repeat(41)] {
            assert_eq!(text.parse::<RunId>(), Err(RunIdError(text.to_owned())));
        }
        let random = RunId::random(u64::MAX);
        assert_eq!(random.as_str().parse(), Ok(random));
    }
}
