//! Who calls a link-local service.

use std::net::IpAddr;

use underlay_fabric_abi as abi;
use underlay_types::EniId;

use crate::{Fabric, FabricError};

impl Fabric {
    /// Who the address that a service sees as its caller stands for: the ENI by which the packets
    /// came, and the source address that they had. `None` for any other address, and when the ENI
    /// is no port any more.
    ///
    /// What the maps hold of removed ENIs makes room for others by itself: an ENI's number is
    /// never given to another.
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn caller(&self, id: IpAddr) -> Result<Option<(EniId, IpAddr)>, FabricError> {
        let Some(caller) = self.maps.callers.find(abi::address_bytes(id))? else {
            return Ok(None);
        };
        let eni = self.enis.id(caller.eni);
        let eni = eni.filter(|eni| self.ports.contains_key(*eni)).cloned();
        Ok(eni.map(|eni| (eni, abi::address_of(caller.address_be))))
    }
}
