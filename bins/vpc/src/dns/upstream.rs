//! Asking a resolver outside.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How long the other resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 65_535;

/// Asks `upstream` over UDP, with a message as it came.
pub(super) async fn ask_udp(upstream: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let asked = async {
        let any = match upstream {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(upstream).await?;
        socket.send(message).await?;
        let mut answer = vec![0; LARGEST];
        loop {
            let length = socket.recv(&mut answer).await?;
            // Another id is somebody's guess.
            if answer.get(..2) == message.get(..2) {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    };
    timeout(PATIENCE, asked).await?
}

/// Asks `upstream` over TCP, with a message as it came.
pub(super) async fn ask_tcp(upstream: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let asked = async {
        let mut stream = TcpStream::connect(upstream).await?;
        write_message(&mut stream, message).await?;
        read_message(&mut stream).await
    };
    timeout(PATIENCE, asked).await?
}

/// Reads a message with its length before it (RFC 1035 4.2.2).
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message with its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await
}
