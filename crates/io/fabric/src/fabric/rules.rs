//! Lists of rules as the programs read them: of groups, and of network ACLs.

use ipnet::IpNet;
use underlay_fabric_abi as abi;
use zerocopy::FromZeros;

use crate::{AclRule, Fabric, FabricError, Peer, Protocol, Rule, maps::Table};

const ICMP: u16 = 1;
const TCP: u16 = 6;
const UDP: u16 = 17;
const ICMPV6: u16 = 58;
pub(super) const RULES_PER_DIRECTION: usize = abi::RULES_PER_CHUNK * abi::CHUNKS_PER_LIST;

/// Refuses a list that the programs would not read to its end.
pub(super) fn check_length<T>(rules: &[T], what: &str) -> Result<(), FabricError> {
    if rules.len() <= RULES_PER_DIRECTION {
        return Ok(());
    }
    Err(FabricError::TooMany {
        what: format!("rules of {what} in one direction"),
        count: rules.len(),
        limit: RULES_PER_DIRECTION,
    })
}

/// Writes the rules of the list `list` in one direction. `chunks` says how many chunks it may
/// have, also when the kernel refuses in between.
pub(super) fn write(
    map: &mut Table<abi::RulesKey, abi::RuleChunk>,
    list: u32,
    direction: u8,
    rules: &[abi::Rule],
    chunks: &mut u32,
) -> Result<(), FabricError> {
    let key = |chunk| abi::RulesKey {
        list,
        direction: direction.into(),
        chunk,
    };
    let answers = rules.iter().fold(0, |all, rule| all | answers(rule));
    let mut chunk = 0;
    for part in rules.chunks(abi::RULES_PER_CHUNK) {
        let mut value = abi::RuleChunk::new_zeroed();
        value.count = u32::try_from(part.len()).unwrap_or(0);
        value.answers = answers;
        for (slot, rule) in value.rules.iter_mut().zip(part) {
            *slot = *rule;
        }
        map.set(key(chunk), value)?;
        chunk += 1;
        *chunks = chunk.max(*chunks);
    }
    while *chunks > chunk {
        map.remove(key(*chunks - 1))?;
        *chunks -= 1;
    }
    Ok(())
}

/// Which answers a rule lets pass, whoever they are for or from.
const fn answers(rule: &abi::Rule) -> u32 {
    let v6 = rule.peer == abi::PEER_CIDR_V6;
    let (tcp, udp) = if v6 {
        (abi::ANSWERS_TCP_V6, abi::ANSWERS_UDP_V6)
    } else {
        (abi::ANSWERS_TCP_V4, abi::ANSWERS_UDP_V4)
    };
    let every_port = rule.from == 0 && rule.to == u16::MAX;
    match rule.protocol {
        _ if rule.flags & abi::RULE_EVERYONE == 0 => 0,
        abi::PROTOCOL_ANY => tcp | udp,
        TCP if every_port => tcp,
        UDP if every_port => udp,
        _ => 0,
    }
}

impl Fabric {
    pub(super) fn encode_rule(&mut self, rule: &Rule) -> abi::Rule {
        let numbered = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_ne_bytes());
            bytes
        };
        let (peer, address_or_number) = match &rule.peer {
            Peer::Cidr(block) => return encode_block(rule.protocol, block),
            Peer::Group(group) => (abi::PEER_GROUP, numbered(self.groups.of(group))),
            Peer::List(list) => (abi::PEER_LIST, numbered(self.lists.of(list))),
        };
        let (protocol, from, to) = encode_protocol(rule.protocol);
        abi::Rule {
            protocol,
            peer,
            from,
            to,
            flags: 0,
            address_or_number,
            mask_be: [0; 16],
        }
    }
}

pub(super) fn encode_acl_rule(rule: &AclRule) -> abi::Rule {
    let mut encoded = encode_block(rule.protocol, &rule.block);
    if !rule.allow {
        encoded.flags |= abi::RULE_DENY;
    }
    encoded
}

fn encode_block(protocol: Protocol, block: &IpNet) -> abi::Rule {
    let (protocol, from, to) = encode_protocol(protocol);
    let peer = match block {
        IpNet::V4(_) => abi::PEER_CIDR_V4,
        IpNet::V6(_) => abi::PEER_CIDR_V6,
    };
    let everyone = block.prefix_len() == 0;
    abi::Rule {
        protocol,
        peer,
        from,
        to,
        flags: if everyone { abi::RULE_EVERYONE } else { 0 },
        address_or_number: abi::address_bytes(block.network()),
        mask_be: mask(block),
    }
}

fn encode_protocol(protocol: Protocol) -> (u16, u16, u16) {
    let any = |value: Option<u8>| value.map_or(abi::ICMP_ANY, u16::from);
    match protocol {
        Protocol::Any => (abi::PROTOCOL_ANY, 0, 0),
        Protocol::Icmp { kind, code } => (ICMP, any(kind), any(code)),
        Protocol::Icmpv6 { kind, code } => (ICMPV6, any(kind), any(code)),
        Protocol::Other(number) => (number.into(), 0, u16::MAX),
        Protocol::Tcp { from, to } => (TCP, from, to),
        Protocol::Udp { from, to } => (UDP, from, to),
    }
}

/// The mask of a block among all 128 bits.
fn mask(block: &IpNet) -> [u8; 16] {
    let bits = abi::prefix_bits(block.network(), block.prefix_len());
    let zeros = u32::from(128 - bits);
    u128::MAX.checked_shl(zeros).unwrap_or(0).to_be_bytes()
}
