//! The internet gateways' knowledge: whose public addresses are.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{IpNet, Ipv6Net};
use underlay_fabric_abi as abi;
use underlay_types::VpcId;

use crate::{BlockOwner, Fabric, FabricError};

impl Fabric {
    /// Says which private address of which VPC a public one stands for, while an internet gateway
    /// is attached there; `None`: for none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_public_address(
        &mut self,
        public: Ipv4Addr,
        private: Option<(&VpcId, Ipv4Addr)>,
    ) -> Result<(), FabricError> {
        let block = IpNet::from(IpAddr::V4(public));
        let wanted = private.map(|(vpc, address)| abi::AddressKey {
            vpc: self.vpcs.of(vpc),
            address_be: abi::address_bytes(address.into()),
            prefix_length: abi::ADDRESS_BITS,
        });
        let public_be = abi::address_bytes(public.into());
        // Kept step by step: what is known is true also when the kernel refuses in between.
        let known = self.publics.entry(public).or_default();
        while let Some(index) = known.iter().position(|key| Some(*key) != wanted) {
            // The private address may have another public one already.
            if self.maps.publics.find(known[index])? == Some(public_be) {
                self.maps.publics.remove(known[index])?;
            }
            known.swap_remove(index);
        }
        let Some(key) = wanted else {
            self.maps.owners.set(0, block, None)?;
            self.publics.remove(&public);
            return Ok(());
        };
        if known.is_empty() {
            known.push(key);
        }
        self.maps.publics.set(key, public_be)?;
        let owner = abi::Owner {
            vpc: key.vpc,
            flags: abi::OWNER_TRANSLATES,
            private_be: key.address_be,
        };
        self.maps.owners.set(0, block, Some(owner))
    }

    /// Says which VPCs the IPv6 blocks belong to that an internet or egress-only gateway leads to.
    /// All others lead nowhere.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_public_blocks(
        &mut self,
        blocks: &BTreeMap<Ipv6Net, BlockOwner>,
    ) -> Result<(), FabricError> {
        // Kept step by step: what is known is true also when the kernel refuses in between.
        let known = self.public_blocks.keys();
        let stale: Vec<_> = known
            .filter(|block| !blocks.contains_key(block))
            .copied()
            .collect();
        for block in stale {
            self.maps.owners.set(0, block.into(), None)?;
            self.public_blocks.remove(&block);
        }
        for (block, wanted) in blocks {
            if self.public_blocks.get(block) == Some(wanted) {
                continue;
            }
            let owner = abi::Owner {
                vpc: self.vpcs.of(&wanted.vpc),
                flags: if wanted.asked_only {
                    abi::OWNER_EGRESS_ONLY
                } else {
                    0
                },
                private_be: [0; 16],
            };
            self.route_from_outside((*block).into())?;
            self.maps.owners.set(0, (*block).into(), Some(owner))?;
            self.public_blocks.insert(*block, wanted.clone());
        }
        Ok(())
    }
}
