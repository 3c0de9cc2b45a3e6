//! Waits of the threads that serve calls.
//!
//! Only so many calls are carried out at a time; one that waits for something else than a processor
//! (an address, EC2, a call before it, its client) says so, and another call is begun meanwhile.

use std::{cell::RefCell, sync::Arc};

/// Who is told about waits.
pub(crate) trait Waits: Send + Sync {
    /// The calling thread begins to wait.
    fn begin(self: Arc<Self>);
    /// It goes on.
    fn end(&self);
}

thread_local! {
    static TOLD: RefCell<Option<Arc<dyn Waits>>> = const { RefCell::new(None) };
}

/// From now on `told` is told about the calling thread's waits.
pub(crate) fn tell(told: Arc<dyn Waits>) {
    TOLD.with(|it| it.replace(Some(told)));
}

/// Runs `wait`, which waits and does nothing else. Not to be nested.
pub fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    let told = TOLD.with(|it| it.borrow().clone());
    let _ends = told.map(|told| {
        Arc::clone(&told).begin();
        Ends(told)
    });
    wait()
}

/// The end of a wait, also by a panic.
struct Ends(Arc<dyn Waits>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicI32);

    impl Waits for Count {
        fn begin(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn end(&self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wait_is_told_about_until_it_ends_also_by_a_panic() {
        let count = Arc::new(Count::default());
        let told = Arc::clone(&count);
        let waiting = move || told.0.load(Ordering::SeqCst);
        let told = Arc::clone(&count);
        let thread = std::thread::spawn(move || {
            assert_eq!(while_waiting(&waiting), 0, "nobody is told yet");
            tell(told);
            assert_eq!(while_waiting(&waiting), 1);
            while_waiting(|| panic!("on purpose"))
        });
        assert!(thread.join().is_err());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
    }
}
