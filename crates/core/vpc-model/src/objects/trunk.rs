//! Trunk interfaces and the branch interfaces that they carry.

use serde::{Deserialize, Serialize};
use underlay_types::{EniId, TrunkAssociationId};

/// The association of a branch interface with a trunk interface: frames of the branch's come and
/// go on the trunk's device, with its VLAN id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkAssociation {
    /// Its id.
    pub id: TrunkAssociationId,
    /// The interface that is carried.
    pub branch: EniId,
    /// The interface that carries it.
    pub trunk: EniId,
    /// The VLAN id, 1 to 4094, on this trunk no other's.
    pub vlan: u16,
}
