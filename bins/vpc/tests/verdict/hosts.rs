//! Instances that send and receive raw packets. Their kernels know no address, so that they
//! neither answer nor care.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use underlay_netlink::netns;

use crate::packets;

/// A gateway that is never asked for: its neighbour entry is permanent.
const GATEWAY: &str = "169.254.1.1";
const ETH_P_IP: u16 = 0x0800;

/// A namespace; removed when dropped.
pub(crate) struct Host {
    name: String,
    sending: Option<OwnedFd>,
    receiving: Option<OwnedFd>,
}

impl Host {
    pub(crate) fn new(name: String) -> Self {
        let namespace = netns::create_named(&name).unwrap();
        netns::run_in(namespace.as_fd(), || {
            std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        })
        .unwrap();
        Self {
            name,
            sending: None,
            receiving: None,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new(netns::DIRECTORY).join(&self.name)
    }

    /// Makes `device` the way out, and opens the sockets.
    pub(crate) fn use_device(&mut self, device: &str) {
        let name = &self.name;
        for arguments in [
            format!("-n {name} link set lo up"),
            format!("-n {name} link set {device} up"),
            format!(
                "-n {name} neigh add {GATEWAY} lladdr 02:00:00:00:00:fe dev {device} nud permanent"
            ),
            format!("-n {name} route add default via {GATEWAY} dev {device} onlink"),
        ] {
            let output = Command::new("ip")
                .args(arguments.split(' '))
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ip {arguments}: {error}");
        }
        let namespace = netns::open_named(name).unwrap();
        let (sending, receiving) = netns::run_in(namespace.as_fd(), || {
            let frames = NonZeroU32::new(u32::from(ETH_P_IP.to_be())).unwrap();
            (
                open(AddressFamily::INET, SocketType::RAW, ipproto::RAW),
                open(
                    AddressFamily::PACKET,
                    SocketType::DGRAM,
                    Protocol::from_raw(frames),
                ),
            )
        })
        .unwrap();
        set_socket_timeout(&receiving, Timeout::Recv, Some(Duration::from_secs(5))).unwrap();
        self.sending = Some(sending);
        self.receiving = Some(receiving);
    }

    pub(crate) fn send(&self, bytes: &[u8], destination: IpAddr) {
        let socket = self.sending.as_ref().unwrap();
        let to = SocketAddr::new(destination, 0);
        sendto(socket, bytes, SendFlags::empty(), &to).unwrap();
    }

    /// Waits for the packet with this id; `false` if it does not come.
    pub(crate) fn receives(&self, id: u16) -> bool {
        let socket = self.receiving.as_ref().unwrap();
        let mut buffer = [0; 2048];
        loop {
            let Ok((length, _)) = recv(socket, &mut buffer[..], RecvFlags::empty()) else {
                return false;
            };
            if packets::id_of(&buffer[..length]) == Some(id) {
                return true;
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        netns::remove_named(&self.name).unwrap();
    }
}

fn open(family: AddressFamily, kind: SocketType, protocol: Protocol) -> OwnedFd {
    socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol)).unwrap()
}
