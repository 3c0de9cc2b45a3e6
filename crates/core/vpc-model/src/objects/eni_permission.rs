//! Permissions that other accounts and services have on interfaces.

use serde::{Deserialize, Serialize};
use underlay_types::{AccountId, EniId, EniPermissionId};

/// A permission on an interface. It is granted as soon as it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniPermission {
    /// Its id.
    pub id: EniPermissionId,
    /// The interface.
    pub eni: EniId,
    /// Who has it.
    pub grantee: PermissionGrantee,
    /// What he may do.
    pub kind: EniPermissionKind,
}

/// Who has a permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PermissionGrantee {
    /// An account.
    Account(AccountId),
    /// A service, by its name.
    Service(String),
}

/// What a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EniPermissionKind {
    /// To associate an elastic address.
    EipAssociate,
    /// To attach the interface to an instance.
    InstanceAttach,
}

impl EniPermissionKind {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EipAssociate => "EIP-ASSOCIATE",
            Self::InstanceAttach => "INSTANCE-ATTACH",
        }
    }
}
