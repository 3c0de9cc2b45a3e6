//! A service, a node, and a pod behind the node, each in a network namespace of its own.

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    process::{Command, Output},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The address of the service.
pub(crate) const SERVICE: &str = "169.254.169.254:80";

/// The namespaces; removed when dropped, and their links with them.
pub(crate) struct Namespaces {
    names: [String; 3],
}

/// Which namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Service,
    Node,
    Pod,
}

impl Namespaces {
    /// service (10.99.0.1, 169.254.169.254) - (10.99.0.2) node (10.98.0.1) - (10.98.0.2) pod
    pub(crate) fn new() -> Self {
        let pid = std::process::id();
        let new = Self {
            names: ["service", "node", "pod"].map(|role| format!("imds-{pid}-{role}")),
        };
        let [service, node, pod] = &new.names;
        for name in &new.names {
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
        }
        ip(&format!(
            "link add s0 netns {service} type veth peer n0 netns {node}"
        ));
        ip(&format!(
            "link add n1 netns {node} type veth peer p0 netns {pod}"
        ));
        for (name, link, address) in [
            (service, "s0", "10.99.0.1/24"),
            (service, "s0", "169.254.169.254/32"),
            (node, "n0", "10.99.0.2/24"),
            (node, "n1", "10.98.0.1/24"),
            (pod, "p0", "10.98.0.2/24"),
        ] {
            ip(&format!("-n {name} address add {address} dev {link}"));
            ip(&format!("-n {name} link set {link} up"));
        }
        ip(&format!(
            "-n {service} route add 10.98.0.0/24 via 10.99.0.2"
        ));
        ip(&format!("-n {node} route add default via 10.99.0.1"));
        ip(&format!("-n {pod} route add default via 10.98.0.1"));
        new.within(Place::Node, || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        });
        new
    }

    pub(crate) fn listen(&self) -> TcpListener {
        self.within(Place::Service, || TcpListener::bind(SERVICE).unwrap())
    }

    pub(crate) fn connect(&self, place: Place) -> TcpStream {
        self.within(place, || {
            let address = SERVICE.parse().unwrap();
            TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap()
        })
    }

    /// Runs curl somewhere, for at most `secs`.
    pub(crate) fn curl(&self, place: Place, secs: u64, arguments: &[&str]) -> Output {
        self.within(place, || {
            Command::new("curl")
                .args(["-sS", "-m", &secs.to_string()])
                .args(arguments)
                .output()
                .unwrap()
        })
    }

    /// Does something on a thread of its own in one of the namespaces.
    fn within<T: Send>(&self, place: Place, act: impl FnOnce() -> T + Send) -> T {
        let name = match place {
            Place::Service => &self.names[0],
            Place::Node => &self.names[1],
            Place::Pod => &self.names[2],
        };
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| {
                let namespace = File::open(format!("/run/netns/{name}")).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap();
                act()
            });
            acting.join().unwrap()
        })
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Goes on: what was not made cannot be removed, and the rest has to be.
            drop(Command::new("ip").args(["netns", "del", name]).output());
        }
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
}
