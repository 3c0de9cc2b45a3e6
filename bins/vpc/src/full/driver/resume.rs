//! Going on with what another process left: the kernel is made what the model says.

use std::{collections::BTreeSet, path::PathBuf};

use underlay_netlink::{Socket, link, netns};
use underlay_types::{EniId, InstanceId, chain};
use underlay_vpc_model::{AttachmentHolder, AttachmentStatus, Eni, Instance, InstanceState, Model};

use super::{DriveError, Driver, namespace};
use crate::full::{debts::Owed, namespaces::Namespaces};

/// What was found of an account's devices, and what was not.
#[derive(Debug, Default)]
pub(in crate::full) struct Resumed {
    /// Namespaces of instances that were gone, and were made again: what ran there is lost.
    pub(in crate::full) made_again: Vec<String>,
    /// ENIs of endpoints and hosts whose devices were not made yet, or are gone.
    pub(in crate::full) unplaced: Vec<EniId>,
    /// ENIs of endpoints and hosts that have their devices, and where.
    pub(in crate::full) placed: Vec<(EniId, String)>,
    /// What could not be done.
    pub(in crate::full) errors: Vec<DriveError>,
}

impl Driver {
    /// Completes or removes what another process left half done. Goes on after failures.
    pub(in crate::full) fn resume(&mut self, model: &Model, owners: &[&str]) -> Resumed {
        let mut resumed = Resumed::default();
        let mut wanted = BTreeSet::new();
        for instance in model.instances().filter(|instance| is_there(instance)) {
            let name = instance.id.as_str();
            wanted.insert(name.to_owned());
            match self.namespaces.ensure(name) {
                Ok(true) => resumed.made_again.push(name.to_owned()),
                Ok(false) => {}
                Err(error) => {
                    let error = namespace("make the namespace of", &instance.id)(error);
                    self.owe(Owed::Namespace(name.to_owned()), &error);
                    resumed.errors.push(error);
                }
            }
        }
        let errors = self.apply(model, &model.everything());
        resumed.errors.extend(errors);
        for eni in model.enis() {
            if let Err(error) = self.resume_port(model, eni, owners, &mut resumed) {
                self.owe(Owed::Port(eni.id.clone()), &error);
                resumed.errors.push(error);
            }
        }
        wanted.extend(resumed.placed.iter().map(|(_, name)| name.clone()));
        let finished = self.fabric.finish_resume();
        resumed
            .errors
            .extend(finished.err().map(|source| DriveError::Fabric {
                what: "remove what is not wanted any more".to_owned(),
                source: Box::new(source),
            }));
        resumed.errors.extend(self.remove_unwanted(&wanted));
        resumed
    }

    fn resume_port(
        &mut self,
        model: &Model,
        eni: &Eni,
        owners: &[&str],
        resumed: &mut Resumed,
    ) -> Result<(), DriveError> {
        let Some(held) = &eni.attachment else {
            return Ok(());
        };
        let found = self.found(&eni.id);
        match &held.holder {
            AttachmentHolder::External { owner } => {
                if !owners.contains(&owner.as_str()) {
                    return Ok(());
                }
                let name = found.as_ref().and_then(|path| path.file_name()?.to_str());
                let Some(name) = name.filter(|name| Namespaces::path(name).exists()) else {
                    resumed.unplaced.push(eni.id.clone());
                    return Ok(());
                };
                self.placed.insert(eni.id.clone(), name.to_owned());
                self.add_port(model, eni, name, 0)?;
                self.complete(model, eni, name, true)?;
                self.follow_addresses(model, eni)?;
                resumed.placed.push((eni.id.clone(), name.to_owned()));
            }
            AttachmentHolder::Instance(instance) => {
                let there = match held.status {
                    AttachmentStatus::Attached => true,
                    AttachmentStatus::Attaching => false,
                    // Asked to go before it came, or still there.
                    AttachmentStatus::Detaching => found.is_some(),
                };
                if there && has_power(model, instance) {
                    self.attach_again(model, eni, instance.as_str(), held.device_index)?;
                }
            }
            // Its trunk's device carries it: the branch has none of its own.
            AttachmentHolder::Trunk(_) => {}
        }
        Ok(())
    }

    fn attach_again(
        &mut self,
        model: &Model,
        eni: &Eni,
        instance: &str,
        index: u32,
    ) -> Result<(), DriveError> {
        self.add_port(model, eni, instance, index)?;
        if super::boots_by_dhcp(model, eni) {
            self.complete(model, eni, instance, false)?;
        }
        Ok(())
    }

    /// Configures a device that was not configured yet. That happens all at once, so that a
    /// device that is up has it behind it.
    pub(super) fn complete(
        &self,
        model: &Model,
        eni: &Eni,
        name: &str,
        all_addresses: bool,
    ) -> Result<(), DriveError> {
        let is_up = || {
            let netns = netns::open_named(name)?;
            let mut socket = Socket::open_in(std::os::fd::AsFd::as_fd(&netns))?;
            Ok(link::by_mac(&mut socket, eni.mac)?.up)
        };
        match is_up() {
            Ok(false) => self.configure(model, eni, name, all_addresses),
            Ok(true) => Ok(()),
            // It was given to somebody else's namespace, which is up to whoever did.
            Err(error) if underlay_netlink::KernelError::is_missing(&error) => Ok(()),
            Err(error) => Err(namespace("look at the device of", &eni.id)(error.into())),
        }
    }

    /// Where the other process had put an ENI's device.
    fn found(&self, eni: &EniId) -> Option<PathBuf> {
        let mut found = self.fabric.found_ports();
        found.find_map(|(id, path)| (id == eni).then(|| path.to_owned()))
    }

    /// Removes the namespaces of instances, hosts and endpoints that are no more.
    fn remove_unwanted(&mut self, wanted: &BTreeSet<String>) -> Vec<DriveError> {
        let unwanted = self.namespaces.of_guests(wanted);
        let mut errors = Vec::new();
        for name in unwanted {
            tracing::info!(name, "a namespace that nothing needs any more is removed");
            if let Err(error) = self.namespaces.remove(&name) {
                let error = namespace("remove the namespace", &name)(error);
                self.owe(Owed::Namespace(name), &error);
                errors.push(error);
            }
        }
        errors
    }
}

impl Resumed {
    /// Tells what a person has to know.
    pub(in crate::full) fn log(&self) {
        for name in &self.made_again {
            tracing::warn!(
                name,
                "the namespace was gone and is made again: what ran in it is lost"
            );
        }
        for error in &self.errors {
            tracing::error!(error = chain(error), "not as it should be");
        }
    }
}

/// Whether an instance has its namespace.
pub(super) fn is_there(instance: &Instance) -> bool {
    instance.state != InstanceState::Terminated && instance.powered
}

/// Whether the devices of an instance's interfaces are there.
pub(super) fn has_power(model: &Model, instance: &InstanceId) -> bool {
    model.instance(instance).is_some_and(|each| each.powered)
}
