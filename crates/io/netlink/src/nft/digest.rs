//! What stands in a table, in so few bytes that it can be compared with what stood there before.
//!
//! The kernel shows a rule as the expressions it was made of; its handle, which is another one each
//! time the same rule is written, is left out. So the digest of a chain changes when somebody
//! changes its hook, its policy or its rules, and comes back when they are written again.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{HEADER, NFNL_SUBSYS_NFTABLES, Nft};
use crate::{KernelError, dump, message::Message};

const NFT_MSG_GETCHAIN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 4;
const NFT_MSG_GETRULE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 7;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;

/// Digests by the name of the chain. They mean something in this process only.
pub type Digests = BTreeMap<String, u64>;

impl Nft {
    /// Digests of all chains of a table; none if there is no such table.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn chains(&mut self, table: &str) -> Result<Digests, KernelError> {
        let ask = Message::new(NFT_MSG_GETCHAIN, 0, &HEADER);
        let chains = self
            .0
            .dump("chains", &ask, |payload| chain(table, payload))?;
        let mut hashers: BTreeMap<String, DefaultHasher> = chains.into_iter().collect();
        let mut ask = Message::new(NFT_MSG_GETRULE, 0, &HEADER);
        ask.attr_text(NFTA_RULE_TABLE, table);
        let rules = self.0.dump("rules", &ask, |payload| rule(table, payload))?;
        for (chain, expressions) in rules {
            expressions.hash(hashers.entry(chain).or_default());
        }
        let finish = |(chain, hasher): (String, DefaultHasher)| (chain, hasher.finish());
        Ok(hashers.into_iter().map(finish).collect())
    }
}

/// A chain of `table` and a digest of what it is; older kernels show those of every table.
fn chain(table: &str, payload: &[u8]) -> Option<(String, DefaultHasher)> {
    let attributes: BTreeMap<u16, &[u8]> = attributes(payload).collect();
    if dump::text(attributes.get(&NFTA_CHAIN_TABLE)?) != table {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    for kind in [NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE] {
        attributes.get(&kind).hash(&mut hasher);
    }
    Some((dump::text(attributes.get(&NFTA_CHAIN_NAME)?), hasher))
}

/// A rule of `table`: its chain and its expressions.
fn rule(table: &str, payload: &[u8]) -> Option<(String, Vec<u8>)> {
    let attributes: BTreeMap<u16, &[u8]> = attributes(payload).collect();
    if dump::text(attributes.get(&NFTA_RULE_TABLE)?) != table {
        return None;
    }
    let chain = dump::text(attributes.get(&NFTA_RULE_CHAIN)?);
    let expressions = attributes.get(&NFTA_RULE_EXPRESSIONS)?;
    Some((chain, expressions.to_vec()))
}

fn attributes(payload: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    dump::attributes(payload.get(HEADER.len()..).unwrap_or(&[]))
}
