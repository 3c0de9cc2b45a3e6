//! kubectl, run where the API server is.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use underlay_testkit::Node;

/// kubectl with the administrator's rights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kubectl<'a> {
    /// The node with the API server.
    pub(super) node: &'a Node,
    /// The program.
    pub(super) program: &'a Path,
}

impl Kubectl<'_> {
    /// The administrator's configuration.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.node.folder().join("kubeconfig")
    }

    /// Runs it to its end and returns its standard output.
    ///
    /// # Errors
    /// When it fails; with its standard error.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command();
        command.args(arguments);
        let output = command.stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("starting {command:?}"))?;
        if !output.status.success() {
            bail!(
                "kubectl {} ended with {}: {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout).context("reading kubectl's output")
    }

    /// Objects as JSON: `get <arguments> -o json`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn get(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(&[&["get"], arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).context("reading kubectl's JSON")
    }

    /// Makes the objects of `manifest`; `name` is the file it is kept in.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn apply(&self, name: &str, manifest: &str) -> anyhow::Result<()> {
        let path = self.node.folder().join(name);
        std::fs::write(&path, manifest).with_context(|| format!("writing {}", path.display()))?;
        let path = path.to_str().context("a path that is not text")?;
        self.run(&["apply", "-f", path])?;
        Ok(())
    }

    /// Runs a shell command in the pod `pod`, and returns what it printed.
    ///
    /// # Errors
    /// As [`run`](Self::run); also when the command fails.
    pub(super) fn shell(&self, pod: &str, command: &str) -> anyhow::Result<String> {
        self.run(&["exec", pod, "--", "/bin/sh", "-c", command])
    }

    fn command(&self) -> Command {
        let mut command = self.node.command(self.program);
        command.arg("--kubeconfig").arg(self.kubeconfig());
        // Its cache of what the API server offers must not end up with the caller's.
        command.env("HOME", self.node.folder());
        command
    }
}
