//! Runs schedules of the simulated node, or repeats one.

use std::{
    io::{Write, stdout},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use underlay_sim::{Campaign, Tally, replay};

/// Runs schedules of the simulated node, or repeats one.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many schedules.
    #[arg(long, default_value_t = 1_000)]
    schedules: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Threads to run them on.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Repeats this one, with a trace.
    #[arg(long)]
    seed: Option<u64>,
}

/// What every run of some length must have met, or it tested nothing.
const MET: [&str; 18] = [
    "ADDs with an address",
    "ADDs refused",
    "ADDs while the agent is away",
    "AssignIpv6Addresses",
    "DescribeSubnets",
    "ADDs after all faults",
    "DELs",
    "crashes",
    "leases moved",
    "next subnets",
    "starts that ask nothing",
    "tombstones",
    "whole ENIs",
    "CreateNetworkInterface",
    "AttachNetworkInterface",
    "DetachNetworkInterface",
    "DeleteNetworkInterface",
    "UnassignPrivateIpAddresses",
];
const MET_FAULTS: [&str; 12] = [
    "describe-lag",
    "duplicate",
    "journal torn",
    "lost-reply",
    "ENI attached outside",
    "ENI detached outside",
    "address moved outside",
    "address removed outside",
    "node stands still",
    "throttle",
    "stuck-attach",
    "wall clock set",
];
/// From how many schedules on that is asked.
const SOME: u64 = 2_000;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = stdout().lock();
    if let Some(seed) = arguments.seed {
        for line in replay(seed) {
            writeln!(out, "{line}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let campaign = Campaign {
        first: arguments.from,
        schedules: arguments.schedules,
        threads: arguments.threads,
    };
    let begun = Instant::now();
    let (tally, violations) = campaign.run();
    let took = begun.elapsed();
    write!(out, "simulate: {tally}")?;
    let rate = tally.schedules as f64 / took.as_secs_f64();
    writeln!(
        out,
        "simulate: {campaign}: {rate:.0} schedules/s, {took:.1?}"
    )?;
    for violation in violations.iter().take(10) {
        writeln!(out, "simulate: {violation}")?;
    }
    if violations.len() > 10 {
        let seeds: Vec<u64> = violations.iter().map(|violation| violation.seed).collect();
        writeln!(out, "simulate: all seeds that failed: {seeds:?}")?;
    }
    if let Some(first) = violations.first() {
        let seed = first.seed;
        writeln!(
            out,
            "simulate: {} schedules failed; repeat one: underlay-sim --seed {seed}",
            violations.len()
        )?;
        return Ok(ExitCode::FAILURE);
    }
    let missing = unmet(&tally);
    if arguments.schedules >= SOME && !missing.is_empty() {
        writeln!(
            out,
            "simulate: these never happened, so nothing was tested: {missing:?}"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn unmet(tally: &Tally) -> Vec<&'static str> {
    let counts = MET.into_iter().filter(|what| tally.of(what) == 0);
    let faults = MET_FAULTS.into_iter();
    let faults = faults.filter(|what| tally.faults.get(*what).is_none_or(|times| *times == 0));
    counts.chain(faults).collect()
}
