//! Listening.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use underlay_vpc_model::Resolution;

use super::{
    message::{Reaction, react},
    upstream::{ask_tcp, ask_udp, read_message, write_message},
};

/// Questions at a time that wait for the upstream, and open connections; more are not served.
const AT_A_TIME: usize = 256;
/// The largest message over UDP.
const LARGEST: usize = 65_535;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// How long to wait after a failure, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Says what a name stands for, to whoever sent the packet with this source.
pub type Resolve = Arc<dyn Fn(SocketAddr, &str) -> Resolution + Send + Sync>;

/// What answers come from.
#[derive(Clone)]
pub struct Resolver {
    /// What the VPC of the asking interface says.
    pub resolve: Resolve,
    /// Who is asked for other names.
    pub upstream: Option<SocketAddr>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// Answers questions over UDP until `stop`. The socket may be of another network namespace.
///
/// # Errors
/// If the socket cannot be handed to the runtime.
pub async fn serve_udp(
    socket: std::net::UdpSocket,
    resolver: Resolver,
    stop: CancellationToken,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UdpSocket::from_std(socket)?);
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        while waiting.try_join_next().is_some() {}
        let (length, peer) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "receiving a DNS question");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let message = buffer.get(..length).unwrap_or_default();
        match react(message, |name| (resolver.resolve)(peer, name)) {
            Reaction::Answer(answer) => send(&socket, &answer, peer).await,
            Reaction::Silence => {}
            Reaction::Forward { failure } => {
                let slot = Arc::clone(&slots).try_acquire_owned();
                let (Some(upstream), Ok(slot)) = (resolver.upstream, slot) else {
                    send(&socket, &failure, peer).await;
                    continue;
                };
                let (socket, message) = (Arc::clone(&socket), message.to_vec());
                waiting.spawn(async move {
                    let _slot = slot;
                    let answer = ask_udp(upstream, &message).await;
                    send(&socket, &or_failure(answer, failure), peer).await;
                });
            }
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.send_to(answer, peer).await {
        tracing::debug!(%error, %peer, "a DNS answer was not sent");
    }
}

fn or_failure(answer: io::Result<Vec<u8>>, failure: Vec<u8>) -> Vec<u8> {
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "the upstream resolver did not answer");
        failure
    })
}

/// Answers questions over TCP until `stop`. The listener may be of another network namespace.
///
/// # Errors
/// If the listener cannot be handed to the runtime.
pub async fn serve_tcp(
    listener: std::net::TcpListener,
    resolver: Resolver,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Who comes when all slots are taken is turned away.
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            let resolver = resolver.clone();
            connections.spawn(async move {
                let _slot = slot;
                if let Err(error) = connection(stream, peer, &resolver).await {
                    tracing::debug!(%peer, %error, "a DNS connection ended");
                }
            });
        }
    }
}

async fn connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    resolver: &Resolver,
) -> io::Result<()> {
    loop {
        let message = timeout(IDLE, read_message(&mut stream)).await??;
        let answer = match react(&message, |name| (resolver.resolve)(peer, name)) {
            Reaction::Answer(answer) => answer,
            Reaction::Silence => return Ok(()),
            Reaction::Forward { failure } => match resolver.upstream {
                Some(upstream) => or_failure(ask_tcp(upstream, &message).await, failure),
                None => failure,
            },
        };
        timeout(IDLE, write_message(&mut stream, &answer)).await??;
    }
}
