//! The socket and the threads that serve it.
//!
//! A thread that has nothing to do waits for a connection, and serves the one it gets itself: no
//! other thread is woken for a call. Of the idle ones the oldest gets it, always the same while calls
//! come one by one: what it needs is at hand in its processor's cache. Before the last idle one
//! begins to serve it starts another, unless enough calls are carried out already: more at a time
//! would not be done sooner, and each thread has a stack and a heap of its own. Calls that wait
//! ([`crate::waiting`]) do not count.

use std::{
    fs::{Permissions, remove_file, set_permissions},
    io,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{Shutdown, shutdown},
};
use underlay_agent_api::SOCKET_FILE;
use underlay_netlink::{KernelError, netns};
use underlay_types::chain;

use super::{
    RunDir,
    branch_annotation::BranchUse,
    conflist::{Conflist, ConflistError},
    connection,
    dispatch::Dispatch,
    key_locks::KeyLocks,
    tombstones::Tombstones,
};
use crate::{
    config::Config,
    metrics::Metrics,
    service::NodeService,
    waiting::{self, Waits},
};

/// Requests served at a time, those that wait among them. Only root can connect; the bound keeps a
/// mistake from taking the node's memory. Those beyond it wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// Requests carried out at a time, those that wait not among them.
const RUNNING_MAX: usize = 8;
/// Threads that wait for connections; those that more calls at a time have made end after theirs.
const IDLE_MAX: usize = 4;
/// A thread decodes JSON of a depth that serde_json bounds, and waits.
const STACK_SIZE: usize = 512 * 1024;
/// How often tombstones are looked for while the agent serves: a plugin that was killed between
/// leaving one and asking again is rare, and its runtime repeats the DEL.
const TOMBSTONE_PERIOD: Duration = Duration::from_secs(30);

/// Why the front could not start.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The socket cannot be made.
    #[error("cannot {what} {path}")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The agent's own namespace is not known.
    #[error("cannot open the agent's own network namespace")]
    OwnNetns(#[source] KernelError),
}

/// The running front. Dropping it ends it as [`Front::stop`] does, without a wait.
pub struct Front {
    shared: Arc<Shared>,
    socket: PathBuf,
    _run_dir: RunDir,
}

struct Shared {
    dispatch: Dispatch,
    listener: UnixListener,
    threads: Mutex<Threads>,
    /// A call has ended, or waits.
    ended: Condvar,
    /// The front ends.
    ending: Condvar,
}

#[derive(Default)]
struct Threads {
    /// Those that wait for a connection, or are about to.
    idle: usize,
    /// Those that serve one, or carry out tombstones.
    busy: usize,
    /// Those of the busy ones that wait.
    waiting: usize,
    stopping: bool,
}

impl Threads {
    /// Whether nobody would take a call that comes now, though one may be begun.
    const fn are_too_few(&self) -> bool {
        self.idle == 0
            && !self.stopping
            && self.busy < CONNECTIONS_MAX
            && self.busy - self.waiting < RUNNING_MAX
    }
}

impl Front {
    /// Listens, carries out the DELs left for this agent, then serves.
    ///
    /// The socket listens before the tombstones are read: a plugin that found nobody leaves its
    /// tombstone and asks again, so that either it reaches the socket or its tombstone is seen.
    ///
    /// # Errors
    /// See [`FrontError`].
    pub fn start(
        config: &Config,
        run_dir: RunDir,
        service: Arc<dyn NodeService>,
    ) -> Result<Self, FrontError> {
        let socket = run_dir.path().join(SOCKET_FILE);
        let own_netns = netns::current().map_err(FrontError::OwnNetns)?;
        let shared = Arc::new(Shared {
            listener: listen(&socket)?,
            dispatch: Dispatch {
                metrics: Arc::new(Metrics::new(Arc::clone(&service))),
                service,
                add_wait: config.addresses.add_wait,
                groups_per_eni: config.security_groups.groups_per_eni,
                own_eni: config.pods.own_eni,
                branch_enis: config.branch_enis.in_use().map(|enforcement| BranchUse {
                    enforcement,
                    families: config.addresses.targets.families,
                }),
                conflist: Conflist::new(config),
                tombstones: Tombstones::new(config.paths.tombstones()),
                locks: KeyLocks::default(),
                own_netns,
            },
            threads: Mutex::default(),
            ended: Condvar::new(),
            ending: Condvar::new(),
        });
        shared.dispatch.tombstones.consume(&shared.dispatch);
        let started = shared
            .start("cni-tombstones", Shared::look_for_tombstones)
            .and_then(|()| shared.start_serving());
        started.map_err(on("start a thread for", &socket))?;
        tracing::info!(socket = %socket.display(), "serving the plugin");
        Ok(Self {
            shared,
            socket,
            _run_dir: run_dir,
        })
    }

    /// Tells the runtime that pods may come, unless it knows already. Does nothing after an
    /// uninstall.
    ///
    /// # Errors
    /// When the conflist cannot be written.
    pub fn publish_conflist(&self) -> Result<(), ConflistError> {
        self.shared.dispatch.conflist.publish()
    }

