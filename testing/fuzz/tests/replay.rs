//! Every input of the corpora, and every one that once broke a target.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use underlay_fuzz::TARGETS;

/// What lies in a folder of a target, with its name; none if there is no such folder.
fn inputs(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(kind)
        .join(target);
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let read = |file: fs::DirEntry| {
        let bytes = fs::read(file.path()).unwrap();
        (file.path().display().to_string(), bytes)
    };
    files.map(|file| read(file.unwrap())).collect()
}

fn replay(kind: &str, least: usize) {
    for (target, run) in TARGETS {
        let inputs = inputs(kind, target);
        assert!(
            inputs.len() >= least,
            "{kind}/{target} has {}",
            inputs.len()
        );
        for (name, bytes) in inputs {
            // A panic does not say on what.
            let result = std::panic::catch_unwind(|| run(&bytes));
            assert!(result.is_ok(), "{name} breaks {target}");
        }
    }
}

#[test]
fn the_corpora_break_nothing() {
    replay("corpus", 3);
}

#[test]
fn what_once_broke_a_target_does_not_any_more() {
    replay("crashers", 0);
}

/// How many inputs are made of each seed.
const MUTANTS: usize = 400;

/// Bytes that mean something somewhere.
const SIGNS: &[u8] = b"\0\xff\"{}[]<>&-0:9";

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// `bytes` with a few small changes: what the fuzzer does at first, without its knowledge of code.
fn mutant(bytes: &[u8], others: &[(String, Vec<u8>)], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let end = (at + numbers.below(16)).min(bytes.len());
        match numbers.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            1 if !bytes.is_empty() => bytes[at] = SIGNS[numbers.below(SIGNS.len())],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].repeat(1 + numbers.below(40));
                bytes.splice(at..at, piece);
            }
            _ => {
                let (_, other) = &others[numbers.below(others.len())];
                let from = numbers.below(other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn what_is_nearly_right_breaks_nothing() {
    let mut numbers = Numbers(1);
    for (target, run) in TARGETS {
        let seeds = inputs("corpus", target);
        for (name, seed) in &seeds {
            for _ in 0..MUTANTS {
                let bytes = mutant(seed, &seeds, &mut numbers);
                let result = std::panic::catch_unwind(|| run(&bytes));
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    result.is_ok(),
                    "made of {name}, this breaks {target}: {text:?}"
                );
            }
        }
    }
}

/// A seed that is not what its target reads would leave the fuzzer to find the format by itself.
#[test]
fn seeds_are_what_their_target_reads() {
    let journals = inputs("corpus", "journal");
    let read = journals.iter().filter(|(_, bytes)| {
        underlay_journal::decode(bytes).is_ok_and(|decoded| !decoded.state.leases.is_empty())
    });
    assert!(read.count() > 0, "no journal with a lease");
    let frames = inputs("corpus", "protocol");
    let read = frames.iter().filter(|(_, bytes)| {
        bytes.len() > 4
            && underlay_agent_api::decode::<underlay_agent_api::Request>(&bytes[4..]).is_ok()
    });
    assert!(read.count() > 0, "no request");
}
