//! Connections between namespaces.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::lab::inside;

/// How long a connection may take before it counts as refused by silence.
const PATIENCE: Duration = Duration::from_millis(700);

/// A server that answers each connection with the client's address and then echoes.
pub(crate) struct Server {
    pub(crate) address: SocketAddrV4,
}

impl Server {
    /// Listens in `netns`; serves until the test ends.
    pub(crate) fn start(netns: &OwnedFd, address: Ipv4Addr, port: u16) -> Self {
        let address = SocketAddrV4::new(address, port);
        let listener = inside(netns, || TcpListener::bind(address).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let SocketAddr::V4(peer) = stream.peer_addr().ok()? else {
        return None;
    };
    stream.write_all(&peer.ip().octets()).ok()?;
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        stream.write_all(&byte).ok()?;
    }
    Some(())
}

/// An established connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The client's address as the server sees it.
    pub(crate) source: Ipv4Addr,
}

impl Connection {
    /// Whether a byte still comes back.
    pub(crate) fn is_alive(&mut self) -> bool {
        let mut byte = [0];
        self.stream.write_all(b"x").is_ok() && self.stream.read_exact(&mut byte).is_ok()
    }
}

/// Connects from `netns`; `None` if nobody answers in time. A refusal by RST or ICMP is broken.
pub(crate) fn connect(netns: &OwnedFd, to: SocketAddrV4) -> Option<Connection> {
    let (answer, answered) = mpsc::channel();
    inside(netns, || {
        let connected = TcpStream::connect_timeout(&SocketAddr::V4(to), PATIENCE);
        answer.send(connected).unwrap();
    });
    let mut stream = match answered.recv().unwrap() {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::TimedOut => return None,
        Err(error) => panic!("connecting to {to}: {error}, which is not silence"),
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut source = [0; 4];
    stream.read_exact(&mut source).ok()?;
    Some(Connection {
        stream,
        source: source.into(),
    })
}

/// The client's address as the server saw it.
pub(crate) fn source_seen(netns: &OwnedFd, to: SocketAddrV4) -> Option<Ipv4Addr> {
    connect(netns, to).map(|connection| connection.source)
}
