//! Trying again what the kernel refused.

use underlay_types::{EniId, InstanceId, chain};
use underlay_vpc_model::{AttachmentHolder, AttachmentStatus, Change, Eni, Model};

use super::{
    DriveError, Driver, namespace,
    resume::{has_power, is_there},
};
use crate::full::debts::{Debt, Owed};

impl Driver {
    /// A round goes by: what is to be tried again now.
    pub(in crate::full) fn due_repairs(&mut self) -> Vec<Owed> {
        self.debts.due()
    }

    /// What the kernel refused and is not done yet.
    pub(in crate::full) fn debts(&self) -> impl Iterator<Item = &Debt> {
        self.debts.iter()
    }

    /// Tries again what the kernel refused: it is made what the model says now.
    pub(in crate::full) fn repair(&mut self, model: &Model, due: &[Owed]) {
        for owed in due {
            match self.put_right(model, owed) {
                Ok(()) => {
                    tracing::info!(%owed, "what the kernel had refused is done");
                    self.debts.settle(owed);
                }
                Err(error) => {
                    let debt = self.debts.refused_again(owed, chain(&error));
                    if debt.is_some_and(Debt::is_given_up) {
                        let error = chain(&error);
                        tracing::error!(%owed, error, "not tried any more until a restart");
                    }
                }
            }
        }
    }

    /// Notes what came of carrying out some changes.
    pub(super) fn note_outcome(&mut self, changes: &[Change], done: &Result<(), DriveError>) {
        for owed in changes.iter().filter_map(Owed::of) {
            match done {
                Ok(()) => self.debts.settle(&owed),
                Err(error) => self.owe(owed, error),
            }
        }
    }

    /// Notes what the kernel refused, to be tried again.
    pub(super) fn owe(&mut self, owed: Owed, error: &DriveError) {
        self.debts.note(owed, chain(error));
    }

    fn put_right(&mut self, model: &Model, owed: &Owed) -> Result<(), DriveError> {
        match owed {
            Owed::Maps(change) => self.follow(model, change),
            Owed::Namespace(name) => self.put_namespace_right(model, name),
            Owed::Port(eni) => self.put_port_right(model, eni),
        }
    }

    fn put_namespace_right(&mut self, model: &Model, name: &str) -> Result<(), DriveError> {
        let instance = name.parse().ok();
        let instance = instance.and_then(|id: InstanceId| model.instance(&id));
        if let Some(instance) = instance.filter(|instance| is_there(instance)) {
            let made = self.namespaces.ensure(name);
            made.map_err(namespace("make the namespace of", &instance.id))?;
            let enis = model.enis_of(&instance.id).into_iter();
            return enis
                .map(|eni| &eni.id)
                .try_for_each(|eni| self.put_port_right(model, eni));
        }
        if self.placed.values().any(|placed| placed == name) {
            return Ok(());
        }
        let removed = self.namespaces.remove(name);
        removed.map_err(namespace("remove the namespace", &name))
    }

    fn put_port_right(&mut self, model: &Model, id: &EniId) -> Result<(), DriveError> {
        let gone = |driver: &mut Self| driver.remove_ports(std::slice::from_ref(id));
        let Some(eni) = model.eni(id) else {
            return gone(self);
        };
        let Some(held) = &eni.attachment else {
            return gone(self);
        };
        match &held.holder {
            AttachmentHolder::Instance(instance) => {
                let there = match held.status {
                    AttachmentStatus::Attached => true,
                    AttachmentStatus::Attaching => false,
                    AttachmentStatus::Detaching => self.fabric.is_port(id),
                };
                if !there || !has_power(model, instance) {
                    return gone(self);
                }
                self.put_device_right(model, eni, instance, held.device_index)
            }
            // Of a host, an endpoint or a NAT gateway, whose own change makes it.
            AttachmentHolder::External { .. } => self.update_port(model, id),
            AttachmentHolder::Trunk(_) if self.fabric.is_port(id) => self.update_port(model, id),
            AttachmentHolder::Trunk(_) => {
                let branches = model.everything().into_iter();
                let mut of_it = branches.filter(
                    |change| matches!(change, Change::BranchAttached { branch, .. } if branch == id),
                );
                of_it.try_for_each(|change| self.follow(model, &change))
            }
        }
    }

    fn put_device_right(
        &mut self,
        model: &Model,
        eni: &Eni,
        instance: &InstanceId,
        device_index: u32,
    ) -> Result<(), DriveError> {
        if !self.fabric.is_port(&eni.id) {
            return self.attach(model, &eni.id, instance, device_index);
        }
        self.update_port(model, &eni.id)?;
        if super::boots_by_dhcp(model, eni) {
            self.complete(model, eni, instance.as_str(), false)?;
        }
        Ok(())
    }
}
