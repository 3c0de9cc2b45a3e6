//! Which objects a call has to look at: those of its ids, those that an index has for one of its
//! filters, or all after the pages before.

use std::collections::BTreeSet;

use underlay_vpc_model::{Candidates, Listed, Listing, Model};

use super::filter::Filters;

/// What one value of a filter makes the key of an index; nothing has a value that makes none.
type KeyOf<K> = fn(&str) -> Option<K>;

/// The filters that an index answers.
pub(super) struct Keys<T: Listed> {
    /// By filter name.
    pub(super) fields: &'static [(&'static str, KeyOf<T::Key>)],
    /// For `tag:<key>`, by key and value.
    pub(super) tag: Option<fn(String, String) -> T::Key>,
}

impl<T: Listed> Keys<T> {
    /// No index answers any.
    pub(super) const NONE: Self = Self {
        fields: &[],
        tag: None,
    };

    /// Objects in order, among them all after `after` that `ids` (all without any) name and that
    /// pass `filters`: further objects may be among them.
    pub(super) fn listing<'a>(
        &self,
        model: &'a Model,
        ids: &[T::Id],
        filters: &Filters,
        after: Option<&T::Id>,
    ) -> Listing<'a, T> {
        let is_later = |id: &&T::Id| after.is_none_or(|after| *id > after);
        if !ids.is_empty() {
            let named: BTreeSet<_> = ids.iter().filter(is_later).collect();
            let named: Vec<_> = named
                .into_iter()
                .filter_map(|id| T::shown(model, id))
                .collect();
            return Box::new(named.into_iter());
        }
        match self.fewest(model, filters, after) {
            Some(found) => Box::new(found.ids.filter_map(|id| T::shown(model, id))),
            None => T::after(model, after),
        }
    }

    /// What the filter finds by which the least is found.
    fn fewest<'a>(
        &self,
        model: &'a Model,
        filters: &Filters,
        after: Option<&T::Id>,
    ) -> Option<Candidates<'a, T::Id>> {
        let keys = filters
            .exact()
            .filter_map(|(name, values)| self.of(name, &values));
        let found = keys.filter_map(|keys| T::found(model, &keys, after));
        found.min_by_key(|found| found.most)
    }

    /// The keys of a filter's values, if there is an index for it.
    fn of(&self, name: &str, values: &[String]) -> Option<Vec<T::Key>> {
        if let Some((tag, key)) = self.tag.zip(name.strip_prefix("tag:")) {
            let keys = values
                .iter()
                .map(|value| tag(key.to_owned(), value.clone()));
            return Some(keys.collect());
        }
        let (_, key_of) = self.fields.iter().find(|(field, _)| *field == name)?;
        Some(values.iter().filter_map(|value| key_of(value)).collect())
    }
}
