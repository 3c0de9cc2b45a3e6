//! A frame that somebody sends to the agent, or the agent to a client.

use serde_json::Value;
use underlay_agent_api::{
    Answer, DrainOptions, FRAME_LENGTH_MAX, HEADER_LENGTH, NodeCommand, Request, decode, encode,
    frame_length,
};

/// Reads it as both sides do; what can be read survives being sent on.
pub fn run(bytes: &[u8]) {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
        return;
    };
    let Ok(length) = frame_length(*header) else {
        return;
    };
    assert!(length <= FRAME_LENGTH_MAX);
    // What is beyond the frame is not read.
    let json = &rest[..length.min(rest.len())];
    if let Ok(request) = decode::<Request>(json) {
        let command = request.command.parse::<NodeCommand>();
        if matches!(command, Ok(NodeCommand::Drain)) {
            drop(serde_json::from_str::<DrainOptions>(&request.stdin));
        }
        if let Ok(frame) = encode(&request) {
            let again = decode::<Request>(&frame[HEADER_LENGTH..]);
            assert_eq!(again.ok(), Some(request));
        }
    }
    if let Ok(answer) = decode::<Answer>(json)
        && let Ok(frame) = encode(&answer)
    {
        let again = decode::<Answer>(&frame[HEADER_LENGTH..]);
        assert_eq!(again.ok(), Some(answer));
    }
    drop(decode::<Value>(json));
}
