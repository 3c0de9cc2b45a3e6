//! Who reaches whom by UDP, and with which source address.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

use crate::Netns;

/// Somebody who sends and receives.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// How tables call it.
    pub name: String,
    /// Where it is reached.
    pub address: Ipv4Addr,
    /// Where its sockets live.
    pub netns: Netns,
}

/// What the receiver saw of one probe; `None` when nothing came, or no answer.
pub type Seen = Option<SocketAddr>;

/// Rounds of sending; each repeats what was not answered.
const ROUNDS: usize = 5;
/// How long a round waits for the next answer.
const QUIET: Duration = Duration::from_millis(300);
/// The longest answer: an index, a space, and an address with a port.
const LONGEST: usize = 64;

/// Sends from each endpoint to each other on `port`; the answer at `[from][to]` is the source
/// address as the receiver saw it. An answer counts only if it comes from the address that was
/// asked. Entries from an endpoint to itself stay `None`.
///
/// # Errors
/// When a socket cannot be made.
pub async fn udp_matrix(endpoints: &[Endpoint], port: u16) -> anyhow::Result<Vec<Vec<Seen>>> {
    let mut servers = JoinSet::new();
    for endpoint in endpoints {
        let socket = bind(endpoint, endpoint.address, port)?;
        servers.spawn(serve(socket));
    }
    let targets: Vec<SocketAddr> = endpoints
        .iter()
        .map(|endpoint| (endpoint.address, port).into())
        .collect();
    let mut clients = JoinSet::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let socket = bind(endpoint, Ipv4Addr::UNSPECIFIED, 0)?;
        let targets = targets.clone();
        clients.spawn(async move { (index, ask_all(&socket, index, &targets).await) });
    }
    let mut rows = BTreeMap::new();
    while let Some(row) = clients.join_next().await {
        let (index, row) = row.context("a probe panicked")?;
        rows.insert(index, row);
    }
    Ok(rows.into_values().collect())
}

fn bind(endpoint: &Endpoint, address: Ipv4Addr, port: u16) -> anyhow::Result<UdpSocket> {
    let socket = endpoint
        .netns
        .run(|| {
            let socket = StdUdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .with_context(|| format!("opening {address}:{port} in {}", endpoint.name))?;
    UdpSocket::from_std(socket).context("handing a socket to the runtime")
}

/// Answers each request with itself and the source address it came from, until it is dropped.
async fn serve(socket: UdpSocket) {
    let mut buffer = [0; LONGEST];
    loop {
        // Errors are those of earlier answers (ICMP); the next request is not concerned.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        socket
            .send_to(format!("{request} {from}").as_bytes(), from)
            .await
            .ok();
    }
}

async fn ask_all(socket: &UdpSocket, own: usize, targets: &[SocketAddr]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = vec![None; targets.len()];
    let missing = |seen: &[Seen]| -> Vec<usize> {
        (0..targets.len())
            .filter(|&to| to != own && seen[to].is_none())
            .collect()
    };
    for _ in 0..ROUNDS {
        for to in missing(&seen) {
            // A refused or unreachable destination is one that does not answer.
            socket
                .send_to(to.to_string().as_bytes(), targets[to])
                .await
                .ok();
        }
        let mut buffer = [0; LONGEST];
        while !missing(&seen).is_empty() {
            match timeout(QUIET, socket.recv_from(&mut buffer)).await {
                Err(_) => break,
                Ok(Err(_)) => {}
                Ok(Ok((length, from))) => {
                    if let Some((to, source)) = read_answer(&buffer[..length])
                        && targets.get(to) == Some(&from)
                    {
                        seen[to] = Some(source);
                    }
                }
            }
        }
        if missing(&seen).is_empty() {
            break;
        }
    }
    seen
}

fn read_answer(answer: &[u8]) -> Option<(usize, SocketAddr)> {
    let (to, source) = std::str::from_utf8(answer).ok()?.split_once(' ')?;
    Some((to.parse().ok()?, source.parse().ok()?))
}
