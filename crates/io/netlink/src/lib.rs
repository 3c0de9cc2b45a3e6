//! A small synchronous rtnetlink and nftables client, and network-namespace handling.
//!
//! Everything that changes the kernel is a [`Request`], built by the module of its object
//! ([`link`], [`address`], [`route`], [`rule`], [`neighbour`], [`tc`]) and carried out by a [`Socket`],
//! several at a time if wanted. Reading is a dump: `link::dump(&mut socket)` and so on. A socket
//! belongs to the namespace of the thread that opened it, for ever; [`netns`] opens sockets
//! elsewhere. [`nft`] changes elements of nftables sets and maps, and loads whole rulesets.
//!
//! Messages are encoded here by hand: rtnetlink and nfnetlink share one small builder, and dumps
//! read only the attributes that something uses.
//!
//! ```no_run
//! use underlay_netlink::{Socket, link};
//! let mut socket = Socket::open()?;
//! let lo = link::by_name(&mut socket, "lo")?;
//! socket.run(&[link::set_up(lo.index, true)])?;
//! # Ok::<(), underlay_netlink::KernelError>(())
//! ```

pub mod address;
mod dump;
mod error;
mod family;
pub mod link;
mod message;
pub mod neighbour;
pub mod netns;
pub mod nft;
pub mod route;
pub mod rule;
mod socket;
mod sys;
pub mod sysctl;
pub mod tc;

pub use error::KernelError;
pub use family::{Family, IfIndex};
pub use message::Request;
pub use rustix::io::Errno;
pub use socket::Socket;
