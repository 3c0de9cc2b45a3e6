//! Two ways of bringing a frame to the fabric: showing it to the programs, and sending it by a
//! device.

use std::{
    num::NonZeroU32,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::sys::socket::{self, LinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
    socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use underlay_fabric::{Entrance, Fabric};
use underlay_netlink::{Socket, link, netns, sysctl};
use underlay_types::{EniId, Mac};

use crate::frames;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the fabric did with a frame.
pub(crate) struct Outcome {
    /// The names of the counters that grew.
    pub(crate) counted: Vec<&'static str>,
    /// The frame that came out.
    pub(crate) out: Option<Vec<u8>>,
}

/// The devices of all interfaces, in one namespace whose kernel knows no address.
pub(crate) struct Devices {
    netns: OwnedFd,
    receiving: OwnedFd,
    outside: OwnedFd,
}

impl Devices {
    pub(crate) fn new(name: &str, outside: BorrowedFd<'_>) -> Self {
        let netns = netns::open_named(name).unwrap();
        let receiving = netns::run_in(netns.as_fd(), || {
            sysctl::write("ipv6/conf/default/disable_ipv6", "1").unwrap();
            all_frames()
        })
        .unwrap();
        let outside = netns::run_in(outside, all_frames).unwrap();
        Self {
            netns,
            receiving,
            outside,
        }
    }

    /// Sets a device up, and answers a socket that sends frames by it.
    pub(crate) fn open(&self, mac: Mac) -> OwnedFd {
        let mut kernel = Socket::open_in(self.netns.as_fd()).unwrap();
        let device = link::by_mac(&mut kernel, mac).unwrap();
        kernel.run(&[link::set_up(device.index, true)]).unwrap();
        netns::run_in(self.netns.as_fd(), || {
            let family = socket::AddressFamily::Packet;
            let protocol = SockProtocol::EthAll;
            let flags = SockFlag::SOCK_CLOEXEC;
            let sending = socket::socket(family, SockType::Raw, flags, protocol).unwrap();
            sending_by(&sending, &device.name);
            sending
        })
        .unwrap()
    }

    /// Sends a frame and waits for what becomes of it.
    pub(crate) fn send(&self, fabric: &Fabric, by: &OwnedFd, frame: &[u8]) -> Outcome {
        self.forget_received();
        let before = fabric.counters().unwrap();
        send(by, frame, SendFlags::empty()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let counted = loop {
            let counted = grown(&before, &fabric.counters().unwrap());
            // A reset is counted before what becomes of it is.
            if !counted.is_empty() && counted != ["nat-resets"] {
                break counted;
            }
            assert!(Instant::now() < deadline, "the frame was not counted");
            std::thread::yield_now();
        };
        let counts = |names: &[&str]| counted.iter().any(|name| names.contains(name));
        let out = if counts(&["delivered-to-outside"]) {
            Some(receive(&self.outside, frame))
        } else if counts(&["delivered", "too-big-answered"]) {
            Some(receive(&self.receiving, frame))
        } else {
            None
        };
        Outcome { counted, out }
    }

    fn forget_received(&self) {
        let mut buffer = [0; 1];
        for socket in [&self.receiving, &self.outside] {
            while recv(socket, &mut buffer[..], RecvFlags::DONTWAIT).is_ok() {}
        }
    }
}

/// A socket that receives the frames of all devices of the caller's namespace.
fn all_frames() -> OwnedFd {
    let all = NonZeroU32::new(u32::from(0x0003_u16.to_be())).unwrap();
    let receiving = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(Protocol::from_raw(all)),
    )
    .unwrap();
    set_socket_timeout(&receiving, Timeout::Recv, Some(PATIENCE)).unwrap();
    receiving
}

/// The next frame that is not the one that was sent, which its device shows too.
fn receive(by: &OwnedFd, sent: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 4096];
    loop {
        let (length, _) = recv(by, &mut buffer[..], RecvFlags::empty())
            .expect("a frame that was counted as delivered comes out");
        if &buffer[..length] != sent {
            return buffer[..length].to_vec();
        }
    }
}

fn sending_by(socket: &OwnedFd, device: &str) {
    let mut all = nix::ifaddrs::getifaddrs().unwrap();
    let address = all.find_map(|entry| {
        let address: LinkAddr = *entry
            .address
            .filter(|_| entry.interface_name == device)?
            .as_link_addr()?;
        Some(address)
    });
    let address = address.unwrap();
    assert!(address.len() > 0, "{device} has an address");
    socket::bind(socket.as_raw_fd(), &address).unwrap();
}

/// Shows a frame to the programs.
pub(crate) fn show(fabric: &Fabric, entrance: Entrance<'_>, frame: &[u8]) -> Outcome {
    let before = fabric.counters().unwrap();
    let out = fabric.show(entrance, frame).unwrap();
    let counted = grown(&before, &fabric.counters().unwrap());
    Outcome { counted, out }
}

fn grown(before: &[(&'static str, u64)], now: &[(&'static str, u64)]) -> Vec<&'static str> {
    let pairs = now.iter().zip(before);
    let grown = pairs.filter(|(now, before)| now.1 != before.1);
    grown.map(|(now, _)| now.0).collect()
}

/// Where a packet begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At an interface.
    Eni(EniId),
    /// On the internet.
    Outside,
}

/// A frame as read.
pub(crate) fn seen(outcome: &Outcome) -> Option<frames::Seen> {
    outcome.out.as_deref().map(frames::read)
}
