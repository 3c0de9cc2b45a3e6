//! What is gone unseen: pods whose namespace died, and with it their device, and ENIs whose device
//! is.

use std::collections::BTreeSet;

use underlay_journal::{LeaseRecord, LeaseState};
use underlay_netplan::names;
use underlay_types::{Interface, LeaseKey, Timestamp};

use super::{Actor, LOOK_AGAIN};
use crate::engine::{clock::boot_time, message::Devices};

/// Keys whose device was not there at the last audit.
#[derive(Debug, Default)]
pub(in crate::engine) struct Vanished(BTreeSet<LeaseKey>);

impl Vanished {
    /// Judges by devices of the node read since `since_wall_ms`. Returns the keys whose device was
    /// missing at the last audit too, and starts anew with them.
    pub(super) fn seen_twice<'a>(
        &mut self,
        leases: impl Iterator<Item = &'a LeaseRecord>,
        since_wall_ms: u64,
        devices: &Devices,
    ) -> BTreeSet<LeaseKey> {
        let missing = leases
            // One that is being deleted may have lost the runtime that would say so again.
            .filter(|lease| lease.state != LeaseState::Reserved)
            .filter(|lease| lease.since_wall_ms < since_wall_ms)
            .filter(|lease| is_missing(lease, devices))
            .map(|lease| lease.key.clone());
        let before = std::mem::take(&mut self.0);
        let (twice, once) = missing.partition(|key| before.contains(key));
        self.0 = once;
        twice
    }

    /// The key is wired anew: what was missing before is no longer its device.
    pub(super) fn forget(&mut self, key: &LeaseKey) {
        self.0.remove(key);
    }
}

impl Actor {
    /// An ENI that is in use and whose device the node had no more, at a look begun at `since`, was
    /// detached or deleted by somebody: EC2 is asked now, not at the next audit.
    pub(super) fn look_for_lost_enis(&mut self, since: Timestamp, devices: &Devices) {
        let has_device = |eni| {
            let facts = self.enis.get(eni);
            facts.is_none_or(|facts| devices.macs.contains(&facts.mac))
        };
        if !self.ipam.in_use_since(since).all(has_device) {
            self.looks.next_at = self.looks.next_at.min(boot_time() + LOOK_AGAIN);
        }
    }
}

/// Whether the pod has lost its device: a veth is gone, an ENI is back in the node's namespace.
fn is_missing(lease: &LeaseRecord, devices: &Devices) -> bool {
    match lease.interface {
        Interface::Shared | Interface::Branch(_) => {
            !devices.names.contains(&names::host_device(&lease.key))
        }
        Interface::Whole(eni) => devices.macs.contains(&eni.mac),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use underlay_types::{EniId, Mac, PoolKey, WholeEni};

    use super::*;

    /// A pod's lease with an address of a shared ENI.
    pub(crate) fn lease() -> LeaseRecord {
        LeaseRecord {
            key: LeaseKey {
                network: "underlay".parse().unwrap(),
                container: "c1".parse().unwrap(),
                ifname: "eth0".parse().unwrap(),
            },
            ipv4: Some([10, 0, 0, 1].into()),
            ipv6: None,
            egress: None,
            eni: EniId::from_serial(1),
            place: underlay_ipam::Place::PRIMARY,
            pool: PoolKey::default_pool(),
            interface: Interface::Shared,
            second_in: None,
            pod: None,
            netns_path: "/run/netns/x".to_owned(),
            netns_cookie: 42,
            state: LeaseState::Active,
            since_wall_ms: 1_000,
        }
    }

    fn audit(vanished: &mut Vanished, lease: &LeaseRecord, devices: &[String]) -> usize {
        let devices = Devices {
            names: devices.iter().cloned().collect(),
            ..Devices::default()
        };
        let leases = std::iter::once(lease);
        vanished.seen_twice(leases, 2_000, &devices).len()
    }

    #[test]
    fn a_device_must_be_missing_twice_in_a_row() {
        let (mut vanished, lease) = (Vanished::default(), lease());
        let device = [names::host_device(&lease.key)];
        assert_eq!(audit(&mut vanished, &lease, &[]), 0);
        assert_eq!(audit(&mut vanished, &lease, &device), 0);
        assert_eq!(audit(&mut vanished, &lease, &[]), 0);
        assert_eq!(audit(&mut vanished, &lease, &[]), 1);
        assert_eq!(audit(&mut vanished, &lease, &[]), 0);
    }

    #[test]
    fn a_pod_vanishes_also_while_it_is_being_deleted_but_not_before_it_is_wired() {
        for (state, ended) in [(LeaseState::Deleting, 1), (LeaseState::Reserved, 0)] {
            let (mut vanished, lease) = (Vanished::default(), LeaseRecord { state, ..lease() });
            assert_eq!(audit(&mut vanished, &lease, &[]), 0);
            assert_eq!(audit(&mut vanished, &lease, &[]), ended);
        }
    }

    #[test]
    fn a_pod_that_owns_an_eni_has_lost_it_once_the_node_has_it() {
        let mac = Mac::local(7);
        let whole = WholeEni {
            mac,
            subnet: "10.0.0.0/24".parse().unwrap(),
        };
        let lease = LeaseRecord {
            interface: Interface::Whole(whole),
            second_in: None,
            ..lease()
        };
        let mut vanished = Vanished::default();
        let mut audit = |macs: &[Mac]| {
            let devices = Devices {
                macs: macs.iter().copied().collect(),
                ..Devices::default()
            };
            let leases = std::iter::once(&lease);
            vanished.seen_twice(leases, 2_000, &devices).len()
        };
        assert_eq!(audit(&[]), 0);
        assert_eq!(audit(&[]), 0);
        assert_eq!(audit(&[mac]), 0);
        assert_eq!(audit(&[mac]), 1);
    }

    #[test]
    fn a_key_that_is_wired_anew_has_not_vanished() {
        let (mut vanished, lease) = (Vanished::default(), lease());
        assert_eq!(audit(&mut vanished, &lease, &[]), 0);
        vanished.forget(&lease.key);
        // Read before the new wiring was there.
        assert_eq!(audit(&mut vanished, &lease, &[]), 0);
    }

    #[test]
    fn what_is_being_wired_or_younger_than_the_look_is_not_judged() {
        for lease in [
            LeaseRecord {
                state: LeaseState::Reserved,
                ..lease()
            },
            LeaseRecord {
                since_wall_ms: 2_000,
                ..lease()
            },
        ] {
            let mut vanished = Vanished::default();
            assert_eq!(audit(&mut vanished, &lease, &[]), 0);
            assert_eq!(audit(&mut vanished, &lease, &[]), 0);
        }
    }
}
