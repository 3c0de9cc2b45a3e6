//! The API alone: no root, no namespaces, no set-up.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, ControlAdmin},
    serve::ApiServer,
};

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// The address cannot be listened on.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The admin socket cannot be opened.
    #[error("listening on {}", socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output or a signal handler does not work.
    #[error("{what}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Serves the API on `address`, and the admin API on `socket`, and says so on standard output, until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start.
pub async fn serve(
    server: Arc<ApiServer>,
    address: SocketAddr,
    socket: Option<PathBuf>,
) -> Result<(), ControlPlaneError> {
    let process = |what| move |source| ControlPlaneError::Process { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(process("handling SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(process("handling SIGINT"))?;
    let stop = CancellationToken::new();
    let listen = |source| ControlPlaneError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let listening = server.serve_on(listener, stop.clone()).map_err(listen)?;
    let admin = socket
        .map(|socket| AdminSocket::open(socket, &server, &stop))
        .transpose()?;
    let clock = tokio::spawn(server.run_clock(stop.clone()));
    say_ready(bound).map_err(process("writing to standard output"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    listening.ended().await;
    if let Some(admin) = admin {
        admin.close().await;
    }
    if let Err(error) = clock.await {
        tracing::error!(%error, "the clock failed");
    }
    Ok(())
}

/// The admin socket being served.
struct AdminSocket {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl AdminSocket {
    fn open(
        path: PathBuf,
        server: &Arc<ApiServer>,
        stop: &CancellationToken,
    ) -> Result<Self, ControlPlaneError> {
        let listener = admin::listen(&path).map_err(|source| ControlPlaneError::Socket {
            socket: path.clone(),
            source,
        })?;
        let admin = Arc::new(ControlAdmin(Arc::clone(server)));
        let serving = tokio::spawn(admin::serve(admin, listener, stop.clone()));
        Ok(Self { path, serving })
    }

    async fn close(self) {
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the admin socket failed");
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, socket = %self.path.display(), "the admin socket stays");
        }
    }
}

/// The line that programs wait for.
///
/// # Errors
/// When standard output does not take it.
pub fn say_ready(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready http://{address}")?;
    out.flush()
}
