//! One request to the agent and its answer.

use std::{
    fs::File,
    io::{self, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
        SocketFlags, SocketType, sendmsg, sockopt,
    },
};
use underlay_agent_api::{
    ADD_DEADLINE, Answer, DEL_DEADLINE, FrameError, HEADER_LENGTH, QUERY_DEADLINE, SOCKET_FILE,
    decode, encode, frame_length,
};
use underlay_cni_spec::Command;

use crate::{away::CallError, invocation::Invocation};

/// Asks the agent; passes `netns` along. One connection, one deadline for all of it.
pub(crate) fn agent(invocation: &Invocation, netns: Option<&File>) -> Result<Answer, CallError> {
    let frame = encode(&invocation.request).map_err(CallError::Request)?;
    let clock = Clock::start(match invocation.command {
        Command::Add => ADD_DEADLINE,
        Command::Del | Command::Gc => DEL_DEADLINE,
        Command::Check | Command::Status | Command::Version => QUERY_DEADLINE,
    });
    let path = invocation.run_dir.join(SOCKET_FILE);
    let mut stream = connect(&path, &clock).map_err(|error| CallError::Connect(path, error))?;
    // An agent that refuses the request may answer and close without reading all of it: the answer
    // says more than the broken pipe does.
    let sent = send(&mut stream, &frame, netns, &clock);
    receive(&mut stream, &clock).map_err(|error| match (error, sent) {
        (Received::Io(_), Err(error)) | (Received::Io(error), Ok(())) => clock.lost(error),
        (Received::Frame(error), _) => CallError::Answer(error),
    })
}

/// The deadline of one call.
struct Clock {
    start: Instant,
    limit: Duration,
}

impl Clock {
    fn start(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
        }
    }

    /// What is left, for a socket's timeout; never zero, which would mean for ever.
    fn left(&self) -> io::Result<Duration> {
        self.limit
            .checked_sub(self.start.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    fn lost(&self, error: io::Error) -> CallError {
        match error.kind() {
            // A socket's timeout shows as EAGAIN.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Late(self.limit),
            _ => CallError::Lost(error),
        }
    }
}

fn connect(path: &Path, clock: &Clock) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // Also bounds the wait for a place in the agent's backlog.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(clock.left()?))?;
    retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(UnixStream::from(socket))
}

/// Sends `frame`; the descriptor travels with its first bytes.
fn send(
    stream: &mut UnixStream,
    frame: &[u8],
    netns: Option<&File>,
    clock: &Clock,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = netns.map(|netns| [netns.as_fd()]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    // The bytes do not go out with a broken pipe's signal: Rust programs ignore SIGPIPE.
    let sent = retry_on_intr(|| {
        sendmsg(
            &*stream,
            &[IoSlice::new(frame)],
            &mut control,
            SendFlags::empty(),
        )
    })?;
    stream.set_write_timeout(Some(clock.left()?))?;
    stream.write_all(&frame[sent..])
}

enum Received {
    Io(io::Error),
    Frame(FrameError),
}

fn receive(stream: &mut UnixStream, clock: &Clock) -> Result<Answer, Received> {
    let mut header = [0; HEADER_LENGTH];
    read_exact(stream, &mut header, clock).map_err(Received::Io)?;
    let mut json = vec![0; frame_length(header).map_err(Received::Frame)?];
    read_exact(stream, &mut json, clock).map_err(Received::Io)?;
    decode(&json).map_err(Received::Frame)
}

fn read_exact(stream: &mut UnixStream, mut buffer: &mut [u8], clock: &Clock) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(clock.left()?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
