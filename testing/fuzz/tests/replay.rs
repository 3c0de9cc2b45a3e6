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
