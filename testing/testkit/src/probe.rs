//! Packets between namespaces, and what became of them.
//!
//! Sockets are made inside the namespaces and served by this process, so that a full matrix of
//! pods, nodes and hosts takes no process and no program inside a pod.

mod datagrams;
mod tcp;
mod udp;

pub use datagrams::{DatagramStream, Delivery};
pub use tcp::{Connection, TcpServer, Verdict, tcp_probe};
pub use udp::{Endpoint, Seen, udp_matrix};
