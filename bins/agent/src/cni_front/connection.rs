//! One request and one answer on an accepted socket.

use std::{
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send,
};
use underlay_agent_api::{
    Answer, FrameError, HEADER_LENGTH, Request, decode, encode, frame_length,
};

use crate::waiting::while_waiting;

/// How long a client may take to send its request, and how long to take its answer.
pub(super) const TRANSFER_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes that are read at first: most requests are shorter, and read at once.
const FIRST_READ: usize = 8 << 10;

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
    let mut frame = vec![0; FIRST_READ];
    let (read, fd) = receive_first(stream, &mut frame)?;
    frame.truncate(read);
    read_at_least(HEADER_LENGTH, &mut frame, stream, end)?;
    let header = frame.first_chunk().copied().unwrap_or_default();
    let length = HEADER_LENGTH + frame_length(header)?;
    read_at_least(length, &mut frame, stream, end)?;
    // Whatever comes after the frame is nobody's.
    Ok((decode(&frame[HEADER_LENGTH..length])?, fd))
}

/// Reads the first bytes, with which the descriptor comes.
fn receive_first(
    stream: &UnixStream,
    buffer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), ConnectionError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut receive = |flags| {
        // With a timeout the kernel does not go on by itself after a signal.
        rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(buffer)];
            recvmsg(stream, &mut buffers, &mut control, flags)
        })
    };
    let received = match receive(RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN) => stream
            .set_read_timeout(Some(TRANSFER_DEADLINE))
            .and_then(|()| Ok(while_waiting(|| receive(RecvFlags::CMSG_CLOEXEC))?)),
        at_once => at_once.map_err(io::Error::from),
    };
    let received = received.map_err(ConnectionError::on("read the request"))?;
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

/// Reads what `frame` lacks of this length.
fn read_at_least(
    length: usize,
    frame: &mut Vec<u8>,
    stream: &mut UnixStream,
    end: Instant,
) -> Result<(), ConnectionError> {
    let known = frame.len();
    frame.resize(length.max(known), 0);
    read_exact(stream, &mut frame[known..], end).map_err(ConnectionError::on("read the request"))
}

fn read_exact(stream: &mut UnixStream, mut buffer: &mut [u8], end: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(end)?))?;
        match while_waiting(|| stream.read(buffer)) {
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
    let writing = || ConnectionError::on("write the answer");
    // Most answers fit the socket's buffer whole.
    let at_once = send(stream, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let mut rest = match at_once {
        Ok(sent) => &frame[sent..],
        Err(Errno::AGAIN | Errno::INTR) => frame.as_slice(),
        Err(errno) => return Err(writing()(errno.into())),
    };
    let end = Instant::now() + TRANSFER_DEADLINE;
    while !rest.is_empty() {
        let written = left(end).and_then(|left| {
            stream.set_write_timeout(Some(left))?;
            while_waiting(|| stream.write(rest))
        });
        match written {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(writing()(error)),
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
