//! The annotation by which a controller gives a pod a branch ENI: whoever may annotate pods writes it.

use underlay_cni_spec::PodEni;
use underlay_types::{Families, Family, VlanId};

/// What an error begins with: the fields that are wrong, or what the whole must be.
const BEGINNINGS: [&str; 9] = [
    "must be a JSON list of one object",
    "eniId: ",
    "ifAddress: ",
    "ipv6Addr: ",
    "privateIp: ",
    "privateIp, ipv6Addr: ",
    "subnetCidr: ",
    "subnetV6Cidr: ",
    "vlanID: ",
];

/// Reads it as agents do whose pods have either family, or both.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for families in [Families::V4, Families::V6, Families::Dual] {
        match PodEni::parse(&text, families) {
            Ok(found) => check(&found, families),
            Err(error) => {
                let text = error.to_string();
                let named = BEGINNINGS.iter().any(|of| text.starts_with(of));
                assert!(named, "{text:?} names no field");
            }
        }
    }
}

fn check(found: &PodEni, families: Families) {
    assert!(found.ipv4.is_some() || found.ipv6.is_some(), "{found:?}");
    assert!(
        found.ipv4.is_none() || families.has(Family::V4),
        "{found:?}"
    );
    assert!(
        found.ipv6.is_none() || families.has(Family::V6),
        "{found:?}"
    );
    if let Some(ipv4) = found.ipv4 {
        // The subnet's router is its first host, and a pod has none of the first three.
        let after_router = u32::from(ipv4.address).checked_sub(u32::from(ipv4.router));
        assert!(after_router.is_some_and(|after| after >= 3), "{found:?}");
    }
    assert!(
        (1..=VlanId::MAX).contains(&found.vlan.number()),
        "{found:?}"
    );
}
