//! What is wired on a node, and so what must exist in its kernel.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::{LeaseKey, PoolGroups};

use crate::{EniSlot, Object, PodWiring, eni::EniInUse, pod, trunk::TrunkInUse};

/// The ENIs in use and the pods that are wired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    enis: BTreeMap<EniSlot, EniInUse>,
    pods: BTreeMap<LeaseKey, PodWiring>,
    trunk: Option<TrunkInUse>,
}

impl NodeState {
    /// The ENIs in use.
    #[must_use]
    pub fn enis(&self) -> &BTreeMap<EniSlot, EniInUse> {
        &self.enis
    }

    /// The trunk in use.
    #[must_use]
    pub const fn trunk(&self) -> Option<&TrunkInUse> {
        self.trunk.as_ref()
    }

    /// Notes the trunk, or that there is none.
    pub fn set_trunk(&mut self, trunk: Option<TrunkInUse>) {
        self.trunk = trunk;
        for pod in std::mem::take(&mut self.pods).into_values() {
            self.insert_pod(pod);
        }
    }

    /// The pod, with the trunk that its branch is on.
    #[must_use]
    pub fn on_trunk(&self, pod: &PodWiring) -> PodWiring {
        let trunk = self
            .trunk
            .as_ref()
            .filter(|_| pod.interface.branch().is_some());
        PodWiring {
            trunk: trunk.map(|trunk| trunk.device.clone()),
            ..pod.clone()
        }
    }

    /// The pods that are wired, or being wired.
    #[must_use]
    pub fn pods(&self) -> &BTreeMap<LeaseKey, PodWiring> {
        &self.pods
    }

    /// Notes an ENI; returns the one that was noted for the slot before.
    pub fn insert_eni(&mut self, eni: EniInUse) -> Option<EniInUse> {
        self.enis.insert(eni.wiring.slot, eni)
    }

    /// Forgets an ENI.
    pub fn remove_eni(&mut self, slot: EniSlot) -> Option<EniInUse> {
        self.enis.remove(&slot)
    }

    /// Notes a pod; returns what was noted for its lease before.
    pub fn insert_pod(&mut self, pod: PodWiring) -> Option<PodWiring> {
        self.pods.insert(pod.key.clone(), self.on_trunk(&pod))
    }

    /// Forgets a pod.
    pub fn remove_pod(&mut self, key: &LeaseKey) -> Option<PodWiring> {
        self.pods.remove(key)
    }

    /// Whether an ENI carries `groups`.
    #[must_use]
    pub fn carries(&self, groups: &PoolGroups) -> bool {
        self.enis.values().any(|eni| eni.wiring.groups == *groups)
    }

    /// Everything that must exist.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<Object> {
        let of_enis = self.enis.values().flat_map(EniInUse::objects);
        let of_pods = self.pods.values().flat_map(pod::objects);
        let of_trunk = self.trunk.iter().flat_map(TrunkInUse::objects);
        of_enis.chain(of_pods).chain(of_trunk).collect()
    }
}
