//! A netlink socket: requests with acknowledgement, and dumps.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        sockopt::{Timeout, set_socket_timeout},
    },
};

use crate::{
    KernelError, Request,
    dump::{self, Received},
    message::{HEADER_LEN, Message, NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO},
    sys,
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NETLINK_EXT_ACK: i32 = 11;
const NETLINK_GET_STRICT_CHK: i32 = 12;
const SOL_NETLINK: i32 = 270;
const SO_NETNS_COOKIE: i32 = 71;

/// Room for answers: one object, or a refusal with the request that it is about.
const ANSWER: usize = 8 * 1024;
/// Room for dumps: the kernel never makes their datagrams larger than 32 KiB.
const DUMP: usize = 64 * 1024;
/// Replies come before the request returns; this only ends a wait for one that was lost.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);
/// A dump that keeps being disturbed by others' changes is tried this many times.
const DUMP_TRIES: usize = 64;
/// Requests in one datagram; the refusals of so many fit the receive buffer.
const BATCH: usize = 64;

/// A netlink socket in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The kernel's answer to one message.
pub(crate) type Answer = Result<(), (Errno, String)>;

impl Socket {
    /// Opens a socket for links, addresses, routes, rules and neighbours in the calling thread's
    /// namespace.
    ///
    /// # Errors
    /// When the process has no descriptors left, or the namespace no memory.
    pub fn open() -> Result<Self, KernelError> {
        Self::open_protocol(None, "rtnetlink")
    }

    pub(crate) fn open_netfilter() -> Result<Self, KernelError> {
        Self::open_protocol(Some(netlink::NETFILTER), "nfnetlink")
    }

    fn open_protocol(protocol: Option<Protocol>, name: &'static str) -> Result<Self, KernelError> {
        let open = || {
            let fd = net::socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                protocol,
            )?;
            sys::set_option(fd.as_fd(), SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
            if protocol.is_none() {
                sys::set_option(fd.as_fd(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)?;
            }
            set_socket_timeout(&fd, Timeout::Recv, Some(REPLY_DEADLINE))?;
            net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
            Ok(fd)
        };
        let fd = open().map_err(KernelError::on("open socket", name))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: Vec::new(),
        })
    }

    /// The socket's descriptor.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The cookie of the socket's namespace: unique until the machine restarts, never reused.
    ///
    /// # Errors
    /// On kernels before 5.14.
    pub fn netns_cookie(&self) -> Result<u64, KernelError> {
        sys::option_u64(self.fd.as_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE)
            .map_err(KernelError::on("read", "SO_NETNS_COOKIE"))
    }

    /// Carries out `requests` in order, each whether or not an earlier one failed.
    ///
    /// # Errors
    /// The first refusal that its request does not tolerate.
    pub fn run(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        self.run_each(requests).into_iter().collect()
    }

    /// Carries out `requests` in order and answers for each of them.
    pub fn run_each(&mut self, requests: &[Request]) -> Vec<Result<(), KernelError>> {
        requests
            .chunks(BATCH)
            .flat_map(|chunk| self.run_chunk(chunk))
            .collect()
    }

    fn run_chunk(&mut self, requests: &[Request]) -> Vec<Result<(), KernelError>> {
        let messages = requests.iter().map(|request| request.message.clone());
        match self.exchange(messages.collect()) {
            Ok(answers) => requests
                .iter()
                .zip(answers)
                .map(|(request, answer)| settle(request, answer))
                .collect(),
            Err(errno) => requests
                .iter()
                .map(|request| Err(KernelError::new(request.op, &request.object, errno)))
                .collect(),
        }
    }

    /// Sends `messages` and returns the kernel's answers. The kernel takes them in order and says
    /// what it refuses unasked, so that the last acknowledgement is enough.
    fn exchange(&mut self, mut messages: Vec<Message>) -> Result<Vec<Answer>, Errno> {
        let count = messages.len();
        if let Some(last) = messages.pop() {
            messages.push(last.with_flags(NLM_F_ACK));
        }
        let first = self.send(messages.into_iter())?;
        let answers = self
            .answers(first, count, None)
            .map_err(|(errno, _)| errno)?;
        Ok(answers)
    }

    /// Sends a transaction of nfnetlink: a begin, messages of which the last asks for
    /// acknowledgement, an end. A refusal of the whole is answered to the begin.
    pub(crate) fn transact(&mut self, batch: Vec<Message>) -> Result<Vec<Answer>, (Errno, String)> {
        let count = batch.len().saturating_sub(2);
        let begin = self
            .send(batch.into_iter())
            .map_err(|errno| (errno, String::new()))?;
        self.answers(begin.wrapping_add(1), count, Some(begin))
    }

    /// Sends messages in one datagram and returns the sequence number of the first.
    fn send(&mut self, messages: impl Iterator<Item = Message>) -> Result<u32, Errno> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(1024);
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend_from_slice(&message.finish(self.sequence));
        }
        self.make_room(ANSWER.max(2 * bytes.len()));
        net::send(&self.fd, &bytes, SendFlags::empty())?;
        Ok(first)
    }

    /// Reads the answers to the `count` sequence numbers from `first` on, of which the last is the
    /// last to be answered; an error for `whole` ends it.
    fn answers(
        &mut self,
        first: u32,
        count: usize,
        whole: Option<u32>,
    ) -> Result<Vec<Answer>, (Errno, String)> {
        let mut answers: Vec<Answer> = vec![Ok(()); count];
        let mut complete = count == 0;
        while !complete {
            let length = self.receive().map_err(|errno| (errno, String::new()))?;
            for received in dump::messages(&self.buffer[..length]) {
                if received.kind != NLMSG_ERROR {
                    continue;
                }
                if Some(received.sequence) == whole {
                    answer_of(received)?;
                }
                let index = usize::try_from(received.sequence.wrapping_sub(first));
                let index = index.ok().filter(|index| *index < count);
                if let Some(index) = index {
                    answers[index] = answer_of(received);
                    complete = index + 1 == count;
                }
            }
        }
        Ok(answers)
    }

    /// Asks for a dump and returns what `parse` makes of its messages; repeats the dump when the
    /// kernel says that it was disturbed.
    pub(crate) fn dump<T>(
        &mut self,
        op: &'static str,
        request: &Message,
        mut parse: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            let complete = self
                .dump_once(request.clone(), |payload| found.extend(parse(payload)))
                .map_err(|(errno, message)| KernelError {
                    message,
                    ..KernelError::new("dump", op, errno)
                })?;
            if complete {
                return Ok(found);
            }
        }
        Err(KernelError::new("dump", op, Errno::INTR))
    }

    /// One dump; false if its content is inconsistent and it must be repeated.
    fn dump_once(
        &mut self,
        request: Message,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, (Errno, String)> {
        let plain = |errno| (errno, String::new());
        let request = std::iter::once(request.with_flags(NLM_F_DUMP));
        self.make_room(DUMP);
        let sequence = self.send(request).map_err(plain)?;
        let mut complete = true;
        loop {
            let length = self.receive().map_err(plain)?;
            for received in dump::messages(&self.buffer[..length]) {
                if received.sequence != sequence {
                    continue;
                }
                complete &= received.flags & NLM_F_DUMP_INTR == 0;
                match received.kind {
                    // It ends with an errno when the kernel could not go on.
                    NLMSG_DONE => return answer_of(received).map(|()| complete),
                    NLMSG_ERROR => answer_of(received)?,
                    _ => take(received.payload),
                }
            }
        }
    }

    /// Asks for one object.
    pub(crate) fn query<T>(
        &mut self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, KernelError> {
        let fail = |errno| KernelError::new(request.op, &request.object, errno);
        let sequence = self
            .send(std::iter::once(request.message.clone()))
            .map_err(fail)?;
        loop {
            let length = self.receive().map_err(fail)?;
            for received in dump::messages(&self.buffer[..length]) {
                if received.sequence != sequence {
                    continue;
                }
                if received.kind == NLMSG_ERROR {
                    settle(request, answer_of(received))?;
                    return Err(fail(Errno::PROTO));
                }
                return parse(received.payload).ok_or_else(|| fail(Errno::PROTO));
            }
        }
    }

    /// Carries out one request and returns what `parse` makes of the object as it then is, if the
    /// kernel shows it.
    pub(crate) fn run_echoed<T>(
        &mut self,
        request: &Request,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, KernelError> {
        let fail = |errno| KernelError::new(request.op, &request.object, errno);
        let message = request.message.clone().with_flags(NLM_F_ACK | NLM_F_ECHO);
        let sequence = self.send(std::iter::once(message)).map_err(fail)?;
        let mut shown = None;
        loop {
            let length = self.receive().map_err(fail)?;
            for received in dump::messages(&self.buffer[..length]) {
                if received.sequence != sequence {
                    continue;
                }
                if received.kind == NLMSG_ERROR {
                    settle(request, answer_of(received))?;
                    return Ok(shown);
                }
                shown = parse(received.payload);
            }
        }
    }

    /// Most sockets live for one pod and see no dump: memory is taken as answers need it.
    fn make_room(&mut self, size: usize) {
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        loop {
            match net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((_, length)) if length > self.buffer.len() => return Err(Errno::MSGSIZE),
                Ok((_, length)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The kernel's answer as the request judges it.
fn settle(request: &Request, answer: Answer) -> Result<(), KernelError> {
    match answer {
        Err((errno, message)) if !request.tolerated.contains(&errno) => Err(KernelError {
            message,
            ..KernelError::new(request.op, &request.object, errno)
        }),
        _ => Ok(()),
    }
}

/// Reads an NLMSG_ERROR: a negative errno, the request's header (and the rest of the request
/// unless capped), then attributes.
fn answer_of(received: Received<'_>) -> Answer {
    let code = dump::u32_at(received.payload, 0).map_or(0, u32::cast_signed);
    if code == 0 {
        return Ok(());
    }
    let echoed = if received.flags & NLM_F_CAPPED == 0 {
        dump::u32_at(received.payload, 4).and_then(|length| usize::try_from(length).ok())
    } else {
        Some(HEADER_LEN)
    };
    let attributes = echoed
        .and_then(|length| received.payload.get(4 + length.next_multiple_of(4)..))
        .unwrap_or(&[]);
    let message = dump::attributes(attributes)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, payload)| dump::text(payload))
        .unwrap_or_default();
    Err((Errno::from_raw_os_error(-code), message))
}

#[cfg(test)]
mod tests;
