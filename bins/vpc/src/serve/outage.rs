//! Faults as they are switched on and off, and the times when nobody listens.

use std::{io, os::fd::AsFd};

use rustix::net::{Shutdown, bind, listen, shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use underlay_types::Timestamp;
use underlay_vpc_model::Hazard;

use super::ApiServer;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

impl ApiServer {
    /// The outage that is on: until when, if that is known.
    pub(super) fn outage(&self) -> Option<Option<Timestamp>> {
        let now = self.now();
        let admission = self.admission.lock();
        let faults = admission.faults();
        faults.strikes_until(Hazard::ConnectionsRefused, now)
    }

    /// Waits until connections are to be refused.
    pub(super) async fn outage_begins(&self) {
        let mut changed = self.outages.subscribe();
        while self.outage().is_none() {
            // The sender lives as long as this borrow of it.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn outage_ends(&self) {
        let mut changed = self.outages.subscribe();
        while let Some(until) = self.outage() {
            let over = async {
                match until {
                    Some(until) => self.clock.wait_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                _ = changed.changed() => {}
            }
        }
    }
}

/// Has the listener's address refuse connections as long as the outage lasts, or until `stop`:
/// then there is no listener any more.
///
/// # Errors
/// The system's, when it does not listen again.
pub(super) async fn last(
    server: &ApiServer,
    listener: TcpListener,
    stop: &CancellationToken,
) -> io::Result<Option<TcpListener>> {
    // Out of the runtime's hands: what it knows of the socket does not hold afterwards.
    let listener = listener.into_std()?;
    close(&listener)?;
    tokio::select! {
        () = stop.cancelled() => return Ok(None),
        () = server.outage_ends() => {}
    }
    listen(listener.as_fd(), BACKLOG)?;
    TcpListener::from_std(listener).map(Some)
}

/// Ends listening and keeps the address: Linux takes a listening socket that is shut down back to
/// where it was before it listened, and one whose port was the kernel's choice without its port
/// (`inet_shutdown` and `tcp_disconnect` in net/ipv4, v6.12).
fn close(listener: &std::net::TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    shutdown(listener.as_fd(), Shutdown::Read)?;
    match bind(listener.as_fd(), &address) {
        // It has kept its port.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
