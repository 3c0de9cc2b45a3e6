//! The actor as everybody reaches it.
//!
//! Who asks something carries it out himself, under the actor's lock: an ADD asks twice, and to
//! wake another thread and be woken by it costs more than what is decided. The actor's own thread
//! takes what tasks have to tell, and does what time makes due.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    mpsc::{Receiver, RecvTimeoutError, Sender},
};

use underlay_types::Timestamp;

use super::Actor;
use crate::engine::{clock::boot_time, message::Message};

/// The actor, until it has stopped.
pub(in crate::engine) struct SharedActor {
    place: Mutex<Place>,
    inbox: Sender<Message>,
}

struct Place {
    actor: Option<Actor>,
    /// When the actor's thread will look by itself.
    looks_at: Timestamp,
}

impl std::fmt::Debug for SharedActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedActor").finish_non_exhaustive()
    }
}

impl SharedActor {
    /// `inbox` leads to whoever calls [`Self::run`].
    pub(in crate::engine) fn new(actor: Actor, inbox: Sender<Message>) -> Self {
        let place = Place {
            actor: Some(actor),
            looks_at: Timestamp::ZERO,
        };
        Self {
            place: Mutex::new(place),
            inbox,
        }
    }

    /// Has the actor take a message, here and now. Returns false if it has stopped.
    pub(in crate::engine) fn take(&self, message: Message) -> bool {
        let mut place = self.lock();
        let Place { actor, looks_at } = &mut *place;
        let Some(actor) = actor else {
            return false;
        };
        let _guard = AbortOnPanic;
        actor.take(message);
        if actor.wake_at() < *looks_at {
            *looks_at = Timestamp::ZERO;
            // The other end is closed only once the actor has stopped.
            drop(self.inbox.send(Message::LookNow));
        }
        true
    }

    /// Leaves the message to the actor's thread.
    pub(in crate::engine) fn post(&self, message: Message) {
        // The other end is closed only once the actor has stopped.
        drop(self.inbox.send(message));
    }

    /// The actor's thread: ends when told to, and the actor with it.
    pub(in crate::engine) fn run(&self, messages: &Receiver<Message>) {
        let _guard = AbortOnPanic;
        loop {
            let wait = {
                let mut place = self.lock();
                let Place { actor, looks_at } = &mut *place;
                let Some(actor) = actor else {
                    return;
                };
                *looks_at = actor.wake_at();
                looks_at.saturating_since(boot_time())
            };
            let message = match messages.recv_timeout(wait) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    // Whoever still waits for an answer learns so that none comes.
                    self.lock().actor = None;
                    return;
                }
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
            };
            if let Some(actor) = &mut self.lock().actor {
                if let Some(message) = message {
                    actor.take(message);
                }
                actor.do_what_is_due();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        // A panic under the lock ends the process.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without its actor the agent would live on and refuse everything; its supervisor can start it
/// again, and nothing is lost.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
