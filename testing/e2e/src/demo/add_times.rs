//! What an ADD took, as the runtime measured it.

use std::time::Duration;

use super::stage::{PlacedPod, Stage};
use crate::screen::Screen;

/// The pods of act one, made one after the other on each node, the nodes side by side.
pub(super) fn show(screen: &mut Screen, stage: &Stage) {
    screen.step("what it took to make a pod, under a real runtime");
    let times =
        |of: fn(&PlacedPod) -> Duration| -> Vec<Duration> { stage.pods.iter().map(of).collect() };
    let add = spread(&times(|placed| placed.add_took));
    screen.line(format!(
        "ADD            {add}  (containerd's own metric: every plugin of the chain)"
    ));
    let sandbox = spread(&times(|placed| placed.took));
    screen.line(format!("RunPodSandbox  {sandbox}  (CRI call to answer)"));
}

/// The middle and the slow end of some times.
fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |percent: usize| {
        let last = sorted.len().saturating_sub(1);
        let index = (sorted.len() * percent / 100).min(last);
        sorted
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_a_hundred_times() {
        let times: Vec<Duration> = (0..100).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(&times), "p50 50.0 ms, p99 99.0 ms");
        assert_eq!(spread(&[]), "p50 0.0 ms, p99 0.0 ms");
    }
}
