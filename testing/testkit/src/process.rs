//! Processes that end with the value that stands for them.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// A process with its output in a file. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Option<Child>,
    log: PathBuf,
    /// Keeps a log readable that has no name any more.
    unnamed_log: Option<File>,
}

impl Daemon {
    /// Starts `command` in a process group of its own (a Ctrl-C at the terminal is for the caller,
    /// who ends its processes in order), with both outputs appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("copying a descriptor")?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child: Some(child),
            log: log.to_owned(),
            unnamed_log: None,
        })
    }

    /// The process id; 0 once it was waited for.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// The file with its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its output, for error messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Takes the log's name away: the process writes on, this value still reads it, and nothing is
    /// left when both are gone.
    ///
    /// # Errors
    /// When the file is gone already.
    pub(crate) fn forget_log_name(&mut self) -> anyhow::Result<()> {
        let file = File::open(&self.log).context("opening a log")?;
        fs::remove_file(&self.log).context("removing a log's name")?;
        self.log = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        self.unnamed_log = Some(file);
        Ok(())
    }

    /// Fails with the end of its output if the process has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        let Some(child) = self.child.as_mut() else {
            bail!("{} was stopped", self.name);
        };
        if let Some(status) = child.try_wait().context("looking at a child")? {
            bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Asks the process to end (SIGTERM) and waits for it; kills it after `deadline`.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let Some(mut child) = self.child.take() else {
            bail!("{} was stopped before", self.name);
        };
        signal(child.id(), Signal::TERM);
        let ended = wait_for(&format!("the end of {}", self.name), deadline, || {
            child.try_wait().context("waiting for a child")
        });
        if ended.is_err() {
            kill_and_wait(&mut child);
        }
        ended
    }

    /// Kills the process (SIGKILL) and waits for it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_and_wait(&mut child);
        }
    }

    /// Waits for a process that is about to end, and kills it if it does not within `deadline`.
    pub fn wait_or_kill(&mut self, deadline: Duration) {
        let Some(child) = self.child.as_mut() else {
            return;
        };
        let ended = wait_for("a process to end", deadline, || {
            child.try_wait().context("waiting for a child")
        });
        match ended {
            Ok(_) => self.child = None,
            Err(_) => self.kill(),
        }
    }

    /// Lets the process outlive this value.
    pub fn persist(&mut self) {
        self.child = None;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill_and_wait(child: &mut Child) {
    // An error means that the child has ended already: there is nothing to do about it.
    child.kill().ok();
    child.wait().ok();
}

/// Sends a signal; a process that is gone is none of the sender's business.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, signal).ok();
    }
}

/// When a process was started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is in parentheses and may contain anything, also parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// When it cannot be started or fails; with its standard error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("reading a command's output")
}
