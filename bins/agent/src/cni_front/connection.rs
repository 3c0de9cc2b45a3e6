//! One request and one answer on an accepted socket.

use std::{
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use underlay_agent_api::{
    Answer, FrameError, HEADER_LENGTH, Request, decode, encode, frame_length,
};

/// How long a client may take to send its request, and how long to take its answer.
pub(super) const TRANSFER_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no request, or nobody to answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The peer is not root.
    #[error("refused the request of process {pid}, which runs as user {uid} and not as root")]
    NotRoot { pid: i32, uid: u32 },
    /// The request is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More came along than one descriptor.
    #[error("the request came with more than one descriptor")]
    Descriptors,
    /// The client went away, or was too slow.
    #[error("cannot {what} within {TRANSFER_DEADLINE:?}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

impl ConnectionError {
    fn on(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Refuses a peer that is not root. The socket's mode already does; this holds if it is changed.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), ConnectionError> {
    // Not rustix's: it has no way to say that the peer's process id is 0, which it is for a plugin
    // outside of the agent's process namespace.
    let peer = getsockopt(stream, PeerCredentials)
        .map_err(|errno| ConnectionError::on("learn who the client is")(errno.into()))?;
    match peer.uid() {
        0 => Ok(()),
        uid => Err(ConnectionError::NotRoot {
            pid: peer.pid(),
            uid,
        }),
    }
}

/// Reads the request and the descriptor that came with it, which is close-on-exec.
pub(super) fn receive(
    stream: &mut UnixStream,
) -> Result<(Request, Option<OwnedFd>), ConnectionError> {
    let end = Instant::now() + TRANSFER_DEADLINE;
    let mut header = [0; HEADER_LENGTH];
    let (read, fd) = receive_first(stream, &mut header)?;
    let reading = || ConnectionError::on("read the request");
    read_exact(stream, &mut header[read..], end).map_err(reading())?;
    let mut json = vec![0; frame_length(header)?];
    read_exact(stream, &mut json, end).map_err(reading())?;
    Ok((decode(&json)?, fd))
}

/// Reads the first bytes, with which the descriptor comes.
fn receive_first(
    stream: &UnixStream,
    header: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), ConnectionError> {
    let reading = ConnectionError::on("read the request");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = stream
        .set_read_timeout(Some(TRANSFER_DEADLINE))
        .and_then(|()| {
            // With a timeout the kernel does not go on by itself after a signal.
            let receive = || {
                let mut buffers = [IoSliceMut::new(header)];
                recvmsg(stream, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
            };
            Ok(rustix::io::retry_on_intr(receive)?)
        });
    let received = received.map_err(reading)?;
    let mut fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let fd = fds.pop();
    // The kernel closes descriptors that there was no space for.
    if !fds.is_empty() || received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ConnectionError::Descriptors);
    }
    Ok((received.bytes, fd))
}

fn read_exact(stream: &mut UnixStream, mut buffer: &mut [u8], end: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the client still waits for its answer.
pub(super) fn is_awaited(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    // An end that the peer has closed shows as HUP without being asked for.
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) => !fds[0].revents().contains(PollFlags::HUP),
        Err(_interrupted) => true,
    }
}

/// Writes the answer.
pub(super) fn answer(mut stream: &UnixStream, answer: &Answer) -> Result<(), ConnectionError> {
    let frame = encode(answer)?;
    let end = Instant::now() + TRANSFER_DEADLINE;
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        let written = left(end).and_then(|left| {
            stream.set_write_timeout(Some(left))?;
            stream.write(rest)
        });
        match written {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ConnectionError::on("write the answer")(error)),
        }
    }
    Ok(())
}

/// What is left until `end`; never zero, which would mean for ever.
fn left(end: Instant) -> io::Result<Duration> {
    end.checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}
