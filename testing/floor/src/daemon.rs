//! The least that an agent can do for a pod: the same kernel objects as the real one (a veth pair
//! born in both namespaces, the pod's address, routes and neighbour, the node's two routes and one
//! map element), with an address that is counted up, and no allocator, journal or log.
//!
//! `underlay-floor <socket>` serves one request at a time until it is killed, in the network
//! namespace it was started in.

#![forbid(unsafe_code)]

mod pods;

use std::{
    env,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
};

use anyhow::Context as _;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use self::pods::Pods;

fn main() -> anyhow::Result<()> {
    let socket = env::args()
        .nth(1)
        .context("usage: underlay-floor <socket>")?;
    let mut pods = Pods::prepare()?;
    let listener = UnixListener::bind(&socket).with_context(|| format!("binding {socket}"))?;
    for stream in listener.incoming() {
        let mut stream = stream.context("accepting")?;
        match serve(&mut stream, &mut pods) {
            Ok(answer) => stream.write_all(answer.as_bytes()).context("answering")?,
            Err(error) => writeln!(std::io::stderr(), "underlay-floor: {error:#}")?,
        }
        drop(stream);
        pods.reap_sometimes();
    }
    Ok(())
}

fn serve(stream: &mut UnixStream, pods: &mut Pods) -> anyhow::Result<String> {
    let (request, netns) = receive(stream)?;
    let line = request.lines().next().unwrap_or_default();
    match line.split_once(' ') {
        Some(("ADD", container)) => pods.add(container, netns.context("ADD without a namespace")?),
        Some(("DEL", container)) => pods.delete(container),
        _ => anyhow::bail!("unknown request {line:?}"),
    }
}

fn receive(stream: &mut UnixStream) -> anyhow::Result<(String, Option<OwnedFd>)> {
    let mut first = [0; 16 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut first)];
    let received = recvmsg(&*stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        .context("receiving")?;
    let netns = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let mut request = first[..received.bytes].to_vec();
    stream.read_to_end(&mut request).context("reading")?;
    Ok((String::from_utf8(request).context("not text")?, netns))
}
