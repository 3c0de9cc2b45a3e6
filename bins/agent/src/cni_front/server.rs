//! The socket and the threads that serve it.

use std::{
    fs::{Permissions, remove_file, set_permissions},
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use underlay_agent_api::SOCKET_FILE;
use underlay_netlink::{KernelError, netns};
use underlay_types::chain;

use super::{
    RunDir,
    conflist::{Conflist, ConflistError},
    connection,
    dispatch::Dispatch,
    key_locks::KeyLocks,
    tombstones::Tombstones,
};
use crate::{config::Config, metrics::Metrics, service::NodeService};

/// Requests served at a time. Only root can connect; the bound keeps a mistake from taking the
/// node's memory. Those beyond it wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 1024;
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
    /// Closing it wakes the accepting thread.
    wake: Option<UnixStream>,
    accepting: Option<JoinHandle<()>>,
    socket: PathBuf,
    _run_dir: RunDir,
}

struct Shared {
    dispatch: Dispatch,
    stopping: AtomicBool,
    connections: Mutex<usize>,
    fewer: Condvar,
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
        let shared = Arc::new(Shared {
            dispatch: Dispatch {
                metrics: Arc::new(Metrics::new(Arc::clone(&service))),
                service,
                add_wait: config.addresses.add_wait,
                groups_per_eni: config.security_groups.groups_per_eni,
                own_eni: config.pods.own_eni,
                conflist: Conflist::new(config),
                tombstones: Tombstones::new(config.paths.tombstones()),
                locks: KeyLocks::default(),
                own_netns: netns::current().map_err(FrontError::OwnNetns)?,
            },
            stopping: AtomicBool::new(false),
            connections: Mutex::new(0),
            fewer: Condvar::new(),
        });
        let listener = listen(&socket)?;
        shared.dispatch.tombstones.consume(&shared.dispatch);
        let (wake, woken) =
            UnixStream::pair().map_err(on("make a second socket beside", &socket))?;
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("cni-accept".to_owned())
                .spawn(move || accept(&listener, &woken, &shared))
                .map_err(on("start a thread for", &socket))?
        };
        tracing::info!(socket = %socket.display(), "serving the plugin");
        let (wake, accepting) = (Some(wake), Some(accepting));
        Ok(Self {
            shared,
            wake,
            accepting,
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
    pub fn stop(mut self, patience: Duration) -> usize {
        self.close();
        let connections = self.shared.connections();
        let waited = self
            .shared
            .fewer
            .wait_timeout_while(connections, patience, |connections| *connections > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn close(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.fewer.notify_all();
        drop(self.wake.take());
        if let Some(accepting) = self.accepting.take() {
            if accepting.join().is_err() {
                tracing::error!("the thread that accepts connections panicked");
            }
            if let Err(error) = remove_file(&self.socket) {
                tracing::warn!(error = chain(&error), "cannot remove the socket");
            }
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
    set_permissions(socket, Permissions::from_mode(0o600))
        .map_err(on("take others' access from", socket))?;
    listener
        .set_nonblocking(true)
        .map_err(on("prepare", socket))?;
    Ok(listener)
}

fn accept(listener: &UnixListener, woken: &UnixStream, shared: &Arc<Shared>) {
    let mut look_again = Instant::now() + TOMBSTONE_PERIOD;
    while shared.wait_for_room() {
        wait(listener, woken, look_again);
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        if Instant::now() >= look_again {
            let consuming = Arc::clone(shared);
            shared.spawn(move || consuming.dispatch.tombstones.consume(&consuming.dispatch));
            look_again = Instant::now() + TOMBSTONE_PERIOD;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let serving = Arc::clone(shared);
                shared.spawn(move || serve(stream, &serving.dispatch));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                // Out of descriptors, most likely: those under way give some back.
                tracing::error!(error = chain(&error), "cannot accept a connection");
                thread::park_timeout(Duration::from_millis(100));
            }
        }
    }
}

/// Waits for a connection, for the end, or until `end`.
fn wait(listener: &UnixListener, woken: &UnixStream, end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).ok();
    let mut fds = [
        PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
    ];
    if let Err(errno) = poll(&mut fds, timeout.as_ref()) {
        tracing::debug!(%errno, "woken while waiting for a connection");
    }
}

fn serve(mut stream: UnixStream, dispatch: &Dispatch) {
    let served = connection::check_peer(&stream)
        .and_then(|()| connection::receive(&mut stream))
        .and_then(|(request, fd)| {
            let is_awaited = || connection::is_awaited(&stream);
            let answer = dispatch.answer(&request, fd, &is_awaited);
            connection::answer(&mut stream, &answer)
        });
    if let Err(error) = served {
        tracing::warn!(
            error = chain(&error),
            "a connection ended without an answer"
        );
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, usize> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another connection may be served; false when the front ends.
    fn wait_for_room(&self) -> bool {
        let full = |connections: &mut usize| {
            *connections >= CONNECTIONS_MAX && !self.stopping.load(Ordering::Relaxed)
        };
        let room = self.fewer.wait_while(self.connections(), full);
        drop(room.unwrap_or_else(PoisonError::into_inner));
        !self.stopping.load(Ordering::Relaxed)
    }

    fn spawn(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        *self.connections() += 1;
        let place = Place(Arc::clone(self));
        let spawned = thread::Builder::new()
            .name("cni-call".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                let _place = place;
                job();
            });
        if let Err(error) = spawned {
            tracing::error!(error = chain(&error), "cannot start a thread for a request");
        }
    }
}

/// One of the [`CONNECTIONS_MAX`] places, given back also by a panic.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.connections() -= 1;
        self.0.fewer.notify_all();
    }
}
