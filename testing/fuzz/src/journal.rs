//! The agent's journal after whatever happened to it.

use std::time::Duration;

use underlay_journal::{State, decode, encode, encode_header, promises};
use underlay_types::Timestamp;

/// Reads it as it is, and each line as a record with the right sum, which no change of bytes finds
/// by itself.
pub fn run(bytes: &[u8]) {
    read(bytes);
    let mut journal = encode_header();
    for json in bytes.split(|byte| *byte == b'\n') {
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        journal.extend(length.to_be_bytes());
        journal.extend(crc32fast::hash(json).to_be_bytes());
        journal.extend(json);
    }
    read(&journal);
}

/// Reads a journal, acts on it, and writes it anew.
fn read(bytes: &[u8]) {
    let Ok(decoded) = decode(bytes) else {
        return;
    };
    assert!(decoded.dropped <= bytes.len());
    let state = decoded.state;
    let cooldown = Duration::from_secs(30);
    let promised = promises(&state, u64::MAX / 2, Timestamp::from_secs(60), cooldown);
    assert!(promised.leases.len() <= state.leases.len());
    assert!(promised.cooldowns.len() <= state.cooling.len());
    assert!(promised.partings.len() <= state.changes().count());
    assert_eq!(
        rewritten(&state),
        state,
        "a rewritten journal says the same"
    );
}

fn rewritten(state: &State) -> State {
    let mut bytes = encode_header();
    for change in state.changes() {
        bytes.extend(encode(&change));
    }
    match decode(&bytes) {
        Ok(decoded) => {
            assert_eq!(decoded.dropped, 0);
            decoded.state
        }
        Err(error) => panic!("what was written cannot be read: {error}"),
    }
}
