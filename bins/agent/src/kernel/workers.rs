//! Threads that live in the node's namespace, hold its sockets, and may visit others.
//!
//! Other threads hand their jobs to them, and wait. A thread that has been adopted does its jobs
//! itself: a pod is then wired without waking anyone.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use underlay_netlink::{Errno, KernelError, Socket, netns, nft::Nft};

use super::{branches::Programs, contexts::Contexts};

/// What a worker has at hand.
pub(super) struct Context {
    /// The node's namespace, where the thread always returns to.
    home: Arc<OwnedFd>,
    /// Links, addresses, routes, rules, neighbours of the node.
    pub(super) socket: Socket,
    /// Elements of the node's nftables sets.
    pub(super) nft: Nft,
    /// The programs for branch ENIs, where they are loaded.
    pub(super) programs: Programs,
}

impl Context {
    /// Moves the calling thread, which must be one of ours, into `home` and opens its sockets.
    pub(super) fn open(home: Arc<OwnedFd>, programs: Programs) -> Result<Self, KernelError> {
        netns::enter(home.as_fd())?;
        Ok(Self {
            home,
            socket: Socket::open()?,
            nft: Nft::open()?,
            programs,
        })
    }

    /// The node's namespace.
    pub(super) fn home(&self) -> BorrowedFd<'_> {
        self.home.as_fd()
    }

    /// A socket in another namespace.
    pub(super) fn socket_in(&self, netns: BorrowedFd<'_>) -> Result<Socket, KernelError> {
        self.visit(netns, Socket::open)
    }

    /// Does something in another namespace.
    pub(super) fn visit<T>(
        &self,
        netns: BorrowedFd<'_>,
        work: impl FnOnce() -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let visit = netns::Visit::enter(netns, self.home.as_fd())?;
        let done = work();
        drop(visit);
        done
    }
}

type Job = Box<dyn FnOnce(&mut Context) + Send>;

thread_local! {
    /// The namespace whose workers adopted this thread.
    static ADOPTED_BY: RefCell<Option<Arc<OwnedFd>>> = const { RefCell::new(None) };
}

/// A fixed number of threads that take jobs in turn, and what adopted threads work with.
#[derive(Debug)]
pub(super) struct Workers {
    home: Arc<OwnedFd>,
    jobs: Option<mpsc::SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// As many adopted threads as there are workers work at a time: the kernel does one thing
    /// after another anyway.
    contexts: Contexts,
}

impl Workers {
    /// Starts `count` threads (at least one) in `home`.
    pub(super) fn start(
        count: usize,
        home: &Arc<OwnedFd>,
        programs: &Programs,
    ) -> Result<Self, KernelError> {
        let count = count.max(1);
        // A job that finds no free thread waits in its caller.
        let (jobs, queue) = mpsc::sync_channel::<Job>(count);
        let queue = Arc::new(Mutex::new(queue));
        let (ready, answers) = mpsc::channel();
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, ready) = (Arc::clone(&queue), ready.clone());
            let (home, programs) = (Arc::clone(home), Arc::clone(programs));
            let thread = thread::Builder::new()
                .name(format!("kernel-{number}"))
                .spawn(move || work(home, programs, &queue, ready))
                .map_err(|error| stopped("start", &error.to_string()))?;
            threads.push(thread);
        }
        drop(ready);
        let workers = Self {
            home: Arc::clone(home),
            jobs: Some(jobs),
            threads,
            contexts: Contexts::new(count, home, programs),
        };
        for answer in answers {
            answer?;
        }
        Ok(workers)
    }

    /// Makes the calling thread one that does its jobs itself. It must be one of the agent's own,
    /// not a runtime's, and be in the home namespace, where it stays; else nothing changes.
    pub(super) fn adopt_thread(&self) {
        let is_home =
            netns::current().is_ok_and(|netns| netns::is_same(netns.as_fd(), self.home.as_fd()));
        if is_home {
            ADOPTED_BY.set(Some(Arc::clone(&self.home)));
        }
    }

    fn has_adopted_this_thread(&self) -> bool {
        ADOPTED_BY.with_borrow(|home| {
            home.as_ref()
                .is_some_and(|home| Arc::ptr_eq(home, &self.home))
        })
    }

    /// Runs `job` on one of the threads and waits for its answer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Context) -> T + Send + 'static,
    ) -> Result<T, KernelError> {
        if self.has_adopted_this_thread() {
            return self.contexts.with(job);
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |context| {
            // A caller that has gone away needs no answer.
            drop(answer.send(job(context)));
        });
        let sent = self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        sent.and_then(|()| answered.recv().ok())
            .ok_or_else(|| stopped("run", "its threads have stopped"))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            drop(thread.join());
        }
    }
}

fn work(
    home: Arc<OwnedFd>,
    programs: Programs,
    queue: &Mutex<mpsc::Receiver<Job>>,
    ready: mpsc::Sender<Result<(), KernelError>>,
) {
    let mut context = match Context::open(home, programs) {
        Ok(context) => context,
        Err(error) => {
            drop(ready.send(Err(error)));
            return;
        }
    };
    drop(ready.send(Ok(())));
    // The starter waits until every thread has answered and let go of this.
    drop(ready);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(&mut context),
            Err(mpsc::RecvError) => return,
        }
    }
}

fn stopped(op: &'static str, why: &str) -> KernelError {
    KernelError {
        op,
        object: "kernel worker".to_owned(),
        errno: Errno::CANCELED,
        message: why.to_owned(),
    }
}
