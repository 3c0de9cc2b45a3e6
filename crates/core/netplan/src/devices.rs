//! The devices that pods and ENIs must have, against those that the node has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use underlay_types::{LeaseKey, Mac};

use crate::{Drift, EniSlot, NodeState, numbers::POD_GROUP};

/// A device that the node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its index, which stays when its name changes.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// Bytes of a packet.
    pub mtu: u32,
    /// Its group.
    pub group: u32,
    /// Whether it is up.
    pub up: bool,
}

/// What a device must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The name that it had.
    Name,
    /// Its Ethernet address.
    Mac(Mac),
    /// Its MTU.
    Mtu(u32),
    /// Its group.
    Group(u32),
    /// To be up. Last: an up device may not be renamed on older kernels.
    Up,
}

/// A device that is there and not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    /// Whose device it is.
    pub drift: Drift,
    /// Its index.
    pub index: u32,
    /// The name that it must have.
    pub name: String,
    /// What it must be given, in this order.
    pub lacks: Vec<Lack>,
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        for lack in &self.lacks {
            match lack {
                Lack::Name => write!(f, " had another name"),
                Lack::Mac(mac) => write!(f, " not {mac}"),
                Lack::Mtu(mtu) => write!(f, " mtu not {mtu}"),
                Lack::Group(group) => write!(f, " not in group {group:#x}"),
                Lack::Up => write!(f, " down"),
            }?;
        }
        Ok(())
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Devices to be put right.
    pub mends: Vec<Mend>,
    /// ENIs whose device has another name now: a device of the machine's keeps it.
    pub renamed: Vec<(EniSlot, String)>,
    /// The trunk's, likewise.
    pub trunk_renamed: Option<String>,
    /// Pods without a device.
    pub lost: Vec<LeaseKey>,
    /// Devices in the group of pods that belong to none.
    pub strays: Vec<String>,
}

impl Compared {
    /// Whether everything is as it must be, as far as that can be put right.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.mends.is_empty()
            && self.renamed.is_empty()
            && self.trunk_renamed.is_none()
            && self.strays.is_empty()
    }
}

/// Compares the devices of `state` with those found. A device of another name is known by its
/// Ethernet address.
#[must_use]
pub fn compare(state: &NodeState, found: &[Device]) -> Compared {
    let by_name: BTreeMap<&str, &Device> = found.iter().map(|d| (d.name.as_str(), d)).collect();
    let by_mac = |mac: Mac| found.iter().find(|device| device.mac == Some(mac));
    let mut compared = Compared::default();
    // Without a device it was detached: what EC2 says about that counts.
    let of_eni = |name: &str, mac: Mac| {
        let named = by_name.get(name).copied();
        let named = named.filter(|device| device.mac == Some(mac));
        named.or_else(|| by_mac(mac))
    };
    for (slot, eni) in state.enis() {
        if let Some(device) = of_eni(&eni.device, eni.wiring.mac) {
            let renamed = compared.note_eni(device, &eni.device, eni.wiring.mtu);
            compared.renamed.extend(renamed.map(|name| (*slot, name)));
        }
    }
    if let Some(trunk) = state.trunk()
        && let Some(device) = of_eni(&trunk.device, trunk.wiring.mac)
    {
        compared.trunk_renamed = compared.note_eni(device, &trunk.device, trunk.wiring.mtu);
    }
    let mut known = BTreeSet::new();
    for (key, pod) in state.pods() {
        let (name, mac) = (pod.host_device(), pod.host_mac());
        let Some(device) = by_name.get(name.as_str()).copied().or_else(|| by_mac(mac)) else {
            compared.lost.push(key.clone());
            continue;
        };
        known.insert(device.index);
        let lacks = [
            (device.name != name).then_some(Lack::Name),
            (device.mac != Some(mac)).then_some(Lack::Mac(mac)),
            (device.mtu != pod.mtu).then_some(Lack::Mtu(pod.mtu)),
            (device.group != POD_GROUP).then_some(Lack::Group(POD_GROUP)),
            (!device.up).then_some(Lack::Up),
        ];
        compared.note(
            Drift::Device,
            device,
            &name,
            lacks.into_iter().flatten().collect(),
        );
    }
    let strays = found.iter().filter(|device| device.group == POD_GROUP);
    let strays = strays.filter(|device| !known.contains(&device.index));
    compared.strays = strays.map(|device| device.name.clone()).collect();
    compared
}

impl Compared {
    /// Returns the name of the device, if it is not `name`.
    fn note_eni(&mut self, device: &Device, name: &str, mtu: u32) -> Option<String> {
        let wrong_mtu = (device.mtu != mtu).then_some(Lack::Mtu(mtu));
        let lacks = wrong_mtu.into_iter();
        let lacks = lacks.chain((!device.up).then_some(Lack::Up));
        self.note(Drift::Eni, device, &device.name, lacks.collect());
        (device.name != name).then(|| device.name.clone())
    }

    fn note(&mut self, drift: Drift, device: &Device, name: &str, lacks: Vec<Lack>) {
        if !lacks.is_empty() {
            self.mends.push(Mend {
                drift,
                index: device.index,
                name: name.to_owned(),
                lacks,
            });
        }
    }
}
