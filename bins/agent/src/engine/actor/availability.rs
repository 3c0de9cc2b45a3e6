//! What STATUS answers: whether pods can be added, and whether those that run may be cut off.

use std::collections::BTreeSet;

use underlay_types::{LeaseKey, PoolKey};

use super::Actor;
use crate::engine::{clock::boot_time, message::Unavailable};

/// What may cut pods off, besides what the allocator knows.
#[derive(Debug, Default)]
pub(in crate::engine) struct Troubles {
    /// Pods that own an ENI, have lost it, and could not be given it again.
    pub(in crate::engine) bereft: BTreeSet<LeaseKey>,
    /// What drifted, and the kernel refused to have put right, at the last look.
    pub(in crate::engine) unrepaired: Vec<String>,
}

impl Unavailable {
    /// `why` with each of the troubles of running pods after it.
    fn new(why: String, troubles: &[String]) -> Self {
        let message = if troubles.is_empty() {
            why
        } else {
            format!(
                "{why}. Running pods may be cut off: {}",
                troubles.join("; ")
            )
        };
        Self {
            message,
            cut_off: !troubles.is_empty(),
        }
    }
}

impl Actor {
    /// What STATUS answers. Pods that run are looked after only while none can be added: nobody asks
    /// otherwise.
    pub(super) fn availability(&self) -> Result<(), Unavailable> {
        let until = boot_time() + self.add_wait;
        let prospects = self.ipam.prospects(&PoolKey::default_pool(), until);
        prospects.map_err(|refused| {
            let why = format!("{refused}: {}", refused.reason.remedy());
            Unavailable::new(why, &self.troubles_of_pods())
        })
    }

    /// A look for drift is over, and this could not be put right.
    pub(super) fn note_unrepaired(&mut self, drifts: Vec<String>) {
        self.troubles.unrepaired = drifts;
    }

    /// What may cut pods off, as far as it is known.
    pub(super) fn troubles_of_pods(&self) -> Vec<String> {
        let mut troubles: Vec<String> = self
            .ipam
            .cut_off()
            .iter()
            .map(ToString::to_string)
            .collect();
        let on_branches = self.branch_leases().count();
        if on_branches > 0 && self.trunk().is_none() {
            troubles.push(format!(
                "{on_branches} of branch ENIs, without a trunk: attach it to this instance again"
            ));
        }
        let leases = &self.journal.state().leases;
        let bereft = self
            .troubles
            .bereft
            .iter()
            .filter(|key| leases.contains_key(key));
        troubles
            .extend(bereft.map(|key| format!("{key} lost its ENI, which cannot be given back")));
        if let Some(first) = self.troubles.unrepaired.first() {
            let count = self.troubles.unrepaired.len();
            troubles.push(format!(
                "{count} drifts cannot be put right, first: {first}"
            ));
        }
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_cut_off_if_something_troubles_them() {
        let calm = Unavailable::new("full: wait".to_owned(), &[]);
        assert_eq!((calm.message.as_str(), calm.cut_off), ("full: wait", false));
        let troubles = ["one".to_owned(), "two".to_owned()];
        let troubled = Unavailable::new("full: wait".to_owned(), &troubles);
        assert_eq!(
            (troubled.message.as_str(), troubled.cut_off),
            ("full: wait. Running pods may be cut off: one; two", true)
        );
    }
}
