//! Security groups: rules as the programs read them.

use ipnet::IpNet;
use underlay_fabric_abi as abi;
use underlay_types::SecurityGroupId;
use zerocopy::FromZeros;

use crate::{Fabric, FabricError, GroupRules, Peer, Protocol, Rule};

const ICMP: u16 = 1;
const TCP: u16 = 6;
const UDP: u16 = 17;
const RULES_PER_DIRECTION: usize = abi::RULES_PER_CHUNK * abi::CHUNKS_PER_GROUP;

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
            if list.len() > RULES_PER_DIRECTION {
                return Err(FabricError::TooMany {
                    what: format!("rules of {group} in one direction"),
                    count: list.len(),
                    limit: RULES_PER_DIRECTION,
                });
            }
        }
        let number = self.groups.of(group);
        self.set_rules(number, abi::INGRESS, &rules.ingress)?;
        self.set_rules(number, abi::EGRESS, &rules.egress)
    }

    /// Forgets a group's rules: it allows nothing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_group(&mut self, group: &SecurityGroupId) -> Result<(), FabricError> {
        self.set_group(group, &GroupRules::default())
    }

    fn set_rules(&mut self, group: u32, direction: u8, rules: &[Rule]) -> Result<(), FabricError> {
        let direction = u32::from(direction);
        let rules: Vec<_> = rules.iter().map(|rule| self.encode_rule(rule)).collect();
        let mut chunk = 0;
        for part in rules.chunks(abi::RULES_PER_CHUNK) {
            let mut value = abi::RuleChunk::new_zeroed();
            value.count = u32::try_from(part.len()).unwrap_or(0);
            for (slot, rule) in value.rules.iter_mut().zip(part) {
                *slot = *rule;
            }
            self.maps.group_rules.set(
                abi::RulesKey {
                    group,
                    direction,
                    chunk,
                },
                value,
            )?;
            chunk += 1;
        }
        let before = self.chunks.insert((group, direction), chunk).unwrap_or(0);
        for chunk in chunk..before {
            self.maps.group_rules.remove(abi::RulesKey {
                group,
                direction,
                chunk,
            })?;
        }
        Ok(())
    }

    fn encode_rule(&mut self, rule: &Rule) -> abi::Rule {
        let any = |value: Option<u8>| value.map_or(abi::ICMP_ANY, u16::from);
        let (protocol, from, to) = match rule.protocol {
            Protocol::Any => (abi::PROTOCOL_ANY, 0, 0),
            Protocol::Icmp { kind, code } => (ICMP, any(kind), any(code)),
            Protocol::Other(number) => (u16::from(number), 0, u16::MAX),
            Protocol::Tcp { from, to } => (TCP, from, to),
            Protocol::Udp { from, to } => (UDP, from, to),
        };
        let (peer, address_or_group, mask_be) = match &rule.peer {
            Peer::Cidr(block) => {
                let family = match block {
                    IpNet::V4(_) => abi::PEER_CIDR_V4,
                    IpNet::V6(_) => abi::PEER_CIDR_V6,
                };
                (family, abi::address_bytes(block.network()), mask(block))
            }
            Peer::Group(group) => {
                let mut number = [0; 16];
                number[..4].copy_from_slice(&self.groups.of(group).to_ne_bytes());
                (abi::PEER_GROUP, number, [0; 16])
            }
        };
        abi::Rule {
            protocol,
            peer,
            from,
            to,
            address_or_group,
            mask_be,
        }
    }
}

/// The mask of a block among all 128 bits.
fn mask(block: &IpNet) -> [u8; 16] {
    let bits = abi::prefix_bits(block.network(), block.prefix_len());
    let zeros = u32::from(128 - bits);
    u128::MAX.checked_shl(zeros).unwrap_or(0).to_be_bytes()
}
