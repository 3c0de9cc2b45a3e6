//! Pods with branch ENIs: their leases come from outside, and are recorded like any other.
//!
//! Whether the branch is on this node's trunk is the VPC's to judge: it drops frames with a tag that
//! it does not know, and packets whose source is not the branch's. Here it is only kept from being
//! what the node has already: an ENI of its own, or another pod's.

use underlay_journal::{Change, LeaseRecord, LeaseState};
use underlay_netplan::trunk::TrunkWiring;
use underlay_types::{BranchEni, Interface, LeaseKey, PoolKey};

use super::Actor;
use crate::{
    engine::{
        clock::wall_ms,
        message::{Granted, Reserve},
        observation::EniFacts,
    },
    service::{BranchRequest, ServiceError},
};

impl Actor {
    /// Records the lease of a pod with a branch ENI.
    pub(super) fn reserve_branch(
        &mut self,
        wish: Reserve,
        request: BranchRequest,
    ) -> Result<Granted, ServiceError> {
        self.may_change_to(&wish.key, Some(&request))?;
        self.vanished.forget(&wish.key);
        if let Some(held) = self.held(&wish.key) {
            self.requests.turns.take(&wish.key);
            return Ok(Granted {
                held,
                repeated: true,
            });
        }
        if self.ipam.is_draining() {
            let message = "the node is being drained: it takes no new pods".to_owned();
            return Err(ServiceError::NotReady { message });
        }
        self.is_nobodys(&request)?;
        let place = self.trunk_facts().and_then(|(_, facts)| facts.place);
        let record = LeaseRecord {
            key: wish.key.clone(),
            ipv4: request.branch.ipv4.map(|ipv4| ipv4.address),
            ipv6: request.branch.ipv6,
            egress: None,
            eni: request.eni,
            place: place.ok_or_else(|| ServiceError::NoAddress {
                message: no_trunk(),
            })?,
            pool: PoolKey::default_pool(),
            interface: Interface::Branch(request.branch),
            second_in: None,
            pod: wish.pod,
            netns_path: wish.netns_path,
            netns_cookie: wish.netns_cookie,
            state: LeaseState::Reserved,
            since_wall_ms: wall_ms(),
        };
        let held = self.held_by(&record)?;
        self.record(Change::Lease(record))?;
        self.requests.turns.take(&wish.key);
        Ok(Granted {
            held,
            repeated: false,
        })
    }

    /// An ADD repeated with another interface is none: its DEL is missing. How groups are enforced
    /// was decided at the first one.
    pub(super) fn may_change_to(
        &self,
        key: &LeaseKey,
        wanted: Option<&BranchRequest>,
    ) -> Result<(), ServiceError> {
        let Some(record) = self.journal.state().leases.get(key) else {
            return Ok(());
        };
        let same = match (record.interface.branch(), wanted) {
            (None, None) => true,
            (Some(has), Some(wanted)) => {
                let enforcement = has.enforcement;
                let branch = BranchEni {
                    enforcement,
                    ..wanted.branch
                };
                *has == branch && record.eni == wanted.eni
            }
            _ => false,
        };
        if same {
            return Ok(());
        }
        let wanted = wanted.map_or_else(
            || "an address of the node's ENIs".to_owned(),
            |wanted| format!("branch {} (VLAN {})", wanted.eni, wanted.branch.vlan),
        );
        let message = format!(
            "{key} is on {} and is now asked to have {wanted}: delete it first",
            record.eni
        );
        Err(ServiceError::Interface { message })
    }

    fn is_nobodys(&self, request: &BranchRequest) -> Result<(), ServiceError> {
        let BranchRequest { eni, branch } = request;
        let of_node = |what: String| {
            let message = format!("{what} is the node's own: it cannot be the pod's branch ENI");
            Err(ServiceError::Interface { message })
        };
        if self.enis.contains_key(eni) || self.ipam.knows(eni) {
            return of_node(format!("eniId {eni}"));
        }
        if self.enis.values().any(|facts| facts.mac == branch.mac) {
            return of_node(format!("ifAddress {}", branch.mac));
        }
        let of_ipv4 = branch.ipv4.map(|ipv4| ipv4.address);
        if let Some(address) = of_ipv4.filter(|of| self.caller.node.primary_address == Some(*of)) {
            return of_node(format!("privateIp {address}"));
        }
        let wanted = branch.addresses();
        let shares = |record: &LeaseRecord| {
            let both = wanted.zip(record.addresses());
            both.is_some_and(|(one, other)| {
                one.iter().any(|own| other.iter().any(|its| its == own))
            })
        };
        for record in self.journal.state().leases.values() {
            let other = record.interface.branch();
            let same_branch = other.is_some_and(|other| other.vlan == branch.vlan);
            if same_branch || record.eni == *eni || shares(record) {
                let addresses = wanted.map(|of| format!("{of}, ")).unwrap_or_default();
                let message = format!(
                    "branch {eni} ({addresses}VLAN {}) is still {}'s",
                    branch.vlan, record.key
                );
                // A pod that is being deleted gives it back.
                return Err(ServiceError::NoAddress { message });
            }
        }
        Ok(())
    }

    fn trunk_facts(&self) -> Option<(&underlay_types::EniId, &EniFacts)> {
        self.enis
            .iter()
            .find(|(_, facts)| facts.trunk && facts.place.is_some())
    }

    /// The trunk ENI, as EC2 showed it.
    pub(in crate::engine) fn trunk(&self) -> Option<TrunkWiring> {
        let (eni, facts) = self.trunk_facts()?;
        Some(TrunkWiring {
            eni: eni.clone(),
            mac: facts.mac,
            families: self.caller.node.families,
            mtu: self.mtus.eni,
        })
    }
}

/// What a pod with a branch ENI is told where there is no trunk.
pub(in crate::engine) fn no_trunk() -> String {
    "no trunk ENI is attached to this node, and branch ENIs are on one (on EKS the VPC resource \
     controller attaches it)"
        .to_owned()
}
