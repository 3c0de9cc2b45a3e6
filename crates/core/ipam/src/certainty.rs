//! Whether what EC2 last said of a node's ENIs is still so: who is sure of it writes it down, and
//! the successor of an agent that died serves by that and asks EC2 nothing.

use std::collections::BTreeSet;

use crate::OpId;

/// What is known of calls and looks since EC2 last told. What was told is noted as long as this is
/// sure, with what each call did to it; the note goes before a call that changes something.
#[derive(Debug, Clone, Default)]
pub struct Certainty {
    under_way: BTreeSet<OpId>,
    /// A call failed, or was answered unclearly: only another look tells.
    doubtful: bool,
    /// A call began or ended since the last look at EC2 began.
    moved: bool,
}

impl Certainty {
    /// A call begins. Until its outcome is known there is nothing to go by.
    pub fn begins(&mut self, op: OpId) {
        self.under_way.insert(op);
        self.moved = true;
    }

    /// A call ended; `known`: what it did is.
    pub fn ended(&mut self, op: OpId, known: bool) {
        self.under_way.remove(&op);
        self.moved = true;
        self.doubtful |= !known;
    }

    /// EC2 is asked what this instance has.
    pub fn asks(&mut self) {
        self.moved = !self.under_way.is_empty();
    }

    /// EC2 answered. Returns whether that is how things are: it may not have seen the end of a call
    /// that came in between.
    #[must_use]
    pub const fn hears(&mut self) -> bool {
        if !self.moved {
            self.doubtful = false;
        }
        !self.moved
    }

    /// Whether what is noted is so.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        !self.doubtful && self.under_way.is_empty()
    }
}
