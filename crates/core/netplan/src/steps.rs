//! How a packet's mark finds the rules of its ENI, however many ENIs there are.
//!
//! Rules are asked one after the other. So those of ENIs stand in sixteen rows, by four bits of the
//! mark, and a few rules lead to the right one: each asks for one bit, which leaves half of the rows out.
//! What has no mark passes two rules. The rows stand below the main table's rule, where nothing but these
//! steps leads, and what finds no rule of its own there finds no other's.

use underlay_types::Family;

use crate::{
    Object,
    numbers::{ENI_MARK_MASK, ENI_MARK_SHIFT, ROWS_BASE, STEPS_PRIORITY},
};

/// Priorities of a row.
const ROW: u32 = 100;
/// Bits of the mark that name a row: the lowest four of an ENI's number.
const BITS: u32 = 4;

/// The row of a mark.
fn row(mark: u32) -> u32 {
    (mark >> ENI_MARK_SHIFT) & ((1 << BITS) - 1)
}

/// Where a row begins.
const fn begin(row: u32) -> u32 {
    ROWS_BASE + row * ROW
}

/// The priority of the rule that sends `mark` to the table of its group set.
pub(crate) fn set_rule(mark: u32) -> u32 {
    begin(row(mark)) + 10
}

/// The same for the ENI's own table, asked after the set's.
pub(crate) fn eni_rule(mark: u32) -> u32 {
    begin(row(mark)) + 20
}

/// The rules that lead to the rows, those that others lead to first.
#[must_use]
pub fn objects(family: Family) -> Vec<Object> {
    let step = |priority, mark, mask, to| Object::Step {
        family,
        priority,
        mark,
        mask,
        to,
    };
    let mut steps = Vec::new();
    for bit in 0..BITS {
        for low in (0..1 << BITS).step_by(2 << bit) {
            let mask = 1 << (ENI_MARK_SHIFT + bit);
            let from = begin(low) + BITS - 1 - bit;
            let to = begin(low + (1 << bit)) + BITS - bit;
            // The row may have no rule yet.
            steps.extend((bit == 0).then(|| step(to, 0, 0, None)));
            steps.push(step(from, mask, mask, Some(to)));
        }
    }
    let past = STEPS_PRIORITY + 2;
    steps.push(step(past, 0, 0, None));
    steps.push(step(STEPS_PRIORITY, 0, ENI_MARK_MASK, Some(past)));
    // Last: only now does anything get there.
    steps.push(step(STEPS_PRIORITY + 1, 0, 0, Some(begin(0))));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EniSlot;

    /// A rule: its priority, mark and mask, and where it leads: to a rule, to the next one, or an end.
    #[derive(Clone, Copy)]
    enum To {
        Rule(u32),
        Next,
        End(&'static str, u32),
    }

    /// Where a mark ends, and how many rules were asked.
    fn walk(rules: &[(u32, u32, u32, To)], mark: u32) -> (Option<(&'static str, u32)>, usize) {
        let (mut at, mut asked) = (0, 0);
        while let Some((_, wanted, mask, to)) = rules.get(at) {
            asked += 1;
            at += 1;
            match to {
                _ if mark & mask != *wanted => {}
                To::Next => {}
                To::End(end, of) => return (Some((*end, *of)), asked),
                To::Rule(to) => {
                    let target = rules.iter().position(|(priority, ..)| priority == to);
                    let target = target.unwrap();
                    assert!(target >= at, "only forward");
                    at = target;
                }
            }
        }
        (None, asked)
    }

    fn rules(marks: &[u32]) -> Vec<(u32, u32, u32, To)> {
        let steps = objects(Family::V4).into_iter().map(|object| match object {
            Object::Step {
                priority,
                mark,
                mask,
                to,
                ..
            } => (priority, mark, mask, to.map_or(To::Next, To::Rule)),
            other => panic!("{other}"),
        });
        let leaves = marks
            .iter()
            .map(|mark| (eni_rule(*mark), *mark, ENI_MARK_MASK, To::End("eni", *mark)));
        // In the table of its set it finds nobody: the longest way.
        let sets = marks
            .iter()
            .map(|mark| (set_rule(*mark), *mark, ENI_MARK_MASK, To::Next));
        let main = (32766, 0, 0, To::End("main", 0));
        let mut rules: Vec<_> = steps.chain(sets).chain(leaves).chain([main]).collect();
        rules.sort_by_key(|(priority, ..)| *priority);
        rules
    }

    fn marks(enis: u8, branches: u16) -> Vec<u32> {
        let enis = (0..enis).map(|n| EniSlot::new(n / 32, n % 32).unwrap().mark());
        let branches = (1..=branches).map(|tag| EniSlot::branch(tag.try_into().unwrap()).mark());
        enis.chain(branches).collect()
    }

    #[test]
    fn every_mark_finds_its_own_rule_and_no_mark_finds_main() {
        let marks = marks(64, 200);
        let rules = rules(&marks);
        for mark in &marks {
            for others in [0, 0x4000, 0x8000_0000] {
                let (end, _) = walk(&rules, mark | others);
                assert_eq!(end, Some(("eni", *mark)), "{mark:#x}");
            }
        }
        for none in [0, 0x4000, 0x8000_8000] {
            assert_eq!(walk(&rules, none), (Some(("main", 0)), 3));
        }
        // Of an ENI that is gone: nowhere, and so not by main.
        assert_eq!(walk(&rules, EniSlot::new(9, 0).unwrap().mark()).0, None);
    }

    #[test]
    fn a_packet_asks_few_rules() {
        for (enis, branches, most) in [(2, 0, 9), (15, 0, 9), (60, 0, 15), (15, 120, 25)] {
            let marks = marks(enis, branches);
            let rules = rules(&marks);
            let asked = marks.iter().map(|mark| walk(&rules, *mark).1).max();
            assert!(asked.unwrap() <= most, "{enis}, {branches}: {asked:?}");
        }
    }
}
