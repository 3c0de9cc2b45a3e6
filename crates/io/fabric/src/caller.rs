//! Who calls a link-local service.

use std::net::Ipv4Addr;

use underlay_types::EniId;

use crate::{Fabric, FabricError};

impl Fabric {
    /// Who the address that a service sees as its caller stands for: the ENI by which the packets
    /// came, and the source address that they had. `None` for any other address.
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn caller(&self, id: Ipv4Addr) -> Result<Option<(EniId, Ipv4Addr)>, FabricError> {
        let Some(caller) = self.maps.callers.find(id.octets())? else {
            return Ok(None);
        };
        let eni = self.enis.id(caller.eni).cloned();
        Ok(eni.map(|eni| (eni, Ipv4Addr::from(caller.address_be))))
    }

    /// Forgets the callers of an ENI.
    pub(crate) fn forget_callers(&mut self, eni: u32) -> Result<(), FabricError> {
        for caller in self
            .maps
            .caller_ids
            .keys_where(|caller| caller.eni == eni)?
        {
            if let Some(id) = self.maps.caller_ids.find(caller)? {
                self.maps.callers.remove(id)?;
            }
            self.maps.caller_ids.remove(caller)?;
        }
        Ok(())
    }
}
