//! Decoding of what the kernel sends.

use crate::message::HEADER_LEN;

const NLA_TYPE_MASK: u16 = 0x3fff;

/// One received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram; ends at the first malformed one.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(HEADER_LEN..length)?;
        let received = Received {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            payload,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(received)
    })
}

/// The attributes in `bytes` as (kind, payload); ends at the first malformed one.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, payload))
    })
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A text attribute without its terminating zero.
pub(crate) fn text(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn what_the_builder_writes_the_parser_reads() {
        let mut message = Message::new(16, 0, &[1, 2, 3, 4]);
        message.attr_text(3, "eth0").nest(18, |nest| {
            nest.attr_u32(1, 7);
        });
        let bytes = message.finish(9);
        let received: Vec<_> = messages(&bytes).collect();
        assert_eq!(received.len(), 1);
        assert_eq!((received[0].kind, received[0].sequence), (16, 9));
        let attributes: Vec<_> = attributes(&received[0].payload[4..]).collect();
        assert_eq!(attributes[0], (3, &b"eth0\0"[..]));
        assert_eq!(text(attributes[0].1), "eth0");
        assert_eq!(attributes[1].0, 18);
        assert_eq!(
            super::attributes(attributes[1].1).collect::<Vec<_>>(),
            [(1, &7_u32.to_ne_bytes()[..])]
        );
    }

    #[test]
    fn truncated_bytes_end_the_iteration() {
        let bytes = Message::new(16, 0, &[0; 16]).finish(1);
        for end in 0..bytes.len() {
            assert_eq!(messages(&bytes[..end]).count(), 0);
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
    }
}
