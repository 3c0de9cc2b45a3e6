//! A few schedules of the simulated node; `make simulate` runs many.

use underlay_sim::{Campaign, replay, run};

#[test]
fn whatever_the_seed_what_must_hold_holds() {
    let campaign = Campaign {
        first: 1_000_000,
        schedules: 60,
        threads: 2,
    };
    let (tally, violations) = campaign.run();
    assert_eq!(violations, []);
    assert_eq!(tally.schedules, campaign.schedules);
    for what in ["ADDs with an address", "ADDs refused", "crashes", "DELs"] {
        assert!(tally.of(what) > 0, "no {what} in {tally}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 83] {
        let trace = replay(seed);
        assert!(trace.len() > 20, "{trace:?}");
        assert_eq!(trace, replay(seed));
        assert_eq!(run(seed), run(seed));
    }
}
