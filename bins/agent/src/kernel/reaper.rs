//! Deletes the devices of pods that are gone, many at a time: one alone takes 20 to 30 ms.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use underlay_netlink::{KernelError, Socket, link};
use underlay_netplan::numbers::RETIRED_GROUP;

/// A retired device: the addresses of its pod must not be used before it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Retired {
    device: String,
    /// Tells devices of one name apart.
    number: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Retired>,
    noted: u64,
    is_stopping: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Held while devices are being deleted.
    reaping: Mutex<()>,
}

/// The thread and its queue.
#[derive(Debug)]
pub(super) struct Reaper {
    shared: Arc<Shared>,
    home: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    /// Starts the thread; it gathers devices for `gather` and then deletes them together.
    pub(super) fn start(home: &Arc<OwnedFd>, gather: Duration) -> Result<Self, KernelError> {
        let shared = Arc::new(Shared::default());
        let (theirs, namespace) = (Arc::clone(&shared), Arc::clone(home));
        let thread = thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || theirs.live(&namespace, gather))
            .map_err(|error| KernelError {
                op: "start",
                object: "reaper".to_owned(),
                errno: underlay_netlink::Errno::AGAIN,
                message: error.to_string(),
            })?;
        Ok(Self {
            shared,
            home: Arc::clone(home),
            thread: Some(thread),
        })
    }

    /// Notes a device that was retired.
    pub(super) fn note(&self, device: String) {
        let mut queue = self.shared.lock();
        queue.noted += 1;
        let number = queue.noted;
        queue.waiting.push(Retired { device, number });
        self.shared.changed.notify_all();
    }

    /// Forgets a device that was deleted otherwise.
    pub(super) fn forget(&self, device: &str) {
        self.shared
            .lock()
            .waiting
            .retain(|retired| retired.device != device);
    }

    /// Whether a device is still there.
    pub(super) fn holds(&self, device: &str) -> bool {
        self.shared
            .lock()
            .waiting
            .iter()
            .any(|retired| retired.device == device)
    }

    /// Deletes now every retired device, of earlier agents too.
    pub(super) fn reap(&self) -> Result<(), KernelError> {
        self.shared.reap(&self.home)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, home: &OwnedFd, gather: Duration) {
        loop {
            let mut queue = self.lock();
            while queue.waiting.is_empty() && !queue.is_stopping {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let gathered = self
                .changed
                .wait_timeout_while(queue, gather, |q| !q.is_stopping);
            let (queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            // What still waits stays retired; the next agent deletes it.
            if queue.is_stopping {
                return;
            }
            drop(queue);
            if let Err(error) = self.reap(home) {
                tracing::warn!(%error, "retired devices could not be deleted; trying again");
            }
        }
    }

    fn reap(&self, home: &OwnedFd) -> Result<(), KernelError> {
        let _alone = self.reaping.lock().unwrap_or_else(PoisonError::into_inner);
        // Devices retired from here on may be deleted too; they are forgotten the next time.
        let batch = self.lock().waiting.clone();
        let mut socket = Socket::open_in(std::os::fd::AsFd::as_fd(home))?;
        socket.run(&[link::delete_group(RETIRED_GROUP).or_missing()])?;
        self.lock()
            .waiting
            .retain(|retired| !batch.contains(retired));
        Ok(())
    }
}
