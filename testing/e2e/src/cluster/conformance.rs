//! Upstream's own end-to-end tests, run against the cluster.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use underlay_testkit::Cluster;

use super::{
    agent_killer,
    kubernetes::{Kubernetes, WORKERS, scratch},
    worker::ProxyMode,
};
use crate::screen::Screen;

/// Upstream's conformance specs of networking that may run beside others.
const FOCUS: &str = r"\[sig-network\].*\[Conformance\]";
/// How many those are in the pinned version.
const COUNT: usize = 47;

/// Which specs run, and how.
#[derive(Debug, Args)]
pub(crate) struct Specs {
    /// A regular expression for other specs than the conformance specs of networking.
    #[arg(long)]
    focus: Option<String>,
    /// How many run at a time.
    #[arg(long, default_value_t = 4)]
    at_once: u32,
    /// Kill the agent of a node chosen at random every 5 s.
    #[arg(long)]
    kill: bool,
    /// Where the whole output goes.
    #[arg(long)]
    log: PathBuf,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    passed: usize,
    failed: Vec<String>,
    /// What there should have been; none with a focus of one's own.
    wanted: Option<usize>,
    /// Kills of agents; none if nobody was to be killed.
    kills: Option<usize>,
}

impl Outcome {
    /// Whether everything ran and passed.
    pub(super) fn all_passed(&self) -> bool {
        let enough = self.wanted.unwrap_or(1);
        self.failed.is_empty() && self.passed >= enough
    }

    /// The last lines of the program.
    pub(super) fn verdict(&self, proxy: ProxyMode, took: Duration) -> String {
        let mut text = String::new();
        for name in &self.failed {
            writeln!(text, "FAILED {name}").ok();
        }
        let (passed, failed, proxy) = (self.passed, self.failed.len(), proxy.name());
        write!(text, "conformance: {passed} passed, {failed} failed").ok();
        if let Some(wanted) = self.wanted {
            write!(text, " of {wanted}").ok();
        }
        write!(text, ", {} s, kube-proxy with {proxy}", took.as_secs()).ok();
        if let Some(kills) = self.kills {
            write!(text, ", an agent killed {kills} times").ok();
        }
        text
    }
}

/// Runs them.
///
/// # Errors
/// When the runner cannot be started or its output cannot be read, or an agent ends by itself.
pub(super) async fn run(
    screen: &Screen,
    kubernetes: &mut Kubernetes,
    specs: &Specs,
) -> anyhow::Result<Outcome> {
    screen.line(format!("the whole output: {}", specs.log.display()));
    let mut command = tokio::process::Command::from(command(kubernetes, specs)?);
    let mut runner = command.kill_on_drop(true).spawn();
    let runner = runner.as_mut().map_err(|error| {
        anyhow::anyhow!("starting {:?}: {error}", kubernetes.programs.path("ginkgo"))
    })?;
    let kills = AtomicUsize::new(0);
    let Cluster { nodes, vpc, .. } = &mut kubernetes.cluster;
    let killer = async {
        if specs.kill {
            agent_killer::run(&mut nodes[1..], vpc.binaries(), &kills).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        ended = runner.wait() => { ended.context("waiting for ginkgo")?; }
        error = killer => return Err(error),
    }
    let output = fs::read(&specs.log).context("reading ginkgo's output")?;
    let (passed, failed) = results(&String::from_utf8_lossy(&output));
    Ok(Outcome {
        passed,
        failed,
        wanted: specs.focus.is_none().then_some(COUNT),
        kills: specs.kill.then(|| kills.load(Ordering::Relaxed)),
    })
}

fn command(kubernetes: &Kubernetes, specs: &Specs) -> anyhow::Result<std::process::Command> {
    let node = &kubernetes.cluster.nodes[0];
    let folder = scratch(node, "conformance")?;
    let programs = &kubernetes.programs;
    let kubeconfig = kubernetes.kubectl().kubeconfig();
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let log = File::create(&specs.log);
    let log = log.with_context(|| format!("creating {}", specs.log.display()))?;
    let mut command = node.node.command(&programs.path("ginkgo"));
    command
        .arg(format!("--procs={}", specs.at_once))
        .args(["--no-color", "--timeout=60m", "--skip=\\[Serial\\]"])
        .arg(format!(
            "--focus={}",
            specs.focus.as_deref().unwrap_or(FOCUS)
        ))
        .arg(programs.path("e2e.test"))
        .arg("--")
        .arg(flag("kubeconfig", &kubeconfig))
        .arg(flag("kubectl-path", &programs.path("kubectl")))
        .arg(flag("report-dir", &folder))
        .arg(format!("--num-nodes={}", WORKERS.len()))
        .args([
            "--provider=skeleton",
            "--disable-log-dump",
            "--node-os-distro=custom",
        ])
        .env("KUBECONFIG", &kubeconfig)
        // What it leaves behind goes with the cluster.
        .env("HOME", &folder)
        .env("TMPDIR", &folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("copying a descriptor")?)
        .stderr(log);
    Ok(command)
}

/// How many specs passed and the names of those that failed, from ginkgo's summary.
fn results(output: &str) -> (usize, Vec<String>) {
    let summary = output.lines().rev().find_map(|line| {
        let (_, counts) = line.split_once(" -- ")?;
        let (passed, _) = counts.split_once(" Passed | ")?;
        passed.trim().parse().ok()
    });
    let mut failed: Vec<String> = output
        .lines()
        .filter_map(|line| line.strip_prefix("  [FAIL] "))
        .map(str::to_owned)
        .collect();
    failed.sort();
    failed.dedup();
    (summary.unwrap_or_default(), failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Summarizing 1 Failure:
  [FAIL] [sig-network] Services [It] should serve endpoints [sig-network, Conformance]
  k8s.io/kubernetes/test/e2e/network/service.go:854

Ran 47 of 6913 Specs in 146.302 seconds
FAIL! -- 46 Passed | 1 Failed | 0 Pending | 6866 Skipped
";

    fn outcome(output: &str) -> Outcome {
        let (passed, failed) = results(output);
        Outcome {
            passed,
            failed,
            wanted: Some(COUNT),
            kills: None,
        }
    }

    #[test]
    fn a_failed_spec_is_named_and_counted() {
        let outcome = outcome(OUTPUT);
        assert!(!outcome.all_passed());
        let verdict = outcome.verdict(ProxyMode::Nftables, Duration::from_secs(151));
        let name =
            "FAILED [sig-network] Services [It] should serve endpoints [sig-network, Conformance]";
        let last = "conformance: 46 passed, 1 failed of 47, 151 s, kube-proxy with nftables";
        assert_eq!(verdict, format!("{name}\n{last}"));
    }

    #[test]
    fn too_few_specs_are_not_enough() {
        assert!(outcome("SUCCESS! -- 47 Passed | 0 Failed | 0 Pending | 9 Skipped").all_passed());
        assert!(!outcome("SUCCESS! -- 46 Passed | 0 Failed | 0 Pending | 9 Skipped").all_passed());
        assert!(!outcome("ginkgo ended early").all_passed());
    }
}
