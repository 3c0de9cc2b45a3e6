//! The API alone: no root, no namespaces, no set-up.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::serve::ApiServer;

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

/// Serves the API on `address` and says so on standard output, until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start.
pub async fn serve(server: Arc<ApiServer>, address: SocketAddr) -> Result<(), ControlPlaneError> {
    let process = |what| move |source| ControlPlaneError::Process { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(process("handling SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(process("handling SIGINT"))?;
    let stop = CancellationToken::new();
    let listen = |source| ControlPlaneError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let listening = server.serve_on(listener, stop.clone()).map_err(listen)?;
    let clock = tokio::spawn(server.run_clock(stop.clone()));
    say_ready(bound).map_err(process("writing to standard output"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    listening.ended().await;
    if let Err(error) = clock.await {
        tracing::error!(%error, "the clock failed");
    }
    Ok(())
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
