//! Routing rules: which table a packet is looked up in.

use std::fmt;

use ipnet::IpNet;

use crate::{
    Family, KernelError, Request, Socket, dump as decode,
    family::{address_of, byte, octets},
    message::{Message, NLM_F_CREATE, NLM_F_EXCL},
};

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;

/// A rule that sends what it matches to a table, or on to another rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The address family.
    pub family: Family,
    /// The lower, the sooner asked.
    pub priority: u32,
    /// Value and mask of the packet's mark.
    pub mark: Option<(u32, u32)>,
    /// The device it came in by; `lo` for packets of the node itself.
    pub input: Option<String>,
    /// Its source.
    pub source: Option<IpNet>,
    /// Its destination.
    pub destination: Option<IpNet>,
    /// The table; 0 with a step.
    pub table: u32,
    /// Where it goes on, instead of a table.
    pub step: Option<Step>,
}

/// What a rule without a table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Goes on at the rule of this priority, further down.
    Goto(u32),
    /// Goes on at the next one; others go to it.
    Next,
}

impl Rule {
    /// Packets whose mark under `mask` is `mark` go to `table`.
    #[must_use]
    pub const fn by_mark(family: Family, priority: u32, mark: u32, mask: u32, table: u32) -> Self {
        let mut rule = Self::to_table(family, priority, table);
        rule.mark = Some((mark, mask));
        rule
    }

    /// All packets of a family go to `table`.
    #[must_use]
    pub const fn to_table(family: Family, priority: u32, table: u32) -> Self {
        Self {
            family,
            priority,
            mark: None,
            input: None,
            source: None,
            destination: None,
            table,
            step: None,
        }
    }

    /// Packets whose mark under `mask` is `mark` (all, where the mask is 0) go on as `step` says.
    #[must_use]
    pub fn on(family: Family, priority: u32, (mark, mask): (u32, u32), step: Step) -> Self {
        Self {
            mark: (mask != 0).then_some((mark, mask)),
            step: Some(step),
            ..Self::to_table(family, priority, 0)
        }
    }

    fn request(&self, op: &'static str, kind: u16, flags: u16) -> Request {
        let prefix_len = |net: Option<IpNet>| net.map_or(0, |net| net.prefix_len());
        // struct fib_rule_hdr: family, dst_len, src_len, tos, table, reserved, action, flags.
        let mut header = [0; 12];
        header[0] = byte(self.family);
        header[1] = prefix_len(self.destination);
        header[2] = prefix_len(self.source);
        header[4] = u8::try_from(self.table).unwrap_or(0);
        header[7] = match self.step {
            None => FR_ACT_TO_TBL,
            Some(Step::Goto(_)) => FR_ACT_GOTO,
            Some(Step::Next) => FR_ACT_NOP,
        };
        let mut message = Message::new(kind, flags, &header);
        message.attr_u32(FRA_PRIORITY, self.priority);
        if let Some(Step::Goto(to)) = self.step {
            message.attr_u32(FRA_GOTO, to);
        } else if self.step.is_none() {
            message.attr_u32(FRA_TABLE, self.table);
        }
        if let Some((mark, mask)) = self.mark {
            message.attr_u32(FRA_FWMARK, mark);
            message.attr_u32(FRA_FWMASK, mask);
        }
        if let Some(input) = &self.input {
            message.attr_text(FRA_IIFNAME, input);
        }
        if let Some(source) = self.source.filter(|net| net.prefix_len() > 0) {
            message.attr(FRA_SRC, &octets(source.network()));
        }
        if let Some(destination) = self.destination.filter(|net| net.prefix_len() > 0) {
            message.attr(FRA_DST, &octets(destination.network()));
        }
        Request::new(op, self.to_string(), message)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.priority)?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if let Some(destination) = self.destination {
            write!(f, " to {destination}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        if let Some(input) = &self.input {
            write!(f, " iif {input}")?;
        }
        match self.step {
            None => write!(f, " lookup {}", self.table),
            Some(Step::Goto(to)) => write!(f, " goto {to}"),
            Some(Step::Next) => f.write_str(" nop"),
        }
    }
}

/// Adds a rule; refused with `EEXIST` if there is an equal one.
#[must_use]
pub fn add(rule: &Rule) -> Request {
    rule.request("add rule", RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes a rule; refused with `ENOENT` if there is none like it.
#[must_use]
pub fn delete(rule: &Rule) -> Request {
    rule.request("delete rule", RTM_DELRULE, 0)
}

/// All rules of `family` in the socket's namespace.
///
/// # Errors
/// When the namespace changes faster than it can be read.
pub fn dump(socket: &mut Socket, family: Family) -> Result<Vec<Rule>, KernelError> {
    let mut header = [0; 12];
    header[0] = byte(family);
    let message = Message::new(RTM_GETRULE, 0, &header);
    socket.dump("rules", &message, |payload| parse(family, payload))
}

fn parse(family: Family, payload: &[u8]) -> Option<Rule> {
    let (mut mark, mut mask, mut has_mask) = (None, u32::MAX, false);
    let (mut source, mut destination) = (None, None);
    let mut rule = Rule {
        family,
        priority: 0,
        mark: None,
        input: None,
        source: None,
        destination: None,
        table: u32::from(*payload.get(4)?),
        step: None,
    };
    let action = *payload.get(7)?;
    if action == FR_ACT_NOP {
        rule.step = Some(Step::Next);
    }
    for (kind, value) in decode::attributes(payload.get(12..)?) {
        match kind {
            FRA_DST => destination = address_of(value),
            FRA_SRC => source = address_of(value),
            FRA_IIFNAME => rule.input = Some(decode::text(value)),
            FRA_GOTO => rule.step = decode::u32_at(value, 0).map(Step::Goto),
            FRA_PRIORITY => rule.priority = decode::u32_at(value, 0)?,
            FRA_FWMARK => mark = decode::u32_at(value, 0),
            FRA_FWMASK => {
                mask = decode::u32_at(value, 0)?;
                has_mask = true;
            }
            FRA_TABLE => rule.table = decode::u32_at(value, 0)?,
            _ => {}
        }
    }
    let net = |address: Option<_>, length: u8| address.and_then(|a| IpNet::new(a, length).ok());
    rule.destination = net(destination, *payload.get(1)?);
    rule.source = net(source, *payload.get(2)?);
    // A mark of 0 is shown by its mask alone.
    rule.mark = match mark {
        Some(mark) => Some((mark, mask)),
        None if has_mask => Some((0, mask)),
        None => None,
    };
    if rule.step.is_some() {
        rule.table = 0;
    }
    Some(rule)
}
