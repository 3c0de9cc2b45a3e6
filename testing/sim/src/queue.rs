//! What is to happen, by time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use underlay_types::Timestamp;

/// Events in the order of their time; those of one moment in the order they were put in.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    put: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Timestamp,
    number: u64,
    event: T,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            put: 0,
        }
    }

    pub(crate) fn put(&mut self, at: Timestamp, event: T) {
        self.put += 1;
        self.heap.push(Reverse(Entry {
            at,
            number: self.put,
            event,
        }));
    }

    /// Takes the next event, unless it comes after `end`.
    pub(crate) fn take_until(&mut self, end: Timestamp) -> Option<(Timestamp, T)> {
        if self.heap.peek()?.0.at > end {
            return None;
        }
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl<T> Entry<T> {
    const fn order(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}
