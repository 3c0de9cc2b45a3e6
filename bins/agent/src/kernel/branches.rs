//! Branch ENIs: the node's own programs, and the trunk at whose device they stand.

use std::sync::{Arc, OnceLock};

use underlay_datapath::{Branch, Datapath, DatapathError, detach};
use underlay_netlink::{IfIndex, KernelError, link};
use underlay_netplan::{
    Object, PodWiring,
    trunk::{self, TrunkInUse, TrunkWiring},
};
use underlay_types::chain;

use super::{Failure, Kernel, failure::refused, lock, workers::Context};

/// The programs, once they are loaded: only nodes with branch ENIs pay for them.
pub(super) type Programs = Arc<OnceLock<Datapath>>;

impl Kernel {
    /// Loads the programs that branch ENIs need. Idempotent.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load_programs(&self) -> Result<(), Failure> {
        if self.programs.get().is_some() {
            return Ok(());
        }
        let loaded = Datapath::load().map_err(|error| {
            Failure::clean("load eBPF programs", in_kernels_words("load", &error))
        })?;
        // Who was faster loaded the same.
        drop(self.programs.set(loaded));
        Ok(())
    }

    /// Brings the trunk ENI into use: its device up, the programs at it, in the place of an earlier
    /// agent's. `pods` are those with branches that are wired, so that no packet of theirs is lost.
    /// Idempotent.
    ///
    /// # Errors
    /// `NotFound` while the device has not appeared yet.
    pub fn use_trunk(&self, wiring: &TrunkWiring, pods: &[PodWiring]) -> Result<(), Failure> {
        let doing = format!("use trunk {}", wiring.eni);
        self.load_programs()?;
        let _alone = self.write_topology();
        let mac = wiring.mac;
        let found = self
            .workers
            .run(move |context| link::by_mac(&mut context.socket, mac));
        let device = found
            .and_then(|found| found)
            .map_err(|error| Failure::clean(&doing, error))?
            .name;
        let trunk = TrunkInUse {
            wiring: wiring.clone(),
            device,
        };
        let mut state = lock(&self.state).clone();
        if let Some(former) = state.trunk().filter(|former| **former != trunk) {
            self.all_possible(&doing, trunk::lower(former))?;
        }
        let mut with_pods = state.clone();
        for pod in pods {
            with_pods.insert_pod(pod.clone());
        }
        let plan = self.without_present(&doing, trunk::raise(&with_pods, &trunk))?;
        self.all_or_nothing(&doing, plan)?;
        state.set_trunk(Some(trunk));
        *lock(&self.state) = state;
        Ok(())
    }

    /// The trunk in use.
    #[must_use]
    pub fn trunk(&self) -> Option<TrunkWiring> {
        let state = lock(&self.state);
        state.trunk().map(|trunk| trunk.wiring.clone())
    }

    /// What happened to packets of branch ENIs; nothing where no programs are loaded.
    #[must_use]
    pub fn branch_packets(&self) -> Vec<(&'static str, u64)> {
        let counters = self.programs.get().map(Datapath::counters);
        match counters {
            None => Vec::new(),
            Some(Ok(counters)) => counters,
            Some(Err(error)) => {
                tracing::warn!("{}", chain(&error));
                Vec::new()
            }
        }
    }
}

impl Context {
    /// Makes an object of the programs exist, or not.
    pub(super) fn change_programs(
        &mut self,
        object: &Object,
        device: IfIndex,
        is_add: bool,
    ) -> Result<(), KernelError> {
        match (object, self.programs.get(), is_add) {
            (Object::Branch { .. }, None, false) => Ok(()),
            (Object::Tags { .. }, _, false) => {
                detach(&mut self.socket, device).map(|_were_there| ())
            }
            (_, None, true) => Err(refused(
                "add",
                object.to_string(),
                "the eBPF programs are not loaded",
            )),
            (Object::Tags { .. }, Some(programs), true) => {
                programs.attach(&mut self.socket, device)
            }
            (object, Some(programs), is_add) => change_branch(programs, object, device, is_add),
            (_, None, false) => Ok(()),
        }
    }

    /// What stands of the programs at the given devices, with their names.
    pub(super) fn objects_of_programs(
        &mut self,
        devices: &[(IfIndex, String)],
    ) -> Result<Vec<Object>, KernelError> {
        let Some(programs) = self.programs.get() else {
            return Ok(Vec::new());
        };
        let branches = programs.branches();
        let branches = branches.map_err(|error| in_kernels_words("list branches", &error))?;
        let mut objects = Vec::new();
        for (trunk, vlan, branch) in branches {
            let device = devices.iter().find(|(index, _)| *index == trunk);
            objects.push(Object::Branch {
                device: device.map_or_else(|| trunk.to_string(), |(_, name)| name.clone()),
                vlan,
                ipv4: branch.ipv4,
                ipv6: branch.ipv6,
                mac: branch.mac,
            });
        }
        for (index, name) in devices {
            if programs.is_attached(&mut self.socket, *index)? {
                let device = name.clone();
                objects.push(Object::Tags { device });
            }
        }
        Ok(objects)
    }

    /// Takes programs of whichever agent from every device.
    pub(super) fn detach_everywhere(&mut self) -> Vec<KernelError> {
        let links = match link::dump(&mut self.socket) {
            Ok(links) => links,
            Err(error) => return vec![error],
        };
        let devices = links.into_iter().map(|link| link.index);
        devices
            .filter_map(|device| detach(&mut self.socket, device).err())
            .collect()
    }
}

fn change_branch(
    programs: &Datapath,
    object: &Object,
    device: IfIndex,
    is_add: bool,
) -> Result<(), KernelError> {
    let Object::Branch {
        vlan,
        ipv4,
        ipv6,
        mac,
        ..
    } = object
    else {
        return Err(refused("change", object.to_string(), "not a program's"));
    };
    if is_add {
        let branch = Branch {
            ipv4: *ipv4,
            ipv6: *ipv6,
            mac: *mac,
        };
        let set = programs.set(device, *vlan, &branch);
        return set.map_err(|error| in_kernels_words("add", &error));
    }
    let removed = programs.remove(device, *vlan);
    removed.map_err(|error| in_kernels_words("remove", &error))
}

fn in_kernels_words(op: &'static str, error: &DatapathError) -> KernelError {
    refused(op, "eBPF", chain(error))
}
