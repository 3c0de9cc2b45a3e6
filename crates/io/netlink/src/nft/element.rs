//! One element of a set or map.

use std::fmt;

use super::{HEADER, NFT_MSG_DELSETELEM};
use crate::{dump, message::Message};

const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFT_JUMP: i32 = -3;

/// What a map holds for a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing: the element of a set.
    None,
    /// A mark or another number of 4 bytes in the machine's order.
    Number(u32),
    /// A jump to a chain of the same table.
    Jump(String),
}

/// An element of a set or map of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The table.
    pub table: String,
    /// The set or map.
    pub set: String,
    /// The key: each part padded to 4 bytes. Device indices are in the machine's byte order,
    /// addresses in network order.
    pub key: Vec<u8>,
    /// What a map holds for the key.
    pub value: Value,
}

impl Element {
    pub(super) fn message(&self, kind: u16, flags: u16) -> Message {
        let mut message = list(kind, &self.table, &self.set).with_flags(flags);
        message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |elements| {
            elements.nest(NFTA_LIST_ELEM, |element| {
                element.nest(NFTA_SET_ELEM_KEY, |key| {
                    key.attr(NFTA_DATA_VALUE, &self.key);
                });
                if kind != NFT_MSG_DELSETELEM {
                    self.encode_value(element);
                }
            });
        });
        message
    }

    fn encode_value(&self, element: &mut Message) {
        match &self.value {
            Value::None => {}
            Value::Number(number) => {
                element.nest(NFTA_SET_ELEM_DATA, |data| {
                    data.attr(NFTA_DATA_VALUE, &number.to_ne_bytes());
                });
            }
            Value::Jump(chain) => {
                element.nest(NFTA_SET_ELEM_DATA, |data| {
                    data.nest(NFTA_DATA_VERDICT, |verdict| {
                        verdict.attr(NFTA_VERDICT_CODE, &NFT_JUMP.to_be_bytes());
                        verdict.attr_text(NFTA_VERDICT_CHAIN, chain);
                    });
                });
            }
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {{ ", self.table, self.set)?;
        for byte in &self.key {
            write!(f, "{byte:02x}")?;
        }
        match &self.value {
            Value::None => {}
            Value::Number(number) => write!(f, " : {number:#x}")?,
            Value::Jump(chain) => write!(f, " : jump {chain}")?,
        }
        f.write_str(" }")
    }
}

/// A message about elements of a set, without the elements.
pub(super) fn list(kind: u16, table: &str, set: &str) -> Message {
    let mut message = Message::new(kind, 0, &HEADER);
    message.attr_text(NFTA_SET_ELEM_LIST_TABLE, table);
    message.attr_text(NFTA_SET_ELEM_LIST_SET, set);
    message
}

/// The elements in one message of a dump.
pub(super) fn parse(table: &str, set: &str, payload: &[u8]) -> Vec<Element> {
    let attributes = dump::attributes(payload.get(HEADER.len()..).unwrap_or(&[]));
    attributes
        .filter(|(kind, _)| *kind == NFTA_SET_ELEM_LIST_ELEMENTS)
        .flat_map(|(_, elements)| dump::attributes(elements))
        .filter_map(|(_, element)| parse_one(table, set, element))
        .collect()
}

fn parse_one(table: &str, set: &str, bytes: &[u8]) -> Option<Element> {
    let child = |bytes, wanted: u16| {
        dump::attributes(bytes)
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, value)| value)
    };
    let key = child(child(bytes, NFTA_SET_ELEM_KEY)?, NFTA_DATA_VALUE)?;
    let value = match child(bytes, NFTA_SET_ELEM_DATA) {
        None => Value::None,
        Some(data) => match child(data, NFTA_DATA_VERDICT) {
            Some(verdict) => Value::Jump(dump::text(child(verdict, NFTA_VERDICT_CHAIN)?)),
            None => Value::Number(dump::u32_at(child(data, NFTA_DATA_VALUE)?, 0)?),
        },
    };
    Some(Element {
        table: table.to_owned(),
        set: set.to_owned(),
        key: key.to_vec(),
        value,
    })
}
