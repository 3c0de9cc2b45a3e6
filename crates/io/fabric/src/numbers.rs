//! Numbers for ids: the programs compare 32 bits instead of text.

use std::{collections::HashMap, hash::Hash};

/// Numbers given to ids of one kind, from 1 on. A number is never given to another id, so that
/// what the kernel still holds under an old number cannot be taken for a newer object.
#[derive(Debug)]
pub(crate) struct Numbers<Id> {
    by_id: HashMap<Id, u32>,
    ids: Vec<Id>,
}

impl<Id> Default for Numbers<Id> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            ids: Vec::new(),
        }
    }
}

impl<Id: Clone + Eq + Hash> Numbers<Id> {
    /// The number of `id`, given out if it has none yet.
    pub(crate) fn of(&mut self, id: &Id) -> u32 {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        self.ids.push(id.clone());
        let number = u32::try_from(self.ids.len()).expect("memory ends before 2^32 ids");
        self.by_id.insert(id.clone(), number);
        number
    }

    /// The id that has `number`.
    pub(crate) fn id(&self, number: u32) -> Option<&Id> {
        self.ids.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_one_and_stay() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.of(&"a"), 1);
        assert_eq!(numbers.of(&"b"), 2);
        assert_eq!(numbers.of(&"a"), 1);
        assert_eq!(
            (numbers.id(0), numbers.id(2), numbers.id(3)),
            (None, Some(&"b"), None)
        );
    }
}
