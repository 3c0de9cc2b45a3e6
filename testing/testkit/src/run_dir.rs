//! The folder of a run, where everything that must be removed after it is recorded.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::process::start_time;

/// `/run/underlay-vpc/<run-id>`.
#[derive(Debug, Clone)]
pub struct RunDir {
    id: String,
    path: PathBuf,
}

impl RunDir {
    /// The folder of the run `id`, created if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(id: &str) -> anyhow::Result<Self> {
        let path = Path::new("/run/underlay-vpc").join(id);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self {
            id: id.to_owned(),
            path,
        })
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records a process: a line `<pid> <start time in ticks> <name>` in `pids`. The start time
    /// tells it from a later process with the same id.
    ///
    /// # Errors
    /// When the process is gone or the file cannot be written.
    pub fn record_process(&self, pid: u32, name: &str) -> anyhow::Result<()> {
        let start = start_time(pid).with_context(|| format!("{name} (process {pid}) is gone"))?;
        self.append("pids", &format!("{pid} {start} {name}"))
    }

    /// Records a control group, as a path below each controller's mount, in `cgroups`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_cgroup(&self, cgroup: &str) -> anyhow::Result<()> {
        self.append("cgroups", cgroup)
    }

    fn append(&self, file: &str, line: &str) -> anyhow::Result<()> {
        let path = self.path.join(file);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        // One write, so that lines of several writers do not mix.
        file.write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    }
}
