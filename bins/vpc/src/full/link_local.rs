//! The resolver and the time service of a running VPC: listening where the fabric brings their
//! callers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use tokio::task::JoinSet;
use underlay_netlink::{KernelError, netns};
use underlay_types::{VpcId, chain};
use underlay_vpc_model::Resolution;

use super::vpc::FullVpc;
use crate::{
    dns::{self, Resolver},
    ntp,
};

const DNS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)),
];
const NTP: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123)),
];

/// Why a service does not listen.
#[derive(Debug, thiserror::Error)]
pub enum LinkLocalError {
    /// An address cannot be listened on.
    #[error("listen on {address} in the services' namespace")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] KernelError),
}

/// Starts the services.
///
/// # Errors
/// When one of them cannot listen.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    vpc: &Arc<FullVpc>,
    upstream: Option<SocketAddr>,
) -> Result<(), LinkLocalError> {
    let resolver = Resolver {
        resolve: resolve(vpc),
        upstream,
    };
    for dns in DNS.map(|address| SocketAddr::new(address, 53)) {
        let udp = bind(vpc, dns, UdpSocket::bind)?;
        let tcp = bind(vpc, dns, TcpListener::bind)?;
        let serving = dns::serve_udp(udp, resolver.clone(), vpc.stop.clone());
        tasks.spawn(watched("the resolver", serving));
        let serving = dns::serve_tcp(tcp, resolver.clone(), vpc.stop.clone());
        tasks.spawn(watched("the resolver", serving));
    }
    for ntp in NTP.map(|address| SocketAddr::new(address, 123)) {
        let socket = bind(vpc, ntp, UdpSocket::bind)?;
        let api = Arc::clone(&vpc.api);
        let serving = ntp::serve(socket, Arc::new(move || api.now()), vpc.stop.clone());
        tasks.spawn(watched("the time service", serving));
    }
    Ok(())
}

fn bind<S: Send>(
    vpc: &FullVpc,
    address: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> io::Result<S> + Send,
) -> Result<S, LinkLocalError> {
    let mut driver = vpc.driver.lock();
    let bound = netns::run_in(driver.fabric().services_netns(), || bind(address))?;
    bound.map_err(|source| LinkLocalError::Listen { address, source })
}

async fn watched(what: &'static str, serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, what, "a link-local service failed");
    }
}

/// Answers by the VPC of the interface that a packet came in by.
fn resolve(vpc: &Arc<FullVpc>) -> dns::Resolve {
    let vpc = Arc::clone(vpc);
    Arc::new(move |peer, name| match vpc_of(&vpc, peer) {
        Some(id) => vpc.api.read(|model| model.resolve(&id, name)),
        None => Resolution::Off,
    })
}

fn vpc_of(vpc: &FullVpc, peer: SocketAddr) -> Option<VpcId> {
    let found = vpc.driver.lock().fabric().caller(peer.ip());
    let (eni, _) = found.unwrap_or_else(|error| {
        tracing::error!(error = chain(&error), %peer, "who asks the resolver is not known");
        None
    })?;
    vpc.api.read(|model| Some(model.eni(&eni)?.vpc.clone()))
}