    /// The metrics of the node and of the calls served.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.dispatch.metrics)
    }

    /// Accepts no more requests and waits at most `patience` for those under way; the conflist
    /// stays. Returns how many requests are still under way.
    #[must_use]
    pub fn stop(self, patience: Duration) -> usize {
        self.close();
        let threads = self.shared.threads();
        let waited = self
            .shared
            .ended
            .wait_timeout_while(threads, patience, |threads| threads.busy > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.busy
    }

    fn close(&self) {
        if std::mem::replace(&mut self.shared.threads().stopping, true) {
            return;
        }
        self.shared.ending.notify_all();
        // Wakes the threads that wait, and refuses who comes now.
        match shutdown(&self.shared.listener, Shutdown::Both) {
            // Those who wait for their turn ask the next agent.
            Ok(()) => while self.shared.listener.accept().is_ok() {},
            Err(errno) => tracing::warn!(%errno, "cannot shut the socket down"),
        }
        if let Err(error) = remove_file(&self.socket) {
            tracing::warn!(error = chain(&error), "cannot remove the socket");
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

fn on(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FrontError {
    let path = path.to_owned();
    move |source| FrontError::Socket { what, path, source }
}

/// The folder is root's alone and claimed, so that a socket in it is a dead agent's.
fn listen(socket: &Path) -> Result<UnixListener, FrontError> {
    match remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(on("remove", socket)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(on("listen on", socket))?;
    listener
        .set_nonblocking(true)
        .map_err(on("wait for connections on", socket))?;
    set_permissions(socket, Permissions::from_mode(0o600))
        .map_err(on("take others' access from", socket))?;
    Ok(listener)
}

fn serve(mut stream: UnixStream, dispatch: &Dispatch) {
    let served = connection::check_peer(&stream)
        .and_then(|()| connection::receive(&mut stream))
        .and_then(|(request, fd)| {
            let is_awaited = || connection::is_awaited(&stream);
            let give = |answer: &_| connection::answer(&stream, answer);
            dispatch.answer(&request, fd, &is_awaited, give)
        });
    if let Err(error) = served {
        tracing::warn!(
            error = chain(&error),
            "a connection ended without an answer"
        );
    }
}

impl Shared {
    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || work(&shared))
            .map(drop)
    }

    fn start_serving(self: &Arc<Self>) -> io::Result<()> {
        let turns = Turns::new(&self.listener)?;
        self.threads().idle += 1;
        self.start("cni-call", move |shared| shared.serve_calls(&turns))
            .inspect_err(|_| self.threads().idle -= 1)
    }

    /// Starts a thread for the next call, if it is needed.
    fn start_another(self: &Arc<Self>, threads: MutexGuard<'_, Threads>) {
        let needed = threads.are_too_few();
        drop(threads);
        if needed && let Err(error) = self.start_serving() {
            // Whoever ends its call waits for the next one.
            tracing::error!(error = chain(&error), "cannot start a thread for requests");
        }
    }

    /// Serves one connection after the other, until there are enough threads that do.
    fn serve_calls(self: &Arc<Self>, turns: &Turns) {
        self.dispatch.service.adopt_thread();
        waiting::tell(Arc::clone(self) as Arc<dyn Waits>);
        loop {
            let accepted = turns.accept(&self.listener);
            if self.threads().stopping {
                return;
            }
            match accepted {
                Ok(None) => {}
                Ok(Some(stream)) => {
                    let call = self.begin_call();
                    serve(stream, &self.dispatch);
                    drop(call);
                    if !self.wait_again() {
                        return;
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: those under way give some back.
                    tracing::error!(error = chain(&error), "cannot accept a connection");
                    thread::park_timeout(Duration::from_millis(100));
                }
            }
        }
    }

    /// A thread turns from idle to serving.
    fn begin_call(self: &Arc<Self>) -> Busy<'_> {
        let mut threads = self.threads();
        threads.idle -= 1;
        threads.busy += 1;
        threads.waiting += 1;
        let call = Busy(self);
        self.start_another(threads);
        // For its turn, if enough are at work.
        self.end();
        call
    }

    /// A thread has served, and is to be idle again; false if there are enough that are.
    fn wait_again(&self) -> bool {
        let mut threads = self.threads();
        let wanted = threads.idle < IDLE_MAX && !threads.stopping;
        threads.idle += usize::from(wanted);
        wanted
    }

    fn look_for_tombstones(self: &Arc<Self>) {
        loop {
            let threads = self.threads();
            let waited = self
                .ending
                .wait_timeout_while(threads, TOMBSTONE_PERIOD, |threads| !threads.stopping);
            let (mut threads, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if threads.stopping {
                return;
            }
            threads.busy += 1;
            drop(threads);
            let consuming = Busy(self);
            self.dispatch.tombstones.consume(&self.dispatch);
            drop(consuming);
        }
    }
}

/// How a thread waits for a connection.
///
/// Threads that wait in `accept` get connections in turn. Those that wait by an epoll instance of
/// their own, added exclusively, are asked in the order in which they were added, and the first that
/// waits gets it.
struct Turns(OwnedFd);

impl Turns {
    /// `listener` must not block.
    fn new(listener: &UnixListener) -> io::Result<Self> {
        let turns = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        epoll::add(&turns, listener, EventData::new_u64(0), flags)?;
        Ok(Self(turns))
    }

    /// Waits; `None` if another thread was faster.
    fn accept(&self, listener: &UnixListener) -> io::Result<Option<UnixStream>> {
        let mut events = [MaybeUninit::uninit(); 1];
        match epoll::wait(&self.0, &mut events, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        match listener.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Waits for Shared {
    fn begin(self: Arc<Self>) {
        let mut threads = self.threads();
        threads.waiting += 1;
        self.ended.notify_all();
        self.start_another(threads);
    }

    fn end(&self) {
        let are_enough = |threads: &mut Threads| threads.busy - threads.waiting >= RUNNING_MAX;
        let threads = self.ended.wait_while(self.threads(), are_enough);
        threads.unwrap_or_else(PoisonError::into_inner).waiting -= 1;
    }
}

/// A busy thread, until dropped, also by a panic.
struct Busy<'a>(&'a Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.threads().busy -= 1;
        self.0.ended.notify_all();
    }
}
