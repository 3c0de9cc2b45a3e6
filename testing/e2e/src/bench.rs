//! The benchmarks: every row measures ours, a floor and a peer interleaved in one run.
//!
//! Times never gate: a run fails only if a row could not be measured.

mod cni;
mod fabric;
mod node;
mod plugin;
mod row;
mod screen;
mod sim;
pub(crate) mod soak;
mod statistics;
mod vpc_attach;
mod vpc_calls;
mod vpc_describe;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;

pub(crate) use self::{cni::worker, plugin::check as check_plugin};
use self::{row::Row, screen::Screen};

/// Measures against a floor and a peer.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the rows are written, as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Few repetitions: shows that everything runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only the rows of this part: `cni`, `fabric`, `node`, `plugin`, `sim` or `vpc`.
    #[arg(long)]
    only: Option<String>,
}

/// How often things are repeated.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Pods added and deleted for `cni.add` and `cni.del`.
    pods: usize,
    /// Pods that stand already for `cni.add.1000`.
    standing: usize,
    /// Pods added on top of them.
    pods_on_top: usize,
    /// Rounds of `cni.burst30`.
    bursts: usize,
    /// Pods added at once for `cni.burst250`.
    crowd: usize,
    /// Cold nodes for `node.cold40`.
    cold_nodes: usize,
    /// ENIs of the VPC of `fabric.ns.1000`.
    enis: usize,
    /// Rounds of UDP exchanges and bursts.
    rounds: usize,
    /// Rounds of API calls.
    call_rounds: usize,
    /// ENIs attached for `vpc.attach`.
    attachments: usize,
    /// Rounds of simulated lives.
    life_rounds: u64,
}

/// A part of the benchmarks and the rows that it yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Vpc,
    Fabric,
    Cni,
    Node,
    Plugin,
    Sim,
}

/// Runs the benchmarks, shows a table and writes the rows.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let sizes = if arguments.quick {
        Sizes::QUICK
    } else {
        Sizes::FULL
    };
    let screen = Screen::new();
    let mut rows = Vec::new();
    let mut failed = 0_usize;
    for part in Part::selected(arguments.only.as_deref()) {
        match part.rows(sizes, screen).await {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                failed += 1;
                screen.say(&format!(
                    "bench: {} could not be measured: {error:#}",
                    part.name()
                ));
            }
        }
    }
    rows.sort_by_key(|row| row.id);
    screen.say(&screen::table(&rows));
    write_json(&arguments.json, &rows)?;
    screen.say(&format!(
        "bench: {} rows in {}, {failed} parts failed",
        rows.len(),
        arguments.json.display()
    ));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write_json(path: &std::path::Path, rows: &[Row]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let json = serde_json::to_string_pretty(rows)?;
    fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))
}

// === impl Sizes ===

impl Sizes {
    const FULL: Self = Self {
        pods: 200,
        standing: 1000,
        pods_on_top: 200,
        bursts: 9,
        crowd: 250,
        cold_nodes: 3,
        enis: 1000,
        rounds: 40,
        call_rounds: 5,
        attachments: 140,
        life_rounds: 5,
    };
    const QUICK: Self = Self {
        pods: 10,
        standing: 40,
        pods_on_top: 5,
        bursts: 1,
        crowd: 40,
        cold_nodes: 1,
        enis: 1000,
        rounds: 3,
        call_rounds: 1,
        attachments: 8,
        life_rounds: 1,
    };
}

// === impl Part ===

impl Part {
    const ALL: [Self; 6] = [
        Self::Sim,
        Self::Vpc,
        Self::Fabric,
        Self::Cni,
        Self::Node,
        Self::Plugin,
    ];

    /// What the ids of its rows begin with: the agent's memory is measured where its pods are.
    const fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Vpc => &["vpc"],
            Self::Fabric => &["fabric"],
            Self::Cni => &["agent", "cni"],
            Self::Node => &["node"],
            Self::Plugin => &["plugin"],
            Self::Sim => &["sim"],
        }
    }

    fn selected(only: Option<&str>) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |part| only.is_none_or(|only| only.starts_with(part.name())))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Vpc => "vpc",
            Self::Fabric => "fabric",
            Self::Cni => "cni",
            Self::Node => "node",
            Self::Plugin => "plugin",
            Self::Sim => "sim",
        }
    }

    /// The rows of the part: those that it is to yield, no more and no fewer.
    async fn rows(self, sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
        let mut rows = self.measure(sizes, screen).await?;
        rows.sort_by_key(|row| row.id);
        let ids = row::IDS.into_iter();
        let is_ours = |id: &&str| {
            let first = id.split('.').next();
            first.is_some_and(|first| self.prefixes().contains(&first))
        };
        let agreed = ids.filter(is_ours);
        if rows.iter().map(|row| row.id).eq(agreed) {
            return Ok(rows);
        }
        let measured: Vec<_> = rows.iter().map(|row| row.id).collect();
        anyhow::bail!("the rows are not those that were agreed: {measured:?}")
    }

    async fn measure(self, sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Vpc => {
                let mut rows = vpc_calls::measure(sizes, screen).await?;
                rows.extend(vpc_attach::measure(sizes, screen).await?);
                rows.extend(vpc_describe::measure(sizes, screen).await?);
                Ok(rows)
            }
            Self::Fabric => fabric::measure(sizes, screen).await,
            Self::Cni => cni::measure(sizes, screen).await,
            Self::Node => node::measure(sizes, screen).await,
            Self::Plugin => plugin::measure(),
            Self::Sim => sim::measure(sizes, screen),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_specification_lists_the_rows_that_are_measured() {
        let text = include_str!("../../../SPECIFICATION.md");
        let (_, speed) = text.split_once("## Speed").unwrap();
        let rows = speed.lines().filter(|line| line.starts_with('|'));
        let listed = rows.filter_map(|line| line.split('|').nth(2));
        // What stands between backticks.
        let listed: BTreeSet<_> = listed
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        assert_eq!(listed, BTreeSet::from(row::IDS));
        assert!(row::IDS.is_sorted());
        let parts: Vec<_> = Part::ALL.iter().flat_map(|part| part.prefixes()).collect();
        let part_of = |id: &&str| {
            id.split('.')
                .next()
                .is_some_and(|part| parts.contains(&&part))
        };
        assert!(row::IDS.iter().all(part_of));
    }
}
