//! Encoding of requests: a netlink header, a fixed header of the family, attributes.

use rustix::io::Errno;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_ECHO: u16 = 0x8;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const HEADER_LEN: usize = 16;
const NLA_F_NESTED: u16 = 0x8000;

/// The bytes of one message; length and sequence number are filled in when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A request of `kind` with `flags` and the family's fixed `header`.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(header);
        Self(bytes)
    }

    /// Appends an attribute.
    ///
    /// Payloads are names, addresses and numbers, far below the 65,531 bytes that fit.
    pub(crate) fn attr(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        let start = self.open(kind);
        self.0.extend_from_slice(payload);
        self.close(start)
    }

    /// Appends a 32-bit attribute in the machine's byte order.
    pub(crate) fn attr_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a text attribute with its terminating zero.
    pub(crate) fn attr_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let start = self.open(kind);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self.close(start)
    }

    /// Appends an attribute made of what `fill` appends.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.open(kind | NLA_F_NESTED);
        fill(self);
        self.close(start)
    }

    /// Appends bytes as they are, for fixed headers inside nests.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The same message with more flags.
    pub(crate) fn with_flags(mut self, flags: u16) -> Self {
        let all = u16::from_ne_bytes([self.0[6], self.0[7]]) | flags;
        self.0[6..8].copy_from_slice(&all.to_ne_bytes());
        self
    }

    /// The finished bytes.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) -> &mut Self {
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// One change of the kernel, not yet made, and which refusals count as success.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) op: &'static str,
    pub(crate) object: String,
    pub(crate) message: Message,
    pub(crate) tolerated: Vec<Errno>,
}

impl Request {
    pub(crate) fn new(op: &'static str, object: impl Into<String>, message: Message) -> Self {
        Self {
            op,
            object: object.into(),
            message,
            tolerated: Vec::new(),
        }
    }

    /// Also content if the object already exists.
    #[must_use]
    pub fn or_exists(mut self) -> Self {
        self.tolerated.push(Errno::EXIST);
        self
    }

    /// Also content if the object does not exist.
    #[must_use]
    pub fn or_missing(mut self) -> Self {
        self.tolerated
            .extend([Errno::NODEV, Errno::NOENT, Errno::SRCH, Errno::ADDRNOTAVAIL]);
        self
    }
}
