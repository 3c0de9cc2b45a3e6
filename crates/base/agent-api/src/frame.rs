//! Frames: a length and as many bytes of JSON.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of a frame's length.
pub const HEADER_LENGTH: usize = 4;
/// Bytes of JSON that a frame holds at most.
pub const FRAME_LENGTH_MAX: usize = 1 << 20;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The JSON is, or claims to be, longer than a frame may be.
    #[error("a message of {length} bytes is longer than {FRAME_LENGTH_MAX}")]
    TooLong {
        /// Bytes of JSON.
        length: usize,
    },
    /// The bytes are not the JSON that was expected.
    #[error("the message is not what the protocol says")]
    Json(#[from] serde_json::Error),
}

/// The frame that carries `message`.
///
/// # Errors
/// `TooLong` if its JSON exceeds [`FRAME_LENGTH_MAX`].
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER_LENGTH];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER_LENGTH;
    let header = u32::try_from(length)
        .ok()
        .filter(|_| length <= FRAME_LENGTH_MAX)
        .ok_or(FrameError::TooLong { length })?;
    frame[..HEADER_LENGTH].copy_from_slice(&header.to_be_bytes());
    Ok(frame)
}

/// Bytes of JSON that follow `header`.
///
/// # Errors
/// `TooLong` if they exceed [`FRAME_LENGTH_MAX`].
pub fn frame_length(header: [u8; HEADER_LENGTH]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length <= FRAME_LENGTH_MAX {
        Ok(length)
    } else {
        Err(FrameError::TooLong { length })
    }
}

/// The message in a frame's JSON.
///
/// # Errors
/// `Json` if it is not of that shape.
pub fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Answer, Request};

    #[test]
    fn a_frame_is_a_big_endian_length_and_json() {
        let frame = encode(&Answer::new(11, "{}".into())).unwrap();
        assert_eq!(
            frame,
            b"\0\0\0\x23{\"proto\":1,\"exit\":11,\"stdout\":\"{}\"}"
        );
    }

    #[test]
    fn more_than_a_mebibyte_is_refused_on_both_sides() {
        let long = "x".repeat(FRAME_LENGTH_MAX);
        assert!(
            matches!(encode(&long), Err(FrameError::TooLong { length }) if length == FRAME_LENGTH_MAX + 2)
        );
        assert!(encode(&long[2..].to_owned()).is_ok());
        assert!(matches!(
            frame_length([0, 0x10, 0, 0]),
            Ok(FRAME_LENGTH_MAX)
        ));
        assert!(matches!(
            frame_length([0, 0x10, 0, 1]),
            Err(FrameError::TooLong { length: 0x10_0001 })
        ));
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_are_empty() {
        let request: Request =
            decode(br#"{"proto":1,"command":"ADD","newer":[1],"stdin":"{}"}"#).unwrap();
        assert_eq!(
            request,
            Request {
                proto: 1,
                command: "ADD".into(),
                env: [].into(),
                stdin: "{}".into()
            }
        );
        assert!(decode::<Request>(br#"{"command":"ADD"}"#).is_err());
    }

    proptest! {
        #[test]
        fn messages_round_trip(
            command in "\\PC{0,8}",
            env in prop::collection::btree_map("[A-Z_]{1,8}", "\\PC{0,8}", 0..4),
            stdin in "\\PC{0,64}",
        ) {
            let request = Request { proto: 1, command, env, stdin };
            let frame = encode(&request).unwrap();
            let (header, json) = frame.split_at(HEADER_LENGTH);
            prop_assert_eq!(frame_length(header.try_into().unwrap()).unwrap(), json.len());
            prop_assert_eq!(decode::<Request>(json).unwrap(), request);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(decode::<Request>(&bytes));
            drop(decode::<Answer>(&bytes));
        }
    }
}
