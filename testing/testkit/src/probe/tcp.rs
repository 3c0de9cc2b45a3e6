//! Whether a TCP connection is allowed, refused or broken.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use crate::{Netns, Pod};

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver answered; with the source address it saw.
    Allowed(SocketAddr),
    /// Nothing came back: what a security group does.
    Refused,
    /// Something else, such as a reset or an unreachable: no security group does this.
    Broken(String),
}

impl Verdict {
    /// Whether the receiver answered, and saw this source address.
    #[must_use]
    pub fn shows(&self, source: impl Into<IpAddr>) -> bool {
        matches!(self, Self::Allowed(seen) if seen.ip() == source.into())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(source) => write!(f, "allowed (seen as {source})"),
            Self::Refused => f.write_str("refused"),
            Self::Broken(how) => write!(f, "broken: {how}"),
        }
    }
}

/// A server inside a namespace: tells each client the address it saw, then echoes lines. Ends when
/// it is dropped.
#[derive(Debug)]
pub struct TcpServer {
    task: AbortHandle,
    /// Where it listens.
    pub address: SocketAddr,
}

impl TcpServer {
    /// Listens on `port` of every address of the namespace: of IPv4, or where `address` is one of
    /// IPv6, of both families.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(netns: &Netns, address: impl Into<IpAddr>, port: u16) -> anyhow::Result<Self> {
        let address = address.into();
        let everywhere = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = netns.run(|| {
            let socket = socket_for(address)?;
            socket.set_reuseaddr(true)?;
            socket.bind((everywhere, port).into())?;
            Ok(socket)
        })?;
        let listener = socket.listen(64).context("listening")?;
        let task = tokio::spawn(accept(listener)).abort_handle();
        Ok(Self {
            task,
            address: (address, port).into(),
        })
    }

    /// Whether a connection from a pod comes here with the pod's own IPv4 address.
    ///
    /// # Errors
    /// When it does not: what became of it.
    pub async fn reached_by(&self, pod: &Pod, wait: Duration) -> anyhow::Result<()> {
        let verdict = tcp_probe(pod.netns()?, self.address, wait).await;
        let (pod, own, to) = (&pod.name, pod.address, self.address);
        anyhow::ensure!(verdict.shows(own), "{pod} with {own} to {to}: {verdict}");
        Ok(())
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    let mut clients = JoinSet::new();
    loop {
        // A client that gave up before it was accepted is no reason to end.
        if let Ok((stream, from)) = listener.accept().await {
            clients.spawn(echo(stream, from));
        }
    }
}

async fn echo(stream: TcpStream, from: SocketAddr) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{from}\n").as_bytes()).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        write.write_all(format!("{line}\n").as_bytes()).await?;
    }
    Ok(())
}

/// An established connection to a [`TcpServer`].
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// The source address as the server saw it.
    pub seen: SocketAddr,
}

impl Connection {
    /// Connects from `netns` to `to`.
    ///
    /// # Errors
    /// The verdict, when it is not allowed.
    pub async fn open(netns: &Netns, to: SocketAddr, wait: Duration) -> Result<Self, Verdict> {
        let broken = |error: anyhow::Error| Verdict::Broken(format!("{error:#}"));
        let socket = netns.run(|| Ok(socket_for(to.ip())?)).map_err(broken)?;
        let stream = match timeout(wait, socket.connect(to)).await {
            Err(_) => return Err(Verdict::Refused),
            Ok(Err(error)) => return Err(Verdict::Broken(error.to_string())),
            Ok(Ok(stream)) => stream,
        };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let seen = match timeout(wait, stream.read_line(&mut line)).await {
            Err(_) => return Err(Verdict::Broken("connected, but no data came".to_owned())),
            Ok(Err(error)) => return Err(Verdict::Broken(error.to_string())),
            Ok(Ok(_)) => line.trim().parse(),
        };
        match seen {
            Ok(seen) => Ok(Self { stream, seen }),
            Err(_) => Err(Verdict::Broken(format!(
                "connected, but to somebody else: {line:?}"
            ))),
        }
    }

    /// Whether data still goes there and back.
    pub async fn works(&mut self, wait: Duration) -> bool {
        let exchange = async {
            self.stream.get_mut().write_all(b"ping\n").await?;
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            std::io::Result::Ok(line == "ping\n")
        };
        matches!(timeout(wait, exchange).await, Ok(Ok(true)))
    }
}

fn socket_for(address: IpAddr) -> std::io::Result<TcpSocket> {
    match address {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
}

/// Tries one connection. `wait` is how long silence must last to count as refused.
pub async fn tcp_probe(from: &Netns, to: SocketAddr, wait: Duration) -> Verdict {
    match Connection::open(from, to, wait).await {
        Ok(connection) => Verdict::Allowed(connection.seen),
        Err(verdict) => verdict,
    }
}
