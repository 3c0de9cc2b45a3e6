//! The address inside the node of a pod that has IPv6 alone.

use std::net::Ipv4Addr;

use underlay_ipam::{Lease, next_node_local};
use underlay_journal::State;
use underlay_netplan::numbers::EGRESS_BLOCK;
use underlay_types::PoolGroups;

use super::Actor;
use crate::service::ServiceError;

impl Actor {
    /// The IPv4 address that the pod of a new lease sends from, if it is to have one. Leases say which
    /// ones are taken; what was given last is not given next.
    pub(super) fn egress(&self, lease: &Lease) -> Result<Option<Ipv4Addr>, ServiceError> {
        let is_alone = lease.addresses.v4().is_none();
        let shares = lease.pool.groups == PoolGroups::Default && !lease.pool.is_whole();
        if !self.gives_egress || !is_alone || !shares {
            return Ok(None);
        }
        let leases = self.journal.state().leases.values();
        let taken = leases.filter_map(|lease| lease.egress).collect();
        match next_node_local(EGRESS_BLOCK, &taken, self.last_egress) {
            Some(address) => Ok(Some(address)),
            None => Err(ServiceError::NoAddress {
                message: format!(
                    "all {} addresses of {EGRESS_BLOCK} are taken, by which pods of this node reach \
                     IPv4 destinations; run fewer pods, or set v4_egress = false in [snat]",
                    taken.len()
                ),
            }),
        }
    }
}

/// What an earlier agent gave last.
pub(in crate::engine) fn last_egress(state: &State) -> Option<Ipv4Addr> {
    let given = state.leases.values().filter(|lease| lease.egress.is_some());
    given
        .max_by_key(|lease| lease.since_wall_ms)
        .and_then(|lease| lease.egress)
}
