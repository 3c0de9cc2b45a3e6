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
/// object may have to take its place. What an earlier agent's packets went by goes last.
#[must_use]
pub fn plan(wanted: &BTreeSet<Object>, found: &BTreeSet<Object>) -> Plan {
    let surplus = found.difference(wanted).cloned();
    let is_of_before = |object: &Object| matches!(object, Object::RuleOfBefore(_));
    let (of_before, surplus): (Vec<_>, Vec<_>) = surplus.partition(is_of_before);
    let surplus = surplus.into_iter().map(Op::Remove);
    // Marks decide over packets before routes bring them: the order of the variants.
    let missing = wanted.difference(found).cloned().map(Op::Add);
    let of_before = of_before.into_iter().map(Op::Remove);
    surplus.chain(missing).chain(of_before).collect()
}

#[cfg(test)]
mod tests {
    use underlay_types::Family;

    use super::*;
    use crate::{
        EniSlot, RuleOfBefore,
        numbers::{ENI_MARK_MASK, is_rule_of_before, rule_priority},
    };

    #[test]
    fn a_rule_of_an_earlier_agent_goes_once_that_of_now_is_there() {
        let slot = EniSlot::new(0, 2).unwrap();
        let (family, mark, table) = (Family::V4, slot.mark(), slot.table());
        let now = Object::Rule {
            family,
            mark,
            table,
        };
        let before = Object::RuleOfBefore(RuleOfBefore {
            family,
            priority: 7000,
            mark,
            mask: ENI_MARK_MASK,
            table,
        });
        let plan = plan(
            &BTreeSet::from([now.clone()]),
            &BTreeSet::from([before.clone()]),
        );
        assert_eq!(plan.0, [Op::Add(now), Op::Remove(before)]);
    }

    #[test]
    fn only_rules_that_an_agent_made_are_an_earlier_ones() {
        let (mark, table) = (0x0030_0000, 70_002);
        let mask = ENI_MARK_MASK;
        assert!(is_rule_of_before(7000, (mark, mask), table));
        assert!(is_rule_of_before(6990, (mark, 0x3ff0_0000), 72_048));
        let now = rule_priority(mark, table);
        assert!(!is_rule_of_before(now, (mark, mask), table));
        // As it is now, but not where it is now.
        assert!(is_rule_of_before(now + 100, (mark, mask), table));
        for (priority, marked, table) in [
            (5000, (mark, mask), table),
            (7000, (mark, mask), 254),
            (7000, (0x4000, 0x4000), table),
            (7000, (mark, u32::MAX), table),
            (7000, (0, 0), table),
        ] {
            assert!(
                !is_rule_of_before(priority, marked, table),
                "{priority} {marked:?}"
            );
        }
    }
}
