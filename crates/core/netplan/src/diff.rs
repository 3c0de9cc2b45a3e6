//! What must be against what is.

use std::{collections::BTreeSet, fmt::Display};

use crate::{Object, Op, Plan};

/// A difference, as a line of text for people.
#[must_use]
pub fn describe<T: Ord + Display>(wanted: &BTreeSet<T>, found: &BTreeSet<T>) -> Vec<String> {
    let missing = wanted
        .difference(found)
        .map(|one| format!("missing: {one}"));
    let surplus = found
        .difference(wanted)
        .map(|one| format!("unexpected: {one}"));
    missing.chain(surplus).collect()
}

/// The operations that make what is into what must be: what is too much goes first, since a new
/// object may have to take its place.
#[must_use]
pub fn plan(wanted: &BTreeSet<Object>, found: &BTreeSet<Object>) -> Plan {
    let surplus = found.difference(wanted).cloned().map(Op::Remove);
    // Marks decide over packets before routes bring them: the order of the variants.
    let missing = wanted.difference(found).cloned().map(Op::Add);
    surplus.chain(missing).collect()
}
