//! What the chains of the node's table must be, and how the kernel showed them once written.

use std::collections::{BTreeMap, BTreeSet};

use underlay_netlink::{KernelError, nft::Digests};
use underlay_netplan::{
    NodeFacts, Op, Plan, names, node,
    numbers::{NFT_SET_CHAIN_PREFIX, NFT_TABLE},
    set_chain,
};
use underlay_types::SecurityGroupSet;

use super::{Failure, Kernel};

/// The chains of the node's table.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// What the node's own chains were made from.
    pub(super) facts: Option<NodeFacts>,
    /// Group sets whose chains exist, and what was written there if anything was.
    pub(super) sets: BTreeMap<SecurityGroupSet, Option<Plan>>,
    /// The chains as the kernel showed them after they were written.
    shown: Digests,
}

/// Whether a chain is none of a group set.
pub(super) fn is_of_node(chain: &str) -> bool {
    !chain.starts_with(NFT_SET_CHAIN_PREFIX)
}

/// Whether a chain is one of the two of `set`.
pub(super) fn is_of(set: &SecurityGroupSet, chain: &str) -> bool {
    chain == names::set_chain(set) || chain == set_chain::receiver_chain(set)
}

impl Rules {
    pub(super) fn forget(&mut self, set: &SecurityGroupSet) {
        self.sets.remove(set);
        self.shown.retain(|chain, _| !is_of(set, chain));
    }

    /// Chains that are not as they were written, of those that were.
    pub(super) fn differing(&self, found: &Digests) -> BTreeSet<String> {
        let wrong = self
            .shown
            .iter()
            .filter(|(chain, shown)| found.get(*chain) != Some(shown));
        let mut differing: BTreeSet<String> = wrong.map(|(chain, _)| chain.clone()).collect();
        // Chains that were only made have nothing to compare, but must be there.
        let made = self.sets.keys();
        let made = made.flat_map(|set| [names::set_chain(set), set_chain::receiver_chain(set)]);
        differing.extend(made.filter(|chain| !found.contains_key(chain)));
        differing
    }

    /// What writes these chains again, the node's own first: they bring the table.
    pub(super) fn rewrite(&self, chains: &BTreeSet<String>) -> Vec<Op> {
        let of_node = chains.iter().any(|chain| is_of_node(chain));
        let base = self.facts.as_ref().filter(|_| of_node).map(node::rules);
        let of_sets = self
            .sets
            .iter()
            .filter(|(set, _)| chains.iter().any(|chain| is_of(set, chain)));
        let of_sets = of_sets
            .flat_map(|(set, written)| written.clone().unwrap_or_else(|| set_chain::ensure(set)).0);
        base.into_iter().chain(of_sets).collect()
    }

    /// The node's own chains.
    pub(super) fn of_node(&self) -> impl Iterator<Item = String> + '_ {
        let chains = self.shown.keys().filter(|chain| is_of_node(chain));
        chains.cloned()
    }

    /// An ENI's device has another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(facts) = &mut self.facts
            && facts.primary_device == from
        {
            to.clone_into(&mut facts.primary_device);
        }
    }

    fn learn(&mut self, found: Digests, is_new: impl Fn(&str) -> bool) {
        self.shown.retain(|chain, _| !is_new(chain));
        self.shown
            .extend(found.into_iter().filter(|(chain, _)| is_new(chain)));
    }
}

impl Kernel {
    /// Notes how the kernel shows the chains that were just written.
    pub(super) fn learn(
        &self,
        doing: &str,
        rules: &mut Rules,
        is_new: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let found: Result<Digests, KernelError> = self
            .workers
            .run(|context| context.nft.chains(NFT_TABLE))
            .and_then(|found| found);
        rules.learn(found.map_err(|error| Failure::clean(doing, error))?, is_new);
        Ok(())
    }
}
