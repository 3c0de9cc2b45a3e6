//! Interfaces in namespaces that are no instances': hosts and endpoints. Their devices have all
//! addresses, and follow when those change.

use underlay_types::{EniId, chain};
use underlay_vpc_model::{Eni, Model};

use super::{DriveError, Driver, namespace};
use crate::full::{
    debts::Owed,
    namespaces::{self, Namespaces},
    translate,
};

impl Driver {
    /// Gives an ENI a device in the namespace `name`, configured with all its addresses.
    ///
    /// # Errors
    /// When the kernel refuses; see [`Self::displace`].
    pub(in crate::full) fn place(
        &mut self,
        model: &Model,
        eni: &Eni,
        name: &str,
    ) -> Result<(), DriveError> {
        self.placed.insert(eni.id.clone(), name.to_owned());
        self.add_port(model, eni, name, 0)?;
        self.configure(model, eni, name, true)
    }

    /// Takes an ENI and its namespace away. What the kernel refuses is tried again later.
    pub(in crate::full) fn displace(&mut self, eni: &EniId, name: &str) {
        self.placed.remove(eni);
        let port = self.remove_ports(std::slice::from_ref(eni));
        let removed = self.namespaces.remove(name);
        let removed = removed.map_err(namespace("remove the namespace", &name));
        let owed = [
            (Owed::Port(eni.clone()), port),
            (Owed::Namespace(name.to_owned()), removed),
        ];
        for (owed, done) in owed {
            if let Err(error) = done {
                tracing::error!(%owed, error = chain(&error), "it stays for now");
                self.owe(owed, &error);
            }
        }
    }

    /// Has the device of an interface that was placed follow its addresses. One that was moved
    /// elsewhere is up to whoever moved it.
    pub(super) fn follow_addresses(&self, model: &Model, eni: &Eni) -> Result<(), DriveError> {
        let Some(name) = self.placed.get(&eni.id) else {
            return Ok(());
        };
        let Some(subnet) = model.subnet(&eni.subnet) else {
            return Ok(());
        };
        let wanted = translate::configured(subnet, eni, true);
        match namespaces::readdress(name, eni.mac, &wanted) {
            Err(error) if error.is_missing() && Namespaces::path(name).exists() => Ok(()),
            done => done.map_err(|error| {
                namespace("set the addresses of the device of", &eni.id)(error.into())
            }),
        }
    }
}
