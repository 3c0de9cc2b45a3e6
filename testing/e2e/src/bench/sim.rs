//! `sim.schedules`: how many lives of a simulated node run in a second, on every core.
//!
//! What `make simulate` does. There is no floor and no peer: nobody else simulates a node.

use std::{thread, time::Instant};

use anyhow::{Context as _, ensure};
use underlay_sim::Campaign;

use super::{
    Sizes,
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

/// Lives of one round.
const ROUND: u64 = 2_000;

pub(super) fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    screen.say("bench: lives of a simulated node");
    let threads = thread::available_parallelism()?.get();
    let mut samples = Samples::default();
    for round in 0..sizes.life_rounds {
        let campaign = Campaign {
            first: 1 + round * ROUND,
            schedules: ROUND,
            threads,
        };
        let start = Instant::now();
        let (tally, violations) = campaign.run();
        let seconds = start.elapsed().as_secs_f64();
        if let Some(violation) = violations.into_iter().next() {
            return Err(violation).context("a simulated life failed");
        }
        ensure!(tally.schedules == ROUND, "{} lives ended", tally.schedules);
        samples.ours.push(ROUND as f64 / seconds);
    }
    let subject = Subject {
        id: "sim.schedules",
        what: format!(
            "lives of a node in simulated time a second, with faults, crashes and every check \
             (`make simulate`), on {threads} threads"
        ),
        unit: "1/s",
        better: Better::Higher,
        peer_name: None,
    };
    Ok(vec![Row::of(subject, &samples)])
}
