//! The devices of ENIs: veths with the near end in the fabric.

use std::{os::fd::BorrowedFd, path::PathBuf};

use underlay_netlink::{
    Errno, IfIndex, KernelError, Socket, link,
    link::{Veth, VethEnd},
    netns,
};
use underlay_types::{EniId, Mac};

use crate::{FabricError, MTU};

/// Names of devices that are tried before giving up.
const NAMES: u32 = 1024;

/// Where an ENI's device goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) netns: PathBuf,
    pub(crate) device_index: u32,
}

/// A pair that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) near: IfIndex,
    pub(crate) near_name: String,
    pub(crate) far_name: String,
}

/// Makes the pair of an ENI: near end up in the fabric, far end down and without address in the
/// instance, named `eth<device index>` or the next free name, with the ENI's id as a further name.
/// On failure nothing is left.
pub(crate) fn make(
    fabric: &mut Socket,
    near_name: &str,
    eni: &EniId,
    mac: Mac,
    place: &Place,
) -> Result<Pair, FabricError> {
    let failed = |source| FabricError::Target {
        eni: eni.clone(),
        netns: place.netns.clone(),
        source,
    };
    let target = netns::open(&place.netns).map_err(failed)?;
    let target = std::os::fd::AsFd::as_fd(&target);
    let mut instance = Socket::open_in(target).map_err(failed)?;
    let far_name =
        make_with_free_name(fabric, near_name, mac, place.device_index, target).map_err(failed)?;
    let finish = |fabric: &mut Socket, instance: &mut Socket| {
        let near = link::by_name(fabric, near_name)?.index;
        let far = link::by_name(instance, &far_name)?.index;
        instance.run(&[link::add_altname(far, eni.as_str())])?;
        Ok(near)
    };
    match finish(fabric, &mut instance) {
        Ok(near) => Ok(Pair {
            near,
            near_name: near_name.to_owned(),
            far_name,
        }),
        Err(error) => {
            fabric.run(&[link::delete_by_name(near_name)])?;
            Err(failed(error))
        }
    }
}

fn make_with_free_name(
    fabric: &mut Socket,
    near_name: &str,
    mac: Mac,
    device_index: u32,
    target: BorrowedFd<'_>,
) -> Result<String, KernelError> {
    let mut index = device_index;
    loop {
        let far_name = format!("eth{index}");
        let mtu = Some(u32::from(MTU));
        let far = VethEnd {
            mac: Some(mac),
            mtu,
            netns: Some(target),
            ..VethEnd::named(&far_name)
        };
        let near = VethEnd {
            mtu,
            ..VethEnd::named(near_name)
        };
        match fabric.run(&[link::add_veth(&Veth {
            near,
            near_up: true,
            far,
        })]) {
            Ok(()) => return Ok(far_name),
            Err(error) if error.errno == Errno::EXIST && index < device_index + NAMES => index += 1,
            Err(error) => return Err(error),
        }
    }
}
