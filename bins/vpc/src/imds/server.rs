//! Listening, and what answers are made from.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use underlay_types::{EniId, InstanceId, Timestamp};
use underlay_vpc_model::{
    Imds, ImdsRequest, ImdsResponse, InstanceView, RoleCredentials, TOKEN_ENTROPY_BYTES,
};

use super::connection;

/// Connections served at a time; more wait to be accepted.
const CONNECTIONS: usize = 1024;

/// How long to wait after a failed accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the service shows. All is asked anew for every request and must not block for long.
pub trait Metadata: Send + Sync + 'static {
    /// The instance as it is to be shown now; `None` once it is gone.
    fn view(&self, instance: &InstanceId) -> Option<InstanceView>;

    /// The time that tokens and credentials end by.
    fn now(&self) -> Timestamp;

    /// Credentials of the instance's role that the API accepts, valid for some hours.
    ///
    /// Asked with every reading: whoever makes them decides how long to give out the same ones.
    fn credentials(&self, instance: &InstanceId, role: &str, now: Timestamp) -> RoleCredentials;
}

/// Whose packets come by a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The instance.
    pub instance: InstanceId,
    /// The ENI that the packets came by.
    pub eni: EniId,
}

/// Tells the caller by the peer of an accepted connection; `None` closes the connection.
pub type Resolve = Arc<dyn Fn(SocketAddr) -> Option<Caller> + Send + Sync>;

/// The service of all instances: their tokens, and what it shows.
pub struct MetadataServer {
    imds: Mutex<Imds>,
    metadata: Arc<dyn Metadata>,
}

impl MetadataServer {
    /// A service that has given no token yet.
    #[must_use]
    pub fn new(metadata: Arc<dyn Metadata>) -> Self {
        Self {
            imds: Mutex::new(Imds::new()),
            metadata,
        }
    }

    /// Forgets the tokens of an instance that is gone.
    pub fn forget(&self, instance: &InstanceId) {
        self.imds().forget(instance);
    }

    /// Answers one request; `None` if the caller's instance is gone.
    pub(super) fn respond(
        &self,
        caller: &Caller,
        request: &ImdsRequest<'_>,
    ) -> io::Result<Option<ImdsResponse>> {
        let now = self.metadata.now();
        let Some(view) = self.metadata.view(&caller.instance) else {
            return Ok(None);
        };
        let entropy = entropy()?;
        let mint = |role: &str| self.metadata.credentials(&caller.instance, role, now);
        let response = self.imds().respond(now, &view, request, &entropy, mint);
        tracing::debug!(
            instance = %caller.instance,
            eni = %caller.eni,
            method = request.method,
            path = request.path,
            status = response.status,
            "metadata request"
        );
        Ok(Some(response))
    }

    fn imds(&self) -> std::sync::MutexGuard<'_, Imds> {
        self.imds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MetadataServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataServer")
            .field("imds", &self.imds)
            .finish_non_exhaustive()
    }
}

/// Serves connections of a listener until `stop` is cancelled, then drops those that are open.
///
/// The listener may be of another network namespace: sockets keep theirs.
///
/// # Errors
/// If the listener cannot be handed to the runtime. Errors of a connection end that connection.
pub async fn serve(
    listener: std::net::TcpListener,
    resolve: Resolve,
    server: Arc<MetadataServer>,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let Some(caller) = resolve(peer) else {
                    tracing::warn!(%peer, "metadata request from an unknown caller");
                    continue;
                };
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    let _slot = slot;
                    if let Err(error) = connection::serve(stream, caller, server).await {
                        tracing::debug!(%peer, %error, "metadata connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a metadata connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type Accepted = (
    tokio::net::TcpStream,
    SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
);

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<Accepted> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

fn entropy() -> io::Result<[u8; TOKEN_ENTROPY_BYTES]> {
    let mut bytes = [0; TOKEN_ENTROPY_BYTES];
    // The kernel never cuts requests of up to 256 bytes short (getrandom(2)).
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled == bytes.len() {
        Ok(bytes)
    } else {
        Err(io::Error::other("the kernel gave too few random bytes"))
    }
}
