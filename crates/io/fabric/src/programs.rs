//! The eBPF object: loading it and attaching its programs.

use std::{os::fd::BorrowedFd, path::PathBuf};

use aya::{
    Ebpf, EbpfLoader,
    programs::{
        SchedClassifier, TcAttachType,
        tc::{self, NlOptions, TcAttachOptions},
    },
};
use underlay_netlink::netns;

use crate::{FabricError, FabricSizes};

pub(crate) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fabric.o"));

/// A program of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramName {
    /// For the near end of an ENI's veth.
    FromEni,
    /// For the near end of the services' veth.
    FromServices,
}

impl ProgramName {
    const fn text(self) -> &'static str {
        match self {
            Self::FromEni => "from_eni",
            Self::FromServices => "from_services",
        }
    }
}

/// Loads the object with maps of the wanted sizes, and its programs into the kernel.
pub(crate) fn load(sizes: &FabricSizes) -> Result<Ebpf, FabricError> {
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries("tracks", sizes.tracked_flows)
        .map_max_entries("flows", sizes.flow_records);
    load_with(&mut loader)
}

/// Loads the object with maps that are pinned, by their names.
pub(crate) fn load_on(pins: &[(String, PathBuf)]) -> Result<Ebpf, FabricError> {
    let mut loader = EbpfLoader::new();
    for (name, path) in pins {
        loader.map_pin_path(name, path.as_path());
    }
    load_with(&mut loader)
}

fn load_with(loader: &mut EbpfLoader<'_>) -> Result<Ebpf, FabricError> {
    let mut object = loader.load(OBJECT)?;
    for name in [ProgramName::FromEni, ProgramName::FromServices] {
        program(&mut object, name)?
            .load()
            .map_err(|source| FabricError::Program {
                program: name.text(),
                source: Box::new(source),
            })?;
    }
    Ok(object)
}

fn program(object: &mut Ebpf, name: ProgramName) -> Result<&mut SchedClassifier, FabricError> {
    object
        .program_mut(name.text())
        .and_then(|program| program.try_into().ok())
        .ok_or(FabricError::Object(name.text()))
}

/// Attaches a program at the ingress of `device` in `netns`.
///
/// By a clsact qdisc and a classifier: a tcx link waits for RCU, 15 ms each. The attachment
/// belongs to the device and goes with it.
pub(crate) fn attach(
    object: &mut Ebpf,
    name: ProgramName,
    device: &str,
    netns: BorrowedFd<'_>,
) -> Result<(), FabricError> {
    let classifier = program(object, name)?;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| FabricError::Attach {
        program: name.text(),
        device: device.to_owned(),
        source,
    };
    netns::run_in(netns, || {
        tc::qdisc_add_clsact(device).map_err(|error| failed(Box::new(error)))?;
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let link = classifier
            .attach_with_options(device, TcAttachType::Ingress, options)
            .and_then(|id| classifier.take_link(id))
            .map_err(|error| failed(Box::new(error)))?;
        // Dropped, it would detach by its index in whatever namespace the thread is in then.
        std::mem::forget(link);
        Ok(())
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the verifier walks decides how long every start takes; it grows suddenly when a
    /// function is inlined that ought to be verified once.
    #[test]
    fn the_verifier_walks_few_instructions() {
        let mut object = load(&FabricSizes::default()).unwrap();
        for name in [ProgramName::FromEni, ProgramName::FromServices] {
            let info = program(&mut object, name).unwrap().info().unwrap();
            let walked = info.verified_instruction_count().unwrap();
            println!("{name:?}: {walked}");
            assert!(walked < 200_000, "{name:?}: {walked} instructions");
        }
    }
}
