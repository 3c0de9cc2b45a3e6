//! The bench's side of a worker.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use underlay_testkit::wait_for;

use super::worker::{Reply, Request};

/// A running worker. The end of its input ends it, also when this is dropped.
pub(super) struct WorkerClient {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl WorkerClient {
    /// Starts `command`, which ends in a worker.
    pub(super) fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting the worker of {name}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a piped output")?);
        Ok(Self {
            name: name.to_owned(),
            child,
            input,
            output,
        })
    }

    /// Asks once and waits for the answer.
    pub(super) fn ask(&mut self, request: &Request) -> anyhow::Result<Duration> {
        let input = self.input.as_mut().context("the worker has ended")?;
        let line = serde_json::to_string(request)? + "\n";
        let asked = input.write_all(line.as_bytes());
        let mut answer = String::new();
        self.output
            .read_line(&mut answer)
            .context("reading a worker's answer")?;
        if answer.is_empty() {
            let status = self.child.wait().context("waiting for a worker")?;
            bail!(
                "the worker of {} ended with {status} ({asked:?})",
                self.name
            );
        }
        let reply: Reply = serde_json::from_str(&answer)
            .with_context(|| format!("understanding the worker of {}: {answer}", self.name))?;
        match reply.error {
            Some(error) => bail!("{}: {error}", self.name),
            None => Ok(Duration::from_nanos(reply.nanos)),
        }
    }

    /// Ends the worker's input and waits until it has cleaned up.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.input = None;
        let status = self.child.wait().context("waiting for a worker")?;
        if !status.success() {
            bail!("the worker of {} ended with {status}", self.name);
        }
        Ok(())
    }
}

impl Drop for WorkerClient {
    fn drop(&mut self) {
        self.input = None;
        let ended = wait_for("a worker to end", Duration::from_secs(10), || {
            self.child.try_wait().context("waiting for a worker")
        });
        if ended.is_err() {
            // An error means that it has ended in the meantime.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
