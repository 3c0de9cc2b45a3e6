//! Numbers for ids: the programs compare 32 bits instead of text.

use std::{collections::HashMap, fmt::Display, hash::Hash, str::FromStr, sync::Arc};

use crate::ledger::{Ledger, Remembered};

/// Numbers given to ids of one kind, from 1 on. A number is never given to another id, so that
/// what the kernel still holds under an old number cannot be taken for a newer object.
#[derive(Debug)]
pub(crate) struct Numbers<Id> {
    by_id: HashMap<Id, u32>,
    ids: Vec<Id>,
    /// Told of each number before it is used.
    ledger: Option<(&'static str, Arc<Ledger>)>,
}

impl<Id> Default for Numbers<Id> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            ids: Vec::new(),
            ledger: None,
        }
    }
}

impl<Id: Clone + Display + Eq + FromStr + Hash> Numbers<Id> {
    /// The numbers of a `kind` as they are remembered; those to come go to `ledger`.
    pub(crate) fn kept(kind: &'static str, kept: Option<&(Arc<Ledger>, Remembered)>) -> Self {
        let mut numbers = Self::default();
        let Some((ledger, remembered)) = kept else {
            return numbers;
        };
        let ids = remembered.ids.get(kind).into_iter().flatten();
        for id in ids.filter_map(|id| id.parse().ok()) {
            numbers.of(&id);
        }
        numbers.ledger = Some((kind, Arc::clone(ledger)));
        numbers
    }

    /// The number of `id`, given out if it has none yet.
    pub(crate) fn of(&mut self, id: &Id) -> u32 {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        self.ids.push(id.clone());
        let number = u32::try_from(self.ids.len()).expect("memory ends before 2^32 ids");
        if let Some((kind, ledger)) = &self.ledger {
            ledger.note_number(kind, number, &id.to_string());
        }
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
    use underlay_types::EniId;

    use super::*;

    #[test]
    fn numbers_begin_at_one_and_stay() {
        let [a, b] = [1, 2].map(EniId::from_serial);
        let mut numbers = Numbers::default();
        assert_eq!(numbers.of(&a), 1);
        assert_eq!(numbers.of(&b), 2);
        assert_eq!(numbers.of(&a), 1);
        assert_eq!(
            (numbers.id(0), numbers.id(2), numbers.id(3)),
            (None, Some(&b), None)
        );
    }

    #[test]
    fn numbers_go_on_in_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let [a, b] = [1, 2].map(EniId::from_serial);
        let begun = (
            Arc::new(Ledger::begin(&path).unwrap()),
            Remembered::default(),
        );
        let mut numbers = Numbers::kept("eni", Some(&begun));
        assert_eq!((numbers.of(&b), numbers.of(&a)), (1, 2));
        let (ledger, remembered) = Ledger::open(&path).unwrap();
        let mut again = Numbers::kept("eni", Some(&(Arc::new(ledger), remembered)));
        let c = EniId::from_serial(3);
        assert_eq!((again.of(&a), again.of(&c), again.of(&b)), (2, 3, 1));
    }
}
