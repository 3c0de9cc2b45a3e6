//! How many flows are tracked.

use underlay_types::EniId;

use crate::{Fabric, FabricError};

/// Tracked flows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingUse {
    /// How many there are.
    pub used: u64,
    /// How many there may be.
    pub allowance: u32,
    /// Packets that were dropped since there was no room for their flow.
    pub exceeded: u64,
}

impl Fabric {
    /// The tracked flows of the instance that an ENI belongs to.
    ///
    /// # Errors
    /// When the ENI is no port, or the kernel refuses to read the map.
    pub fn tracking(&mut self, eni: &EniId) -> Result<TrackingUse, FabricError> {
        let unknown = || FabricError::UnknownPort(eni.clone());
        let allowance = self.ports.get(eni).ok_or_else(unknown)?.allowance().clone();
        let holder = self.holder_of(eni, &allowance);
        let counted = self.maps.trackings.find(holder)?;
        Ok(TrackingUse {
            used: counted.map_or(0, |counted| counted.used),
            allowance: allowance.flows,
            exceeded: counted.map_or(0, |counted| counted.exceeded),
        })
    }
}
