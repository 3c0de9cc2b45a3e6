//! What threads that do kernel work themselves take turns with.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use underlay_netlink::KernelError;

use super::{branches::Programs, workers::Context};

/// A bounded number of contexts, opened when they are first needed.
pub(super) struct Contexts {
    home: Arc<OwnedFd>,
    programs: Programs,
    places: Mutex<Places>,
    returned: Condvar,
}

struct Places {
    idle: Vec<Context>,
    /// How many more may be opened.
    unopened: usize,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Contexts {
    /// At most `count` contexts in `home`.
    pub(super) fn new(count: usize, home: &Arc<OwnedFd>, programs: &Programs) -> Self {
        let places = Places {
            idle: Vec::new(),
            unopened: count,
        };
        Self {
            home: Arc::clone(home),
            programs: Arc::clone(programs),
            places: Mutex::new(places),
            returned: Condvar::new(),
        }
    }

    /// Runs `job` with a context, on the calling thread, which must be in `home`. Waits until one
    /// is idle.
    pub(super) fn with<T>(&self, job: impl FnOnce(&mut Context) -> T) -> Result<T, KernelError> {
        let mut taken = Taken {
            contexts: self,
            context: self.take(),
        };
        let context = match &mut taken.context {
            Some(context) => context,
            none => none.insert(Context::open(
                Arc::clone(&self.home),
                Arc::clone(&self.programs),
            )?),
        };
        Ok(job(context))
    }

    /// An idle context, or none where one may be opened.
    fn take(&self) -> Option<Context> {
        let all_taken = |places: &mut Places| places.idle.is_empty() && places.unopened == 0;
        let places = self.returned.wait_while(self.lock(), all_taken);
        let mut places = places.unwrap_or_else(PoisonError::into_inner);
        let context = places.idle.pop();
        if context.is_none() {
            places.unopened -= 1;
        }
        context
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the contexts.
struct Taken<'a> {
    contexts: &'a Contexts,
    context: Option<Context>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // A job that panicked may have left an answer unread: another context takes the place.
        let context = self.context.take().filter(|_| !std::thread::panicking());
        let mut places = self.contexts.lock();
        match context {
            Some(context) => places.idle.push(context),
            None => places.unopened += 1,
        }
        drop(places);
        self.contexts.returned.notify_one();
    }
}
