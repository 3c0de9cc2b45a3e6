//! Objects by id, with an index that follows every change of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Tags;

/// What else objects of a kind are found by.
pub(crate) trait Index<K, V> {
    /// What it holds of one object.
    type Entry: PartialEq;

    /// What it is to hold of an object.
    fn entry_of(object: &V) -> Self::Entry;

    /// Takes an object in.
    fn add(&mut self, id: &K, entry: Self::Entry);

    /// Drops what [`Self::add`] took in.
    fn remove(&mut self, id: &K, entry: &Self::Entry);
}

/// Objects by id, and an index that follows every change. Reading is that of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table<K: Ord, V, I> {
    objects: BTreeMap<K, V>,
    index: I,
}

/// An object being changed; the index follows when this is dropped.
pub(crate) struct Changing<'a, K, V, I: Index<K, V>> {
    id: &'a K,
    object: &'a mut V,
    before: I::Entry,
    index: &'a mut I,
}

/// The ids of those that have something in common.
pub(crate) type Sets<A, K> = BTreeMap<A, BTreeSet<K>>;

/// Ids by tag: key, then value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagIndex<K: Ord>(BTreeMap<String, Sets<String, K>>);

// === impl Table ===

impl<K: Ord + Clone, V, I: Index<K, V>> Table<K, V, I> {
    /// Adds an object, or replaces the one with its id.
    pub(crate) fn insert(&mut self, id: K, object: V) {
        self.remove(&id);
        self.index.add(&id, I::entry_of(&object));
        self.objects.insert(id, object);
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, id: &K) -> Option<V> {
        let object = self.objects.remove(id)?;
        self.index.remove(id, &I::entry_of(&object));
        Some(object)
    }

    /// An object, to change it.
    pub(crate) fn get_mut<'a>(&'a mut self, id: &'a K) -> Option<Changing<'a, K, V, I>> {
        let object = self.objects.get_mut(id)?;
        Some(Changing {
            id,
            before: I::entry_of(object),
            object,
            index: &mut self.index,
        })
    }

    /// An object, to change what the index does not look at.
    pub(crate) fn unindexed_mut(&mut self, id: &K) -> Option<&mut V> {
        self.objects.get_mut(id)
    }

    /// What else objects are found by.
    pub(crate) const fn index(&self) -> &I {
        &self.index
    }

    /// The objects of some ids.
    pub(crate) fn all_of<'a>(
        &'a self,
        ids: Option<&'a BTreeSet<K>>,
    ) -> impl Iterator<Item = &'a V> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| self.objects.get(id))
    }
}

impl<K: Ord, V, I: Default> Default for Table<K, V, I> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            index: I::default(),
        }
    }
}

impl<K: Ord, V, I> Deref for Table<K, V, I> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.objects
    }
}

impl<K: Ord + Serialize, V: Serialize, I> Serialize for Table<K, V, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.objects.serialize(serializer)
    }
}

impl<'de, K, V, I> Deserialize<'de> for Table<K, V, I>
where
    K: Ord + Deserialize<'de>,
    V: Deserialize<'de>,
    I: Index<K, V> + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let objects = BTreeMap::<K, V>::deserialize(deserializer)?;
        let mut index = I::default();
        for (id, object) in &objects {
            index.add(id, I::entry_of(object));
        }
        Ok(Self { objects, index })
    }
}

// === impl Changing ===

impl<K, V, I: Index<K, V>> Deref for Changing<'_, K, V, I> {
    type Target = V;

    fn deref(&self) -> &V {
        self.object
    }
}

impl<K, V, I: Index<K, V>> DerefMut for Changing<'_, K, V, I> {
    fn deref_mut(&mut self) -> &mut V {
        self.object
    }
}

impl<K, V, I: Index<K, V>> Drop for Changing<'_, K, V, I> {
    fn drop(&mut self) {
        let after = I::entry_of(self.object);
        if after != self.before {
            self.index.remove(self.id, &self.before);
            self.index.add(self.id, after);
        }
    }
}

// === impl TagIndex ===

impl<K: Ord + Clone> TagIndex<K> {
    /// The ids of objects with a tag.
    pub(crate) fn of(&self, key: &str, value: &str) -> Option<&BTreeSet<K>> {
        self.0.get(key)?.get(value)
    }

    /// Takes an object's tags in.
    pub(crate) fn add(&mut self, id: &K, tags: Tags) {
        for (key, value) in tags {
            insert_member(self.0.entry(key).or_default(), value, id);
        }
    }

    /// Drops an object's tags.
    pub(crate) fn remove(&mut self, id: &K, tags: &Tags) {
        for (key, value) in tags {
            if let Some(values) = self.0.get_mut(key) {
                remove_member(values, value, id);
                if values.is_empty() {
                    self.0.remove(key);
                }
            }
        }
    }
}

impl<K: Ord> Default for TagIndex<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Notes that `id` is one of those with `common`.
pub(crate) fn insert_member<A: Ord, K: Ord + Clone>(sets: &mut Sets<A, K>, common: A, id: &K) {
    sets.entry(common).or_default().insert(id.clone());
}

/// Notes that `id` is no longer one of those with `common`.
pub(crate) fn remove_member<A: Ord, K: Ord>(sets: &mut Sets<A, K>, common: &A, id: &K) {
    if let Some(set) = sets.get_mut(common) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(common);
        }
    }
}
