//! What is wired on a node, and so what must exist in its kernel.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::{Family, LeaseKey, PoolGroups};

use crate::{EniSlot, Object, PodWiring, eni::EniInUse, pod, steps, trunk::TrunkInUse};

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

    /// Notes an ENI, which may have been in use in another slot, and how its pods are to be wired now;
    /// of these, the ones that are wired. Nothing stays noted of where it was.
    pub fn move_eni(&mut self, eni: EniInUse, pods: &[PodWiring]) {
        self.enis
            .retain(|_, other| other.wiring.eni != eni.wiring.eni);
        self.insert_eni(eni);
        for pod in pods {
            let second_in = self.pods.get(&pod.key).map(|wired| wired.second_in);
            if let Some(second_in) = second_in {
                self.insert_pod(PodWiring {
                    second_in,
                    ..pod.clone()
                });
            }
        }
    }

    /// Whether the ENI that a pod leaves by is in use: the slot may be another's by now.
    fn has_eni_of(&self, pod: &PodWiring) -> bool {
        let eni = self.enis.get(&pod.eni);
        pod.interface.branch().is_some() || eni.is_some_and(|eni| eni.wiring.groups == pod.groups)
    }

    /// What a pod needs: without its ENI it has no mark, so that its packets go nowhere.
    fn objects_of<'a>(&self, pod: &'a PodWiring) -> impl Iterator<Item = Object> + use<'a> {
        let marked = self.has_eni_of(pod);
        let objects = pod::objects(pod).into_iter();
        objects.filter(move |object| marked || !matches!(object, Object::PodMark { .. }))
    }

    /// Whether an ENI carries `groups`.
    #[must_use]
    pub fn carries(&self, groups: &PoolGroups) -> bool {
        self.enis.values().any(|eni| eni.wiring.groups == *groups)
    }

    /// The families whose packets go by the rules of ENIs.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        let of_enis = self.enis.values().map(|eni| eni.wiring.families);
        let of_trunk = self.trunk.iter().map(|trunk| trunk.wiring.families);
        let families: Vec<_> = of_enis.chain(of_trunk).collect();
        let v6 = families.iter().any(|families| families.has(Family::V6));
        // IPv4 is routed in any case, as with ENIs.
        let v4 = (!families.is_empty()).then_some(Family::V4);
        v4.into_iter().chain(v6.then_some(Family::V6))
    }

    /// Everything that must exist.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<Object> {
        let of_enis = self.enis.values().flat_map(EniInUse::objects);
        let of_pods = self.pods.values().flat_map(|pod| self.objects_of(pod));
        let of_trunk = self.trunk.iter().flat_map(TrunkInUse::objects);
        let of_node = self.families().flat_map(steps::objects);
        of_enis
            .chain(of_pods)
            .chain(of_trunk)
            .chain(of_node)
            .collect()
    }
}
