//! What the kernel may send, crafted: a kernel that is disturbed in a dump at will there is not.

use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::*;

const NEW: u16 = 16;
const GET: u16 = 18;
const NLM_F_MULTI: u16 = 2;

/// A socket whose kernel answers each request with the next of `answers`: messages as kind, flags
/// and payload.
fn socket(answers: Vec<Vec<(u16, u16, i32)>>) -> (Socket, JoinHandle<usize>) {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (fd, kernel) = net::socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    let answering = thread::spawn(move || {
        let mut asked = 0;
        let mut request = [0; 256];
        for answer in answers {
            let (_, length) = net::recv(&kernel, &mut request[..], RecvFlags::empty()).unwrap();
            if length == 0 {
                break;
            }
            asked += 1;
            let sequence = dump::messages(&request[..length]).next().unwrap().sequence;
            for (kind, flags, payload) in answer {
                let message = Message::new(kind, flags | NLM_F_MULTI, &payload.to_ne_bytes());
                net::send(&kernel, &message.finish(sequence), SendFlags::empty()).unwrap();
            }
        }
        asked
    });
    let socket = Socket {
        fd,
        sequence: 0,
        buffer: vec![0; ANSWER],
    };
    (socket, answering)
}

fn numbers(socket: &mut Socket) -> Result<Vec<u32>, KernelError> {
    let request = Message::new(GET, 0, &[0; 4]);
    socket.dump("things", &request, |payload| dump::u32_at(payload, 0))
}

#[test]
fn a_disturbed_dump_is_asked_for_again_and_what_it_said_is_forgotten() {
    let (mut socket, kernel) = socket(vec![
        vec![(NEW, 0, 1), (NEW, NLM_F_DUMP_INTR, 2), (NLMSG_DONE, 0, 0)],
        // The mark may be at the end alone.
        vec![(NEW, 0, 3), (NLMSG_DONE, NLM_F_DUMP_INTR, 0)],
        vec![(NEW, 0, 4), (NEW, 0, 5), (NLMSG_DONE, 0, 0)],
    ]);
    assert_eq!(numbers(&mut socket).unwrap(), [4, 5]);
    drop(socket);
    assert_eq!(kernel.join().unwrap(), 3);
}

#[test]
fn a_dump_that_is_always_disturbed_fails_and_does_not_go_on_for_ever() {
    let disturbed = vec![(NEW, 0, 1), (NLMSG_DONE, NLM_F_DUMP_INTR, 0)];
    let (mut socket, kernel) = socket(vec![disturbed; DUMP_TRIES + 1]);
    let error = numbers(&mut socket).unwrap_err();
    assert_eq!((error.op, error.errno), ("dump", Errno::INTR));
    drop(socket);
    assert_eq!(kernel.join().unwrap(), DUMP_TRIES);
}

#[test]
fn a_dump_that_the_kernel_breaks_off_is_no_whole_one() {
    let gone = Errno::NOENT.raw_os_error();
    let (mut socket, kernel) = socket(vec![vec![(NEW, 0, 1), (NLMSG_DONE, 0, -gone)]]);
    let error = numbers(&mut socket).unwrap_err();
    assert_eq!(error.errno, Errno::NOENT);
    drop(socket);
    assert_eq!(kernel.join().unwrap(), 1);
}
