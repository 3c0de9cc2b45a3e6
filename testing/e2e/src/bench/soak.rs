//! `make soak`: pods come and go by the ten thousand, and the agent holds no more than before.

use std::{
    fs,
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use underlay_testkit::wait_for;

use super::cni::{BenchNode, Shape, is_idle};

/// Namespaces that pods come to and leave, in turn.
const PODS: usize = 256;
/// ADDs and DELs until the agent has all that it needs: threads, buffers, places in maps.
const WARM_UP: usize = 10_000;
/// What the heap's own bookkeeping may make of it.
const GROWTH_MIB: f64 = 1.0;
/// A cooldown so short that no more addresses are needed than a few ENIs hold; the node may have no
/// more of them, so that what it holds is that of pods.
const CONFIG: &str = "[addresses]\ncooldown = \"500ms\"\nwarm_target = 600\nmax_enis = 14\n";
/// Sockets that calls at the same time have opened, and keep.
const DESCRIPTORS: usize = 16;
/// Threads that wait a while for more to do before they end.
const THREADS: usize = 4;
const SETTLED: Duration = Duration::from_secs(120);

/// What an agent holds, and what stands on its node.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Resident memory.
    rss_mib: f64,
    /// What of it is the process's own; the rest is pages of its program, as they are needed.
    own_mib: f64,
    descriptors: usize,
    threads: usize,
    /// Devices of the node's namespace.
    devices: usize,
}

/// Runs `rounds` ADDs, each with its DEL, and fails if the agent grows.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        rounds > 2 * WARM_UP,
        "the first {WARM_UP} rounds are the warm-up: ask for more than twice as many"
    );
    let shape = Shape {
        instance_type: "p5.48xlarge",
        config: CONFIG.to_owned(),
        arguments: Vec::new(),
    };
    let node = BenchNode::start(&shape).await?;
    node.wait_for_addresses(600)?;
    let mut contender = node.contender()?;
    let names: Vec<String> = (0..PODS).map(|index| format!("soak{index:03}")).collect();
    for name in &names {
        contender.create_netns(name)?;
    }
    say(&format!("soak: {rounds} ADDs, each with its DEL"))?;
    let began = Instant::now();
    let mut warm = None;
    for (round, name) in (1..=rounds).zip(names.iter().cycle()) {
        contender.exec("ADD", name)?;
        contender.exec("DEL", name)?;
        if round == WARM_UP {
            warm = Some(settled(&node)?);
        }
        if round % 10_000 == 0 {
            let Held {
                rss_mib,
                own_mib,
                descriptors,
                threads,
                ..
            } = held(&node)?;
            let seconds = began.elapsed().as_secs();
            say(&format!(
                "soak: {round:>7} done in {seconds:>4} s: {rss_mib:.1} MiB resident, {own_mib:.1} of \
                 them its own, {descriptors} descriptors, {threads} threads"
            ))?;
        }
    }
    let warm = warm.context("the warm-up is shorter than the run")?;
    let end = settled(&node)?;
    contender.end()?;
    node.stop()?;
    let more = end.more_than(warm);
    let verdict = if more.is_empty() {
        "nothing grew".to_owned()
    } else {
        format!("more {}", more.join(", "))
    };
    say(&format!(
        "soak: {rounds} rounds: {verdict}\n  after the warm-up {warm:?}\n  in the end        {end:?}"
    ))?;
    Ok(if more.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Held {
    /// Of what there is more than in `before`.
    fn more_than(&self, before: Self) -> Vec<&'static str> {
        let more = [
            (self.own_mib > before.own_mib + GROWTH_MIB, "memory"),
            (
                self.descriptors > before.descriptors + DESCRIPTORS,
                "descriptors",
            ),
            (self.threads > before.threads + THREADS, "threads"),
            (self.devices > before.devices, "devices"),
        ];
        let more = more.into_iter().filter(|(more, _)| *more);
        more.map(|(_, what)| what).collect()
    }
}

/// Once nothing of the pods that have gone is left, and the agent does nothing.
fn settled(node: &BenchNode) -> anyhow::Result<Held> {
    wait_for("the node to come to rest", SETTLED, || {
        let rests = node.status().is_some_and(|status| {
            let pools = status["pools"].as_array().map_or(&[][..], Vec::as_slice);
            let cooling = pools.iter().filter_map(|pool| pool["cooling"].as_u64());
            is_idle(&status) && cooling.sum::<u64>() == 0
        });
        Ok(rests.then_some(()))
    })?;
    held(node)
}

fn held(node: &BenchNode) -> anyhow::Result<Held> {
    let pid = node.agent_pid()?;
    let count = |folder: String| -> anyhow::Result<usize> {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?;
        Ok(entries.count())
    };
    Ok(Held {
        rss_mib: node.agent_memory_mib("VmRSS")?,
        own_mib: node.agent_memory_mib("RssAnon")?,
        descriptors: count(format!("/proc/{pid}/fd"))?,
        threads: count(format!("/proc/{pid}/task"))?,
        devices: fs::read_to_string(format!("/proc/{pid}/net/dev"))?
            .lines()
            .count(),
    })
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("printing")
}
