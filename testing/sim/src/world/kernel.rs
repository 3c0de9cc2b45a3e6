//! The node's kernel, as far as addresses depend on it: devices of pods, and ENIs in use.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use underlay_ipam::{Input, Place};
use underlay_journal::LeaseRecord;
use underlay_types::{EniId, LeaseKey, PodAddresses, Timestamp};

use super::{Event, World};

/// How long the device of an attached ENI may take to appear.
const DEVICE_DEADLINE: Duration = Duration::from_secs(30);

/// What stands in the kernel; it outlives the agent.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    devices: BTreeMap<LeaseKey, Device>,
    used: BTreeSet<EniId>,
}

#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) addresses: PodAddresses,
    pub(crate) eni: EniId,
    /// By where its ENI was when it was wired, or used again: its marks follow from it.
    pub(super) place: Place,
    /// Off the network, and not deleted yet.
    retired: bool,
}

impl Kernel {
    /// Whether a pod is wired.
    pub(crate) fn has_device(&self, key: &LeaseKey) -> bool {
        self.devices.get(key).is_some_and(|device| !device.retired)
    }

    /// Whether a retired device of this key still exists.
    pub(crate) fn is_retiring(&self, key: &LeaseKey) -> bool {
        self.devices.get(key).is_some_and(|device| device.retired)
    }

    /// Devices of pods that are on the network.
    pub(super) fn wired(&self) -> impl Iterator<Item = (&LeaseKey, &Device)> {
        self.devices.iter().filter(|(_, device)| !device.retired)
    }

    /// The devices that exist for an address.
    fn of(&self, address: IpAddr) -> impl Iterator<Item = (&LeaseKey, &Device)> {
        self.devices
            .iter()
            .filter(move |(_, device)| device.addresses.iter().any(|each| each == address))
    }

    /// Whether a pod has the address, or its old device still exists.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.of(address).next().is_some()
    }
}

impl World {
    pub(crate) fn wire_device(&mut self, record: &LeaseRecord, addresses: PodAddresses) {
        let LeaseRecord {
            key, eni, place, ..
        } = record;
        let others: Vec<_> = addresses
            .iter()
            .flat_map(|address| self.kernel.of(address))
            .filter(|(other, _)| *other != key)
            .map(|(other, device)| format!("{other} {device:?}"))
            .collect();
        self.require(others.is_empty(), |_| {
            format!("{key} gets {addresses:?}, which has {others:?}")
        });
        let device = Device {
            addresses,
            eni: eni.clone(),
            place: *place,
            retired: false,
        };
        self.note(|_| format!("{key} is wired with {addresses:?} of {eni}"));
        self.kernel.devices.insert(key.clone(), device);
    }

    /// Takes a pod off the network; its device goes a little later.
    pub(crate) fn retire_device(&mut self, key: &LeaseKey) {
        let now = self.now;
        let Some(device) = self.kernel.devices.get_mut(key) else {
            return;
        };
        if !device.retired {
            device.retired = true;
            let rest = device.addresses.iter().map(|address| (address, now));
            self.books.rested.extend(rest);
            let pause = if self.chance(0.1) {
                self.millis(2_000..60_000)
            } else {
                self.millis(5..400)
            };
            self.after(pause, Event::Reap(key.clone()));
        }
    }

    pub(super) fn reap(&mut self, key: &LeaseKey) {
        if self.kernel.is_retiring(key) {
            self.kernel.devices.remove(key);
            self.device_is_gone();
        }
    }

    /// The namespace of a pod dies, and its device with it.
    pub(super) fn device_dies(&mut self, key: &LeaseKey) {
        if let Some(device) = self.kernel.devices.remove(key) {
            let now = self.now;
            for address in device.addresses.iter() {
                self.books.rested.entry(address).or_insert(now);
            }
        }
    }

    /// A new agent deletes the devices of no pod that it knows.
    pub(crate) fn remove_strays(&mut self, standing: &BTreeSet<LeaseKey>) {
        let now = self.now;
        let rested = &mut self.books.rested;
        self.kernel.devices.retain(|key, device| {
            let stays = standing.contains(key);
            if !stays && !device.retired {
                rested.extend(device.addresses.iter().map(|address| (address, now)));
            }
            stays
        });
    }

    /// Has pods leave by where the journal says that their ENI is.
    pub(crate) fn place_devices(&mut self) {
        let Some(agent) = &self.agent else { return };
        for (key, device) in &mut self.kernel.devices {
            if let Some(record) = agent.state.leases.get(key) {
                device.place = record.place;
            }
        }
    }

    /// Brings an ENI into use as soon as its device is there.
    pub(crate) fn try_use_eni(&mut self, eni: EniId, since: Timestamp) {
        if !self.survives() {
            return;
        }
        self.cloud.model.tick(self.now);
        if self.cloud.has_device(&eni) {
            self.kernel.used.insert(eni.clone());
            self.note(|_| format!("the node uses {eni}"));
            self.place_devices();
            return self.feed(Input::EniReady(eni));
        }
        if self.now < since + DEVICE_DEADLINE {
            let life = self.life;
            return self.after(Duration::from_millis(800), Event::UseEni(life, eni, since));
        }
        let reason = "no device".to_owned();
        self.feed(Input::EniUnready { eni, reason });
    }

    pub(crate) fn eni_dropped(&mut self, eni: EniId) {
        if !self.survives() {
            return;
        }
        self.note(|_| format!("the node drops {eni}"));
        self.kernel.used.remove(&eni);
        self.feed(Input::EniDropped(eni));
    }
}
