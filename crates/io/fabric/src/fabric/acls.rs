//! Network ACLs.

use underlay_fabric_abi as abi;
use underlay_types::NetworkAclId;

use super::rules;
use crate::{AclRule, AclRules, Fabric, FabricError, Protocol};

/// What is known of an ACL beside its entries.
#[derive(Debug, Default)]
pub(super) struct Acl {
    /// Entries of `acl_rules`, ingress and egress.
    chunks: [u32; 2],
    /// Everything passes: the programs need not ask.
    open: bool,
}

impl Fabric {
    /// Sets a network ACL's entries; they count for the next packet. A subnet with an ACL that was
    /// never set lets nothing pass its edge.
    ///
    /// # Errors
    /// With more than 1,024 entries in a direction, or when the kernel refuses.
    pub fn set_acl(&mut self, id: &NetworkAclId, entries: &AclRules) -> Result<(), FabricError> {
        for list in [&entries.ingress, &entries.egress] {
            rules::check_length(list, id.as_str())?;
        }
        let number = self.acl_numbers.of(id);
        let acl = self.acls.entry(id.clone()).or_default();
        for (direction, list) in [
            (abi::INGRESS, &entries.ingress),
            (abi::EGRESS, &entries.egress),
        ] {
            let encoded: Vec<_> = list.iter().map(rules::encode_acl_rule).collect();
            let chunks = &mut acl.chunks[usize::from(direction)];
            let map = &mut self.maps.acl_rules;
            rules::write(map, number, direction, &encoded, chunks)?;
        }
        let open = lets_everything_pass(&entries.ingress) && lets_everything_pass(&entries.egress);
        let before = std::mem::replace(&mut acl.open, open);
        if before == open {
            return Ok(());
        }
        let subnets: Vec<_> = self
            .subnets
            .iter()
            .filter(|(_, subnet)| subnet.acl.as_ref() == Some(id))
            .map(|(subnet, _)| subnet.clone())
            .collect();
        let published = subnets
            .iter()
            .try_for_each(|subnet| self.republish_subnet(subnet));
        if let (Err(_), Some(acl)) = (&published, self.acls.get_mut(id)) {
            // Asked for again, it is not taken for done.
            acl.open = before;
        }
        published
    }

    /// Forgets a network ACL: it lets nothing pass.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_acl(&mut self, id: &NetworkAclId) -> Result<(), FabricError> {
        self.set_acl(id, &AclRules::default())?;
        self.acls.remove(id);
        Ok(())
    }

    /// The number of a subnet's ACL in a port; 0 when there is nothing to ask.
    pub(super) fn acl_to_ask(&mut self, acl: Option<&NetworkAclId>) -> u32 {
        match acl {
            Some(id) if !self.acls.get(id).is_some_and(|acl| acl.open) => self.acl_numbers.of(id),
            _ => 0,
        }
    }
}

/// Whether of each family the first entry that speaks of it lets everything pass.
fn lets_everything_pass(entries: &[AclRule]) -> bool {
    [false, true].into_iter().all(|v6| {
        let first = entries
            .iter()
            .find(|entry| entry.block.network().is_ipv6() == v6);
        first.is_some_and(|entry| {
            entry.allow && entry.protocol == Protocol::Any && entry.block.prefix_len() == 0
        })
    })
}
