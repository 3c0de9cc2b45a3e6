//! Security groups, and the prefix lists that their rules name.

use std::collections::BTreeSet;

use ipnet::IpNet;
use underlay_fabric_abi as abi;
use underlay_types::{PrefixListId, SecurityGroupId};

use super::rules;
use crate::{Fabric, FabricError, GroupRules, Rule};

impl Fabric {
    /// Sets a group's rules. Packets of flows that are tracked are not asked again.
    ///
    /// # Errors
    /// With more than 1,024 rules in a direction, or when the kernel refuses.
    pub fn set_group(
        &mut self,
        group: &SecurityGroupId,
        rules: &GroupRules,
    ) -> Result<(), FabricError> {
        for list in [&rules.ingress, &rules.egress] {
            rules::check_length(list, group.as_str())?;
        }
        let number = self.groups.of(group);
        self.set_rules(number, abi::INGRESS, &rules.ingress)?;
        self.set_rules(number, abi::EGRESS, &rules.egress)?;
        self.maps.age_rules()
    }

    /// Forgets a group's rules: it allows nothing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_group(&mut self, group: &SecurityGroupId) -> Result<(), FabricError> {
        self.set_group(group, &GroupRules::default())
    }

    /// Sets all blocks of a prefix list.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_prefix_list(
        &mut self,
        list: &PrefixListId,
        blocks: &[IpNet],
    ) -> Result<(), FabricError> {
        let number = self.lists.of(list);
        let wanted: BTreeSet<_> = blocks.iter().map(IpNet::trunc).collect();
        // Kept step by step: what is known is true also when the kernel refuses in between.
        let known = self.list_blocks.entry(list.clone()).or_default();
        for block in &wanted {
            if !known.contains(block) {
                self.maps.list_blocks.set(number, *block, Some(1))?;
                known.insert(*block);
            }
        }
        let stale: Vec<_> = known.difference(&wanted).copied().collect();
        for block in stale {
            self.maps.list_blocks.set(number, block, None)?;
            known.remove(&block);
        }
        self.maps.age_rules()
    }

    /// Forgets a prefix list: no address is in it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_prefix_list(&mut self, list: &PrefixListId) -> Result<(), FabricError> {
        self.set_prefix_list(list, &[])?;
        self.list_blocks.remove(list);
        Ok(())
    }

    fn set_rules(&mut self, group: u32, direction: u8, rules: &[Rule]) -> Result<(), FabricError> {
        let encoded: Vec<_> = rules.iter().map(|rule| self.encode_rule(rule)).collect();
        let chunks = self.chunks.entry((group, direction.into())).or_default();
        let map = &mut self.maps.group_rules;
        rules::write(map, group, direction, &encoded, chunks)
    }
}
