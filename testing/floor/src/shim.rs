//! The least that a plugin can do: pass the open namespace and the request on, print the answer.
//!
//! `FLOOR_SOCKET` names the daemon's socket; `CNI_COMMAND`, `CNI_CONTAINERID` and `CNI_NETNS` are
//! the runtime's. The request on the wire is `<command> <container>\n`, then standard input up to
//! the end; the answer is what is printed, empty if the daemon failed.

#![forbid(unsafe_code)]

use std::{
    env,
    fs::File,
    io::{self, IoSlice, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "underlay-floor-shim: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut config = Vec::new();
    io::stdin().lock().read_to_end(&mut config)?;
    let command = variable("CNI_COMMAND")?;
    let mut request = format!("{command} {}\n", variable("CNI_CONTAINERID")?).into_bytes();
    request.extend_from_slice(&config);
    let netns = File::open(variable("CNI_NETNS")?)?;
    let mut stream = UnixStream::connect(variable("FLOOR_SOCKET")?)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [netns.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = sendmsg(
        &stream,
        &[IoSlice::new(&request)],
        &mut control,
        SendFlags::empty(),
    )?;
    stream.write_all(&request[sent..])?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::other("the daemon failed"));
    }
    io::stdout().write_all(&answer)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
