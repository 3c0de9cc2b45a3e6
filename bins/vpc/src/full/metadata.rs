//! The metadata service of a running VPC: listening where the fabric brings its callers.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use underlay_netlink::{KernelError, netns};
use underlay_types::chain;

use super::vpc::FullVpc;
use crate::imds::{Caller, Resolve};

/// Where instances look for their metadata.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(169, 254, 169, 254), 80);

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The address cannot be listened on.
    #[error("listen on {}:{} in the services' namespace", ADDRESS.0, ADDRESS.1)]
    Listen(#[source] io::Error),
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] KernelError),
}

/// Opens the listener, in the fabric's services namespace.
pub(super) fn listen(vpc: &FullVpc) -> Result<TcpListener, MetadataError> {
    let mut driver = vpc.driver.lock();
    let bound = netns::run_in(driver.fabric().services_netns(), || {
        TcpListener::bind(ADDRESS)
    })?;
    bound.map_err(MetadataError::Listen)
}

/// Tells callers by the fabric port that their packets came in by.
pub(super) fn resolve(vpc: &Arc<FullVpc>) -> Resolve {
    let vpc = Arc::clone(vpc);
    Arc::new(move |peer| {
        let found = vpc.driver.lock().fabric().caller(peer.ip());
        let (eni, _) = found.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), %peer, "a metadata caller is not known");
            None
        })?;
        let instance = vpc.api.read(|model| model.eni(&eni)?.instance().cloned())?;
        Some(Caller { instance, eni })
    })
}
