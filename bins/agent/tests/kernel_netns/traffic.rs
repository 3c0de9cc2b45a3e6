//! Connections and datagrams between namespaces.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::lab::inside;

/// How long a connection may take before it counts as refused by silence.
const PATIENCE: Duration = Duration::from_millis(700);

/// A server that answers each connection with the client's address and port and then echoes.
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
    stream.write_all(&told(stream.peer_addr().ok()?)?).ok()?;
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        stream.write_all(&byte).ok()?;
    }
    Some(())
}

/// An address and a port as servers tell them.
fn told(peer: SocketAddr) -> Option<[u8; 6]> {
    let SocketAddr::V4(peer) = peer else {
        return None;
    };
    let mut told = [0; 6];
    told[..4].copy_from_slice(&peer.ip().octets());
    told[4..].copy_from_slice(&peer.port().to_be_bytes());
    Some(told)
}

fn heard([a, b, c, d, high, low]: [u8; 6]) -> SocketAddrV4 {
    SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))
}

/// The same for datagrams: each is answered with the client's address and port.
pub(crate) fn answer_datagrams(netns: &OwnedFd, address: Ipv4Addr, port: u16) {
    let socket = inside(netns, || UdpSocket::bind((address, port)).unwrap());
    thread::spawn(move || {
        let mut byte = [0];
        while let Ok((_, peer)) = socket.recv_from(&mut byte) {
            // A lost answer is the client's to notice.
            drop(told(peer).map(|told| socket.send_to(&told, peer)));
        }
    });
}

/// An established connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The client's address as the server sees it.
    pub(crate) source: Ipv4Addr,
    /// Its port as the server sees it.
    pub(crate) source_port: u16,
}

impl Connection {
    /// The port that the client itself knows.
    pub(crate) fn own_port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

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
    let mut source = [0; 6];
    stream.read_exact(&mut source).ok()?;
    let source = heard(source);
    Some(Connection {
        stream,
        source: *source.ip(),
        source_port: source.port(),
    })
}

/// The client's address as the server saw it.
pub(crate) fn source_seen(netns: &OwnedFd, to: SocketAddrV4) -> Option<Ipv4Addr> {
    connect(netns, to).map(|connection| connection.source)
}

/// The source that the server sees: the lab's end of the ENI notices its carrier a while after it has
/// come up, and loses what comes before.
pub(crate) fn seen_in_time(from: &OwnedFd, to: SocketAddrV4) -> Option<Ipv4Addr> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let seen = source_seen(from, to);
        if seen.is_some() || Instant::now() > end {
            return seen;
        }
    }
}

/// A client that sends datagrams from one port.
pub(crate) struct DatagramClient {
    socket: UdpSocket,
    /// Its address and port.
    pub(crate) own: SocketAddrV4,
}

impl DatagramClient {
    pub(crate) fn new(netns: &OwnedFd, address: Ipv4Addr) -> Self {
        let socket = inside(netns, || UdpSocket::bind((address, 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let own = SocketAddrV4::new(address, socket.local_addr().unwrap().port());
        Self { socket, own }
    }

    /// Who the server sees; `None` if it does not answer in time.
    pub(crate) fn source_seen(&self, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let exchange = || -> io::Result<[u8; 6]> {
            // Connected, so that only an answer from the address that was asked counts.
            self.socket.connect(to)?;
            self.socket.send(b"x")?;
            let mut source = [0; 6];
            self.socket.recv(&mut source)?;
            Ok(source)
        };
        exchange().ok().map(heard)
    }
}
