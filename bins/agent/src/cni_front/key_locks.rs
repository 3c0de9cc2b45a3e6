//! Calls for one attachment wait for each other.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use crate::waiting::while_waiting;

/// A lock per key, made on demand and forgotten when nobody holds or awaits it.
#[derive(Debug)]
pub(super) struct KeyLocks<K> {
    locks: Mutex<HashMap<K, Arc<Mutex<()>>>>,
}

impl<K> Default for KeyLocks<K> {
    fn default() -> Self {
        Self {
            locks: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq + Clone> KeyLocks<K> {
    /// Runs `call` while no other call with the same key runs.
    pub(super) fn hold<T>(&self, key: &K, call: impl FnOnce() -> T) -> T {
        let entry = Entry {
            locks: self,
            key,
            lock: self.lock_of(key),
        };
        // A call that panicked left nothing in the lock: it guards no data.
        let _held = match entry.lock.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => {
                while_waiting(|| entry.lock.lock()).unwrap_or_else(PoisonError::into_inner)
            }
        };
        call()
    }

    fn lock_of(&self, key: &K) -> Arc<Mutex<()>> {
        Arc::clone(self.all().entry(key.clone()).or_default())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Arc<Mutex<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the key's lock when its last user leaves, also by a panic.
struct Entry<'a, K: Hash + Eq + Clone> {
    locks: &'a KeyLocks<K>,
    key: &'a K,
    lock: Arc<Mutex<()>>,
}

impl<K: Hash + Eq + Clone> Drop for Entry<'_, K> {
    fn drop(&mut self) {
        let mut all = self.locks.all();
        // Two references are the map's and ours; nobody can take a third without the map.
        if Arc::strong_count(&self.lock) == 2 {
            all.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn same_keys_wait_and_different_keys_do_not() {
        let locks = KeyLocks::default();
        let inside = AtomicU32::new(0);
        let both = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    locks.hold(&"same", || {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
            // Would never end if different keys waited for each other.
            for key in ["one", "other"] {
                let (locks, both) = (&locks, &both);
                scope.spawn(move || locks.hold(&key, || both.wait()));
            }
        });
        assert!(locks.all().is_empty());
    }

    #[test]
    fn a_panic_leaves_no_lock_behind() {
        let locks = KeyLocks::default();
        let panicked = thread::scope(|scope| {
            scope
                .spawn(|| locks.hold(&1, || panic!("on purpose")))
                .join()
                .is_err()
        });
        assert!(panicked);
        assert!(locks.all().is_empty());
        locks.hold(&1, || ());
    }
}
