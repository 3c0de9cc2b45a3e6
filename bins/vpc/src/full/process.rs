//! Processes that a run recorded, told by their start time from later ones with the same id.

use std::{
    fmt, fs,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// A process: one line of a run's `pids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    pid: i32,
    start_ticks: u64,
    name: String,
}

/// Why a line is not a process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a line of the form <pid> <start time> <name>")]
pub struct ProcessRecordError(String);

/// A process that could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The signal was refused.
    #[error("signal process {process}")]
    Signal {
        /// The process.
        process: ProcessRecord,
        /// The system's answer.
        #[source]
        source: Errno,
    },
    /// It lives on after a kill.
    #[error("process {0} does not end")]
    Stays(ProcessRecord),
}

impl ProcessRecord {
    /// This process.
    #[must_use]
    pub(super) fn own(name: &str) -> Self {
        let pid = rustix::process::getpid().as_raw_pid();
        Self {
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
            name: name.to_owned(),
        }
    }

    /// Whether both mean the same process, whatever they call it.
    #[must_use]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }

    /// Whether it is the VPC's server.
    #[must_use]
    pub(super) fn is_server(&self) -> bool {
        self.name == "underlay-vpc"
    }

    /// A handle of the process, if it still lives.
    #[must_use]
    pub(super) fn open(&self) -> Option<LiveProcess> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Looked at after opening: from here on the handle cannot mean another process.
        (start_ticks(self.pid)? == self.start_ticks && !is_zombie(self.pid)).then(|| LiveProcess {
            record: self.clone(),
            fd,
        })
    }
}

impl fmt::Display for ProcessRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.start_ticks, self.name)
    }
}

impl FromStr for ProcessRecord {
    type Err = ProcessRecordError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.splitn(3, ' ');
        let parsed = (|| {
            let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
            let start_ticks = words.next()?.parse().ok()?;
            let name = words.next().unwrap_or("").to_owned();
            Some(Self {
                pid,
                start_ticks,
                name,
            })
        })();
        parsed.ok_or_else(|| ProcessRecordError(line.to_owned()))
    }
}

/// A recorded process that lives.
#[derive(Debug)]
pub(super) struct LiveProcess {
    record: ProcessRecord,
    fd: OwnedFd,
}

impl LiveProcess {
    /// What was recorded.
    #[must_use]
    pub(super) fn record(&self) -> &ProcessRecord {
        &self.record
    }

    /// Sends a signal; a process that has ended is no error.
    ///
    /// # Errors
    /// When the signal is refused.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), EndError> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(source) => Err(EndError::Signal {
                process: self.record.clone(),
                source,
            }),
        }
    }

    /// Waits until the process has ended; false when it has not within `patience`.
    #[must_use]
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                // Without poll there is no telling; the caller goes on to kill.
                Err(_) => return false,
            }
        }
    }
}

/// Asks processes to end, and kills those that do not within `patience`.
///
/// # Errors
/// Those that live on; the others have ended all the same.
pub(super) fn end(processes: Vec<LiveProcess>, patience: Duration) -> Vec<EndError> {
    let mut errors = Vec::new();
    for process in &processes {
        errors.extend(process.signal(Signal::TERM).err());
    }
    let deadline = Instant::now() + patience;
    let mut left = Vec::new();
    for process in processes {
        if !process.wait(deadline.saturating_duration_since(Instant::now())) {
            errors.extend(process.signal(Signal::KILL).err());
            left.push(process);
        }
    }
    for process in left {
        if !process.wait(Duration::from_secs(5)) {
            errors.push(EndError::Stays(process.record));
        }
    }
    errors
}

fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name stands in parentheses and may hold anything; what follows it does not.
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Field 22 of `/proc/<pid>/stat`: when it started, in ticks since boot.
fn start_ticks(pid: i32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

fn is_zombie(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip_and_the_first_process_is_never_one() {
        let record: ProcessRecord = "4711 99 underlay-agent n1".parse().unwrap();
        assert_eq!(record.to_string(), "4711 99 underlay-agent n1");
        for bad in [
            "",
            "x",
            "4711",
            "4711 x y",
            "1 99 init",
            "0 99 x",
            "-7 99 x",
        ] {
            assert_eq!(
                bad.parse::<ProcessRecord>(),
                Err(ProcessRecordError(bad.to_owned()))
            );
        }
    }

    #[test]
    fn only_the_process_that_started_then_is_found() {
        let own = ProcessRecord::own("test");
        assert_eq!(own.open().unwrap().record(), &own);
        let other = ProcessRecord {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(other.open().is_none());
    }
}
