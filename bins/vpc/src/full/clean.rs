//! Removing what a run left: what its folder records, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::mount::{UnmountFlags, unmount};
use underlay_netlink::{KernelError, netns};

use super::{
    process::{self, EndError, ProcessRecord, ProcessRecordError},
    run_dir::{RunDir, RunDirError},
};

/// How long processes may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take, which ends the others first.
const SERVER_PATIENCE: Duration = Duration::from_secs(15);
const CGROUPS: &str = "/sys/fs/cgroup";

/// Something that is still there.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// A control group.
    #[error("remove the control group {}", path.display())]
    Cgroup {
        /// Its folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A mount.
    #[error("unmount {}", path.display())]
    Mount {
        /// Where it is mounted.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A namespace's name.
    #[error(transparent)]
    Namespace(#[from] KernelError),
    /// A process.
    #[error(transparent)]
    Process(#[from] EndError),
    /// A line of the list of processes that says nothing.
    #[error(transparent)]
    Record(#[from] ProcessRecordError),
    /// The folder itself.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
}

/// Removes everything that a run's folder records: processes, mounts, control groups,
/// namespaces with their devices, and the folder. What is not there is no error; the folder
/// stays if anything else did.
pub fn clean(run: &RunDir) -> Vec<CleanError> {
    let mut errors = Vec::new();
    end_processes(run, &mut errors);
    unmount_below(run.path(), &mut errors);
    for group in lines(run, "cgroups", &mut errors) {
        remove_cgroup(group.trim_start_matches('/'), &mut errors);
    }
    for name in lines(run, "namespaces", &mut errors) {
        errors.extend(netns::remove_named(&name).err().map(CleanError::from));
    }
    if errors.is_empty() {
        errors.extend(run.remove().err().map(CleanError::from));
    }
    errors
}

/// The recorded processes that live.
pub(super) fn processes(run: &RunDir, errors: &mut Vec<CleanError>) -> Vec<process::LiveProcess> {
    let mut live = Vec::new();
    for line in lines(run, "pids", errors) {
        match line.parse::<ProcessRecord>() {
            Ok(record) => live.extend(record.open()),
            Err(error) => errors.push(error.into()),
        }
    }
    live
}

fn end_processes(run: &RunDir, errors: &mut Vec<CleanError>) {
    // A process cannot wait for its own end.
    let own = ProcessRecord::own("");
    let mut live = processes(run, errors);
    live.retain(|process| !process.record().is_same(&own));
    // The server ends the others itself; what it leaves, or a killed one left, comes after it.
    let (servers, others) = live
        .into_iter()
        .partition(|process| process.record().is_server());
    for (processes, patience) in [(servers, SERVER_PATIENCE), (others, PATIENCE)] {
        let stayed = process::end(processes, patience);
        errors.extend(stayed.into_iter().map(CleanError::from));
    }
}

fn lines(run: &RunDir, file: &str, errors: &mut Vec<CleanError>) -> Vec<String> {
    run.lines(file).unwrap_or_else(|error| {
        errors.push(error.into());
        Vec::new()
    })
}

fn unmount_below(folder: &Path, errors: &mut Vec<CleanError>) {
    let table = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(table) => table,
        Err(source) => {
            let path = folder.to_owned();
            return errors.push(CleanError::Mount { path, source });
        }
    };
    // Field 5 is the mount point. Later mounts lie on or below earlier ones.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<_> = points
        .filter(|point| Path::new(point).starts_with(folder))
        .collect();
    for point in below.into_iter().rev() {
        if let Err(errno) = unmount(point, UnmountFlags::DETACH) {
            errors.push(CleanError::Mount {
                path: PathBuf::from(point),
                source: errno.into(),
            });
        }
    }
}

/// Removes a control group and those below it, in every hierarchy.
fn remove_cgroup(group: &str, errors: &mut Vec<CleanError>) {
    if group.is_empty()
        || Path::new(group)
            .components()
            .any(|part| part.as_os_str() == "..")
    {
        return;
    }
    let hierarchies = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    let roots = hierarchies
        .map(|entry| entry.path())
        .chain([PathBuf::from(CGROUPS)]);
    for folder in roots
        .map(|root| root.join(group))
        .filter(|folder| folder.is_dir())
    {
        if let Err((path, source)) = remove_groups_below(&folder) {
            errors.push(CleanError::Cgroup { path, source });
        }
    }
}

fn remove_groups_below(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let failed = |source| (folder.to_owned(), source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            remove_groups_below(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
