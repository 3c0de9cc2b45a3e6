//! Services as kube-proxy writes them, in both of its modes.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use underlay_netlink::nft;

use crate::lab::inside;

/// Where services of the tests live: outside the VPC, as kube-proxy wants.
const CLUSTER_IPS: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 0);
/// The port of every service and of its backend.
pub(crate) const PORT: u16 = 80;
/// What marks packets that masquerading is for.
const MASQUERADE_MARK: &str = "0x4000";

/// How kube-proxy drives the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Iptables,
    Nftables,
}

/// A Service with one backend, for TCP and UDP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Gives the service its addresses and ports.
    pub(crate) number: u8,
    /// The address of the pod behind it.
    pub(crate) backend: Ipv4Addr,
}

impl Service {
    /// The address and port inside the cluster.
    pub(crate) fn cluster_ip(self) -> SocketAddrV4 {
        let [a, b, c, _] = CLUSTER_IPS.octets();
        SocketAddrV4::new([a, b, c, self.number].into(), PORT)
    }

    /// The node port with `externalTrafficPolicy: Cluster`: clients are masqueraded.
    pub(crate) fn node_port(self) -> u16 {
        30_000 + u16::from(self.number)
    }

    /// The node port with `externalTrafficPolicy: Local`: clients keep their address.
    pub(crate) fn local_node_port(self) -> u16 {
        31_000 + u16::from(self.number)
    }
}

/// Makes the services exist on a node.
pub(crate) fn install(node: &OwnedFd, mode: Mode, services: &[Service]) {
    match mode {
        Mode::Nftables => inside(node, || nft::load(&nftables(services))).unwrap(),
        Mode::Iptables => restore(node, &iptables(services)),
    }
}

fn restore(node: &OwnedFd, rules: &str) {
    let mut child = inside(node, || {
        Command::new("iptables-restore")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(rules.as_bytes()).unwrap();
    drop(stdin);
    assert!(
        child.wait().unwrap().success(),
        "iptables-restore:\n{rules}"
    );
}

fn nftables(services: &[Service]) -> String {
    let mut chains = String::new();
    let (mut by_address, mut by_port) = (Vec::new(), Vec::new());
    for service in services {
        let Service { number, backend } = service;
        let address = service.cluster_ip();
        write!(
            chains,
            "chain service-{number} {{
               ip saddr {backend} jump mark-for-masquerade
               meta l4proto {{ tcp, udp }} dnat to {backend}:{PORT}
             }}
             chain external-{number} {{
               jump mark-for-masquerade
               goto service-{number}
             }}
            "
        )
        .unwrap();
        for protocol in ["tcp", "udp"] {
            by_address.push(format!(
                "{} . {protocol} . {PORT} : goto service-{number}",
                address.ip()
            ));
            by_port.push(format!(
                "{protocol} . {} : goto external-{number}",
                service.node_port()
            ));
            by_port.push(format!(
                "{protocol} . {} : goto service-{number}",
                service.local_node_port()
            ));
        }
    }
    let (by_address, by_port) = (by_address.join(", "), by_port.join(", "));
    format!(
        "table ip kube-proxy {{
           chain mark-for-masquerade {{ meta mark set meta mark or {MASQUERADE_MARK}; }}
           {chains}
           chain services {{
             ip daddr . meta l4proto . th dport vmap {{ {by_address} }}
             fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap {{ {by_port} }}
           }}
           chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
           chain nat-output {{ type nat hook output priority -100; jump services; }}
           chain nat-postrouting {{
             type nat hook postrouting priority srcnat
             meta mark and {MASQUERADE_MARK} == 0 return
             meta mark set meta mark xor {MASQUERADE_MARK}
             masquerade fully-random
           }}
           chain filter-forward {{
             type filter hook forward priority filter
             ct state invalid drop
           }}
         }}"
    )
}

fn iptables(services: &[Service]) -> String {
    let (mut chains, mut rules) = (String::new(), String::new());
    for service in services {
        let Service { number, backend } = service;
        let address = *service.cluster_ip().ip();
        let (service_chain, external) =
            (format!("KUBE-SVC-{number}"), format!("KUBE-EXT-{number}"));
        write!(chains, ":{service_chain} - [0:0]\n:{external} - [0:0]\n").unwrap();
        write!(
            rules,
            "-A {service_chain} -s {backend}/32 -j KUBE-MARK-MASQ\n\
             -A {external} -j KUBE-MARK-MASQ\n\
             -A {external} -j {service_chain}\n"
        )
        .unwrap();
        for protocol in ["tcp", "udp"] {
            let is = format!("-p {protocol} -m {protocol}");
            write!(
                rules,
                "-A {service_chain} {is} -j DNAT --to-destination {backend}:{PORT}\n\
                 -A KUBE-SERVICES -d {address}/32 {is} --dport {PORT} -j {service_chain}\n\
                 -A KUBE-NODEPORTS {is} --dport {} -j {external}\n\
                 -A KUBE-NODEPORTS {is} --dport {} -j {service_chain}\n",
                service.node_port(),
                service.local_node_port()
            )
            .unwrap();
        }
    }
    format!(
        "*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
{chains}-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark {MASQUERADE_MARK}
-A KUBE-POSTROUTING -m mark ! --mark {MASQUERADE_MARK}/{MASQUERADE_MARK} -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark {MASQUERADE_MARK}
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
{rules}-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark {MASQUERADE_MARK}/{MASQUERADE_MARK} -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"
    )
}
