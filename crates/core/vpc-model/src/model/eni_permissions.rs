//! Permissions on interfaces. There is one account here: nobody makes use of them.

use underlay_types::{EniId, EniPermissionId};

use super::addresses::check_not_managed;
use crate::{Ec2Error, EniPermission, EniPermissionKind, ErrorCode, Model, PermissionGrantee};

impl Model {
    /// The permissions, by id.
    pub fn eni_permissions(&self) -> impl Iterator<Item = &EniPermission> {
        self.eni_permissions.values()
    }

    /// CreateNetworkInterfacePermission.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `OperationNotPermitted` for a service's interface.
    pub fn create_eni_permission(
        &mut self,
        eni: &EniId,
        grantee: PermissionGrantee,
        kind: EniPermissionKind,
    ) -> Result<EniPermissionId, Ec2Error> {
        check_not_managed(self.require_eni(eni)?)?;
        let id = EniPermissionId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let permission = EniPermission {
            id: id.clone(),
            eni: eni.clone(),
            grantee,
            kind,
        };
        self.eni_permissions.insert(id.clone(), permission);
        Ok(id)
    }

    /// DeleteNetworkInterfacePermission.
    ///
    /// # Errors
    /// `InvalidPermissionID.NotFound`; `OperationNotPermitted` while the account that has it has
    /// the interface on an instance, without `force`.
    pub fn delete_eni_permission(
        &mut self,
        id: &EniPermissionId,
        force: bool,
    ) -> Result<(), Ec2Error> {
        let permission = self.require_eni_permission(id)?;
        let is_own = permission.grantee == PermissionGrantee::Account(self.config.account.clone());
        let eni = self.eni(&permission.eni);
        if is_own && !force && eni.is_some_and(|eni| eni.instance().is_some()) {
            let text = format!(
                "The network interface '{}' is attached to an instance of the account.",
                permission.eni
            );
            return Err(Ec2Error::new(ErrorCode::OperationNotPermitted, text));
        }
        self.eni_permissions.remove(id);
        Ok(())
    }

    /// Ends what an interface that goes away allowed.
    pub(super) fn drop_permissions_of(&mut self, eni: &EniId) {
        self.eni_permissions
            .retain(|_, permission| &permission.eni != eni);
    }
}
