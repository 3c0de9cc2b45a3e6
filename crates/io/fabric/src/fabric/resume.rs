//! Taking over a fabric that another process left.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use underlay_netlink::{Errno, Socket, link, netns};
use underlay_types::EniId;

use super::{Fabric, FabricNames, LoadedPrograms, Place, silence};
use crate::{
    FabricError, PortConfig,
    device::{self, Pair},
    ledger::{Ledger, Remembered},
    maps::Maps,
    outside, services,
};

/// A port that another process made.
#[derive(Debug)]
pub(crate) struct FoundPort {
    number: u32,
    place: device::Place,
    pair: Pair,
}

impl Fabric {
    /// Takes over a fabric that another process left; packets go on meanwhile. `programs` come
    /// from [`FabricStore::load`](crate::FabricStore::load).
    ///
    /// Say then what the fabric is to be, with `set_*` and [`Self::add_port`] as for a new one:
    /// what is there already stays untouched. [`Self::finish_resume`] removes the rest.
    ///
    /// # Errors
    /// `Gone` when a namespace is not there; when the kernel refuses.
    pub fn resume(programs: LoadedPrograms, names: FabricNames) -> Result<Self, FabricError> {
        let LoadedPrograms { mut object, kept } = programs;
        let mut maps = Maps::take(&mut object)?;
        let netns = open(&names.fabric)?;
        let services = open(&names.services)?;
        let outside = open(&names.outside)?;
        silence(&netns)?;
        let mut socket = Socket::open_in(netns.as_fd())?;
        connect_services(&mut object, &mut maps, &mut socket, &netns, &services)?;
        connect_outside(&mut object, &mut maps, &mut socket, &netns, &outside)?;
        let mut window = maps.window()?;
        if window == 0 {
            window = 1;
            maps.set_window(window)?;
        }
        let place = Place {
            names,
            socket,
            netns,
            services,
            outside,
        };
        let mut fabric = Self::with(object, maps, kept.as_ref(), window, place);
        fabric.stays = true;
        if let Some((ledger, remembered)) = &kept {
            fabric.found = fabric.find_ports(ledger, remembered)?;
        }
        fabric.maps.mark();
        Ok(fabric)
    }

    /// The ports that were found, with the namespaces where they were made, as far as they are not
    /// taken over yet.
    pub fn found_ports(&self) -> impl Iterator<Item = (&EniId, &Path)> {
        let found = self.found.iter();
        found.map(|(eni, port)| (eni, port.place.netns.as_path()))
    }

    /// Removes what was found and is not wanted: ports, their devices, and what the programs know.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn finish_resume(&mut self) -> Result<(), FabricError> {
        self.maps.sweep()?;
        let found = std::mem::take(&mut self.found);
        let mut requests = Vec::new();
        for (eni, port) in &found {
            if let Some(ledger) = &self.ledger {
                ledger.note_gone(eni);
            }
            requests.push(link::delete(port.pair.near));
        }
        Ok(self.socket.run(&requests)?)
    }

    /// Takes over the device that was found of an ENI, if it is where it should be.
    pub(super) fn adopt(
        &mut self,
        config: &PortConfig,
        place: &device::Place,
    ) -> Result<Option<String>, FabricError> {
        let Some(port) = self.found.remove(&config.eni) else {
            return Ok(None);
        };
        if port.place != *place {
            self.socket.run(&[link::delete(port.pair.near)])?;
            self.maps.enis.remove(port.pair.near.0)?;
            return Ok(None);
        }
        let eni = config.eni.clone();
        let name = port.pair.far_name.clone();
        let state = super::ports::PortState {
            config: config.clone(),
            stale: Vec::new(),
            number: port.number,
            place: port.place,
            pair: port.pair,
        };
        self.ports.insert(eni.clone(), state);
        self.publish(&eni)?;
        self.republish_branches(&eni)?;
        Ok(Some(name))
    }

    /// The ports whose devices are complete; what is left of others is removed. A device is
    /// complete once the programs know its ENI: that is set last, and taken back first.
    fn find_ports(
        &mut self,
        ledger: &Ledger,
        remembered: &Remembered,
    ) -> Result<BTreeMap<EniId, FoundPort>, FabricError> {
        let mut found = BTreeMap::new();
        let mut torn = Vec::new();
        for near in link::dump(&mut self.socket)? {
            let Some(number) = port_number(&near.name) else {
                continue;
            };
            let eni = self.enis.id(number).cloned();
            let place = eni.as_ref().and_then(|eni| remembered.places.get(eni));
            let known = self.maps.enis.find(near.index.0)? == Some(number);
            match (eni, place) {
                (Some(eni), Some(place)) if known => {
                    let pair = Pair {
                        near: near.index,
                        near_name: near.name,
                        far_name: format!("eth{}", place.device_index),
                    };
                    let place = place.clone();
                    found.insert(
                        eni,
                        FoundPort {
                            number,
                            place,
                            pair,
                        },
                    );
                }
                (eni, _) => {
                    torn.push(link::delete(near.index));
                    if let Some(eni) = eni {
                        ledger.note_gone(&eni);
                    }
                }
            }
        }
        self.socket.run(&torn)?;
        Ok(found)
    }
}

/// The number of the ENI whose near end has this name.
fn port_number(name: &str) -> Option<u32> {
    name.strip_prefix('p')?.parse().ok()
}

fn open(name: &str) -> Result<OwnedFd, FabricError> {
    netns::open_named(name).map_err(|error| match error.errno {
        Errno::NOENT => FabricError::Gone(name.to_owned()),
        _ => error.into(),
    })
}

/// Connects the services unless they are.
fn connect_services(
    object: &mut aya::Ebpf,
    maps: &mut Maps,
    fabric: &mut Socket,
    netns: &OwnedFd,
    services: &OwnedFd,
) -> Result<(), FabricError> {
    let known = maps.settings()?;
    if is_connected(fabric, services::DEVICE, known.services_ifindex)? {
        return Ok(());
    }
    // What leads outside is looked at next.
    maps.set_settings(services::connect(object, fabric, netns, services)?)
}

/// Connects the outside world unless it is.
fn connect_outside(
    object: &mut aya::Ebpf,
    maps: &mut Maps,
    fabric: &mut Socket,
    netns: &OwnedFd,
    outside: &OwnedFd,
) -> Result<(), FabricError> {
    let mut settings = maps.settings()?;
    if is_connected(fabric, outside::DEVICE, settings.outside_ifindex)? {
        return Ok(());
    }
    outside::connect(object, fabric, netns, outside, &mut settings)?;
    maps.set_settings(settings)
}

/// Whether the device is there and the programs know it. One that they do not know is removed.
fn is_connected(fabric: &mut Socket, device: &str, known: u32) -> Result<bool, FabricError> {
    let device = match link::by_name(fabric, device) {
        Ok(device) => device,
        Err(error) if error.errno == Errno::NODEV => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if device.index.0 == known {
        return Ok(true);
    }
    fabric.run(&[link::delete(device.index)])?;
    Ok(false)
}
