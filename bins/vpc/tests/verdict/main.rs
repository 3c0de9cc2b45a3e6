//! The fabric against the model's reference verdict: random VPCs, random packets, and changes of
//! rules, groups, checks and routes between them. Needs root.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dice;
mod fabric_words;
mod hosts;
mod packets;
mod world;

use dice::Dice;
use world::World;

/// Packets and changes per VPC.
const STEPS: u32 = 600;

fn agrees_for(seed: u64) {
    let mut world = World::new(Dice::new(seed));
    let mut seen = std::collections::BTreeMap::new();
    for step in 0..STEPS {
        if step % 20 == 19 {
            world.change();
        }
        let outcome = world.compare(&format!("seed {seed}, step {step}"));
        *seen.entry(outcome).or_insert(0) += 1;
    }
    for kind in ["delivered", "drop-egress-groups", "drop-ingress-groups"] {
        assert!(seen.contains_key(kind), "seed {seed} is no test: {seen:?}");
    }
}

macro_rules! seeds {
    ($($name:ident $seed:literal),+ $(,)?) => {$(
        #[test]
        fn $name() {
            agrees_for($seed);
        }
    )+};
}

seeds! {
    fabric_and_verdict_agree_1 1,
    fabric_and_verdict_agree_2 2,
    fabric_and_verdict_agree_3 3,
    fabric_and_verdict_agree_4 4,
}
