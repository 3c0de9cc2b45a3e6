//! Sockets of instances: what a program inside sees of the fabric.

use std::{
    io::{ErrorKind, Read, Write},
    net::{
        IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::world::Instance;

const PATIENCE: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(10);

/// How an attempt to talk ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer came.
    Answered,
    /// Nothing came back: dropped on the way.
    Silence,
    /// The other end, or a router, said no.
    Refused(ErrorKind),
}

/// An echo server for UDP and TCP on `port`, until the test ends.
pub(crate) fn serve(instance: &Instance, port: u16) {
    let (udp, tcp) = instance.run(|| {
        // Of both families.
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        (
            UdpSocket::bind(any).unwrap(),
            TcpListener::bind(any).unwrap(),
        )
    });
    // Both threads hold nothing but their socket; they end with the process.
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&buffer[..length], from).ok();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 17];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

pub(crate) fn udp(instance: &Instance, to: (IpAddr, u16)) -> Outcome {
    udp_from(instance, (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), to, 32)
}

/// Sends one datagram of `size` bytes and waits for its echo.
pub(crate) fn udp_from(
    instance: &Instance,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    size: usize,
) -> Outcome {
    let socket = instance.run(|| UdpSocket::bind(from).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(to).unwrap();
    let data = vec![7; size];
    let mut answer = vec![0; 65_536];
    match socket.send(&data).and_then(|_| socket.recv(&mut answer)) {
        Ok(length) => {
            assert_eq!(&answer[..length], &data[..], "the echo is what was sent");
            Outcome::Answered
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Outcome::Silence,
        Err(error) => Outcome::Refused(error.kind()),
    }
}

pub(crate) fn tcp(instance: &Instance, to: (IpAddr, u16)) -> Outcome {
    match connect(instance, to) {
        Ok(mut stream) => say(&mut stream),
        Err(outcome) => outcome,
    }
}

pub(crate) fn connect(instance: &Instance, to: (IpAddr, u16)) -> Result<TcpStream, Outcome> {
    let stream = instance.run(|| TcpStream::connect_timeout(&SocketAddr::from(to), PATIENCE));
    match stream {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Ok(stream)
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(Outcome::Silence),
        Err(error) => Err(Outcome::Refused(error.kind())),
    }
}

/// Sends a word and waits for its echo.
pub(crate) fn say(stream: &mut TcpStream) -> Outcome {
    let mut answer = [0; 4];
    match stream
        .write_all(b"word")
        .and_then(|()| stream.read_exact(&mut answer))
    {
        Ok(()) => {
            assert_eq!(&answer, b"word");
            Outcome::Answered
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Outcome::Silence,
        Err(error) => Outcome::Refused(error.kind()),
    }
}

/// Sends `megabytes` through an echo server and back, checking every byte.
pub(crate) fn bulk(instance: &Instance, to: (IpAddr, u16), megabytes: usize) {
    let mut stream = connect(instance, to).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let data: Vec<u8> = (0..1 << 20)
        .map(|i: u32| i.to_le_bytes()[usize::from(i.is_multiple_of(3))])
        .collect();
    let writer: JoinHandle<()> = {
        let (mut stream, data) = (stream.try_clone().unwrap(), data.clone());
        thread::spawn(move || (0..megabytes).for_each(|_| stream.write_all(&data).unwrap()))
    };
    let mut answer = vec![0; data.len()];
    for _ in 0..megabytes {
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == data, "bytes arrive as they were sent");
    }
    writer.join().unwrap();
}
