//! Killing a running process at its n-th system call of a kind, or having such calls fail.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use underlay_testkit::{Node, wait_for};

/// A process to be killed.
#[derive(Debug)]
pub(crate) struct Victim {
    pid: u32,
}

/// strace on a process, waiting for the call.
#[derive(Debug)]
pub(crate) struct Injection {
    strace: Child,
}

impl Victim {
    /// A process.
    pub(crate) const fn process(pid: u32) -> Self {
        Self { pid }
    }

    /// The running agent of `node`.
    pub(crate) fn agent(node: &Node) -> anyhow::Result<Self> {
        let config = node.folder().join("agent.toml").display().to_string();
        let is_agent = |process: &Path| {
            let read = |file| fs::read_to_string(process.join(file)).unwrap_or_default();
            read("comm").trim() == "underlay-agent" && read("cmdline").contains(&config)
        };
        let process = fs::read_dir("/proc")?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| is_agent(path))
            .context("no agent runs")?;
        let name = process.file_name().and_then(|name| name.to_str());
        Ok(Self {
            pid: name.context("a process id")?.parse()?,
        })
    }
}

impl Injection {
    /// Kills `victim` when one of its threads is about to make its `n`-th call of `kind` from now.
    pub(crate) fn attach(victim: &Victim, kind: &str, n: u32) -> anyhow::Result<Self> {
        let inject = format!("inject={kind}:signal=KILL:when={n}");
        Self::strace(victim, &inject, Path::new("/dev/null"))
    }

    /// Has calls of `kind` of `victim` fail with `error`, such as `EPERM`.
    pub(crate) fn refuse(victim: &Victim, kind: &str, error: &str) -> anyhow::Result<Self> {
        let inject = format!("inject={kind}:error={error}");
        Self::strace(victim, &inject, Path::new("/dev/null"))
    }

    /// Writes down calls of `kinds` for [`calls_of_one_thread`].
    pub(crate) fn record(victim: &Victim, kinds: &[&str], to: &Path) -> anyhow::Result<Self> {
        Self::strace(victim, &format!("trace={}", kinds.join(",")), to)
    }

    fn strace(victim: &Victim, expression: &str, to: &Path) -> anyhow::Result<Self> {
        let process = Path::new("/proc").join(victim.pid.to_string());
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "signal=none", "-o"])
            .arg(to)
            .args(["-e", expression, "-p", &victim.pid.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("starting strace")?;
        let injection = Self { strace };
        wait_for(
            "strace to hold every thread",
            Duration::from_secs(60),
            || Ok(is_traced(&process)?.then_some(())),
        )?;
        Ok(injection)
    }

    /// Lets the process go, if it lives.
    pub(crate) fn detach(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// strace detaches when it is told to end, and ends by itself when the process has died. Told
    /// just when the process dies it may wait for ever: then it is killed, which detaches, too.
    fn end(&mut self) -> anyhow::Result<()> {
        if self.strace.try_wait()?.is_none() {
            let pid = self.strace.id().to_string();
            Command::new("kill").arg(pid).status()?;
        }
        let strace = &mut self.strace;
        let ended = wait_for("the end of strace", Duration::from_secs(2), || {
            Ok(strace.try_wait()?)
        });
        if ended.is_err() {
            strace.kill()?;
            strace.wait()?;
        }
        Ok(())
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.end().ok();
    }
}

/// How many calls of each kind one thread made at most, of those that were written to `record`: as
/// far as [`Injection::attach`] counts.
pub(crate) fn calls_of_one_thread(record: &Path) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut by_thread: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in fs::read_to_string(record)?.lines() {
        let mut words = line.split_whitespace();
        let (thread, call) = (
            words.next(),
            words.next().and_then(|word| word.split_once('(')),
        );
        if let (Some(thread), Some((kind, _))) = (thread, call) {
            *by_thread
                .entry((thread.to_owned(), kind.to_owned()))
                .or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, kind), calls) in by_thread {
        let known = most.entry(kind).or_insert(0);
        *known = calls.max(*known);
    }
    Ok(most)
}

fn is_traced(process: &Path) -> anyhow::Result<bool> {
    for task in fs::read_dir(process.join("task"))? {
        let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}
