//! Elements of nftables sets and maps, and whole rulesets.
//!
//! Elements change with every pod and go to the kernel directly. Tables, chains and rules change
//! rarely; they are text that [`load`] hands to `nft`.

mod digest;
mod element;
mod ruleset;

use std::os::fd::BorrowedFd;

pub use digest::Digests;
pub use element::{Element, Value};
pub use ruleset::{check, list, load};

use crate::{
    Errno, KernelError, Socket,
    message::{Message, NLM_F_ACK, NLM_F_CREATE},
    netns,
    socket::Answer,
};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWSETELEM: u16 = NFNL_SUBSYS_NFTABLES << 8 | 12;
const NFT_MSG_GETSETELEM: u16 = NFNL_SUBSYS_NFTABLES << 8 | 13;
const NFT_MSG_DELSETELEM: u16 = NFNL_SUBSYS_NFTABLES << 8 | 14;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFPROTO_INET: u8 = 1;
/// `struct nfgenmsg` of the `inet` family: family, version, resource (big-endian).
const HEADER: [u8; 4] = [NFPROTO_INET, 0, 0, 0];
const BATCH_HEADER: [u8; 4] = [0, 0, 0, 10];

/// A connection to nftables in the namespace of the thread that opened it; tables are of the
/// family `inet`.
#[derive(Debug)]
pub struct Nft(Socket);

impl Nft {
    /// Opens a connection in the calling thread's namespace.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn open() -> Result<Self, KernelError> {
        Socket::open_netfilter().map(Self)
    }

    /// Opens a connection in `netns`.
    ///
    /// # Errors
    /// As [`netns::run_in`] and [`Self::open`].
    pub fn open_in(netns: BorrowedFd<'_>) -> Result<Self, KernelError> {
        netns::run_in(netns, Self::open)?
    }

    /// Adds elements, all or none. One that is there already is given the new value.
    ///
    /// # Errors
    /// `ENOENT` if the table or set does not exist.
    pub fn add(&mut self, elements: &[Element]) -> Result<(), KernelError> {
        let add = |element: &Element| element.message(NFT_MSG_NEWSETELEM, NLM_F_CREATE);
        let answers = self.transact("add element", elements.iter().map(add).collect(), elements)?;
        // EEXIST or, on older kernels, EBUSY: the key is there with another value.
        let clash = |answer| is(answer, Errno::EXIST) || is(answer, Errno::BUSY);
        let busy: Vec<_> = answers.iter().map(clash).collect();
        if !busy.contains(&true) {
            return first_refusal("add element", elements, answers, &[]);
        }
        let held = elements.iter().zip(busy).filter(|(_, busy)| *busy);
        let delete = held.map(|(element, _)| element.message(NFT_MSG_DELSETELEM, 0));
        let deletes: Vec<_> = delete.collect();
        let skip = deletes.len();
        let messages = deletes.into_iter().chain(elements.iter().map(add));
        let mut answers = self.transact("add element", messages.collect(), elements)?;
        first_refusal("add element", elements, answers.split_off(skip), &[])
    }

    /// Deletes elements; those that are not there are no error, nor is a missing table.
    ///
    /// # Errors
    /// What the kernel refused; others may be deleted by then.
    pub fn delete(&mut self, elements: &[Element]) -> Result<(), KernelError> {
        let delete = |element: &Element| element.message(NFT_MSG_DELSETELEM, 0);
        let messages = elements.iter().map(delete).collect();
        let answers = self.transact("delete element", messages, elements)?;
        if !answers.iter().any(|answer| is(answer, Errno::NOENT)) {
            return first_refusal("delete element", elements, answers, &[]);
        }
        // One missing element fails the whole batch: repeat it one by one.
        for element in elements {
            let one = std::slice::from_ref(element);
            let answers = self.transact("delete element", vec![delete(element)], one)?;
            first_refusal("delete element", one, answers, &[Errno::NOENT])?;
        }
        Ok(())
    }

    /// All elements of a set or map.
    ///
    /// # Errors
    /// `ENOENT` if the table or set does not exist.
    pub fn elements(&mut self, table: &str, set: &str) -> Result<Vec<Element>, KernelError> {
        let message = element::list(NFT_MSG_GETSETELEM, table, set);
        let found = self.0.dump("set elements", &message, |payload| {
            Some(element::parse(table, set, payload))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Sends one transaction and returns the answer to each message.
    fn transact(
        &mut self,
        op: &'static str,
        messages: Vec<Message>,
        elements: &[Element],
    ) -> Result<Vec<Answer>, KernelError> {
        let object = || elements.first().map(Element::to_string).unwrap_or_default();
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = vec![Message::new(NFNL_MSG_BATCH_BEGIN, 0, &BATCH_HEADER)];
        batch.extend(messages);
        // Refusals come unasked, and before this one's answer.
        if let Some(last) = batch.pop() {
            batch.push(last.with_flags(NLM_F_ACK));
        }
        batch.push(Message::new(NFNL_MSG_BATCH_END, 0, &BATCH_HEADER));
        self.0
            .transact(batch)
            .map_err(|(errno, message)| KernelError {
                message,
                ..KernelError::new(op, object(), errno)
            })
    }
}

fn is(answer: &Answer, errno: Errno) -> bool {
    matches!(answer, Err((refused, _)) if *refused == errno)
}

fn first_refusal(
    op: &'static str,
    elements: &[Element],
    answers: Vec<Answer>,
    tolerated: &[Errno],
) -> Result<(), KernelError> {
    for (element, answer) in elements.iter().zip(answers) {
        match answer {
            Err((errno, message)) if !tolerated.contains(&errno) => {
                let error = KernelError::new(op, element.to_string(), errno);
                return Err(KernelError { message, ..error });
            }
            _ => {}
        }
    }
    Ok(())
}
