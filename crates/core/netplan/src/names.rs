//! Names and Ethernet addresses that follow from what they belong to.

use underlay_types::{LeaseKey, Mac, PoolGroups, SecurityGroupSet};

use crate::numbers::{
    DEFAULT_SET_TABLE, LENT_PREFIX, NFT_SET_CHAIN_PREFIX, POD_DEVICE_PREFIX, RETURNED_PREFIX,
    SET_TABLE_BASE,
};

/// The name of the node's end of a pod's device: 15 bytes, the most the kernel takes. From the
/// whole key: a re-created pod of the same name must not meet its predecessor's device.
#[must_use]
pub fn host_device(key: &LeaseKey) -> String {
    format!("{POD_DEVICE_PREFIX}{:012x}", key.stable_hash() >> 16)
}

/// The Ethernet address of the node's end.
#[must_use]
pub fn host_mac(key: &LeaseKey) -> Mac {
    Mac::local(key.stable_hash())
}

/// The Ethernet address of the pod's end.
#[must_use]
pub fn pod_mac(key: &LeaseKey) -> Mac {
    Mac::local(!key.stable_hash())
}

/// The name of an ENI's device once it came back from a pod; also the 15 bytes that the kernel
/// takes. What it was called before may be another device's name by then.
#[must_use]
pub fn returned_device(mac: Mac) -> String {
    format!("{RETURNED_PREFIX}{}", digits(mac))
}

/// A further name of an ENI's device that a pod owns, by which it is told from devices that the pod
/// made with its Ethernet address. Longer than a first name can be.
#[must_use]
pub fn lent_device(mac: Mac) -> String {
    format!("{LENT_PREFIX}{}", digits(mac))
}

fn digits(mac: Mac) -> String {
    mac.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the chain with the rules of `set`.
#[must_use]
pub fn set_chain(set: &SecurityGroupSet) -> String {
    format!("{NFT_SET_CHAIN_PREFIX}{:016x}", fnv1a(&set.to_string()))
}

/// The table with the routes to this node's pods of `groups`. It follows from the groups alone, so
/// that a restarted agent comes to the same number.
#[must_use]
pub fn set_table(groups: &PoolGroups) -> u32 {
    match groups {
        PoolGroups::Default => DEFAULT_SET_TABLE,
        PoolGroups::Exactly(set) => {
            let [high, middle, low, ..] = fnv1a(&set.to_string()).to_be_bytes();
            SET_TABLE_BASE + u32::from_be_bytes([0, high, middle, low])
        }
    }
}

/// FNV-1a, which stays the same from version to version.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_tell_pods_apart() {
        let key = |container: &str| LeaseKey {
            network: "underlay".parse().unwrap(),
            container: container.parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        };
        let (one, two) = (key("c1"), key("c2"));
        assert_eq!(host_device(&one).len(), 15);
        assert_ne!(host_device(&one), host_device(&two));
        assert_ne!(host_mac(&one), pod_mac(&one));
        let set: SecurityGroupSet = "sg-0000000b,sg-0000000a".parse().unwrap();
        let same: SecurityGroupSet = "sg-0000000a,sg-0000000b".parse().unwrap();
        assert_eq!(set_chain(&set), set_chain(&same));
        assert_eq!(set_chain(&set).len(), 20);
        let mac = Mac([2, 0, 0xa, 0, 0, 0xff]);
        assert_eq!(returned_device(mac), "une02000a0000ff");
        assert_eq!(lent_device(mac), "underlay-02000a0000ff");
    }
}
