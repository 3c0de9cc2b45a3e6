//! The eBPF object: loading it and attaching its programs.

use std::{os::fd::BorrowedFd, path::PathBuf};

use aya::{
    Ebpf, EbpfLoader,
    maps::ProgramArray,
    programs::{
        ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, TcAttachOptions},
    },
};
use underlay_fabric_abi as abi;
use underlay_netlink::netns;

use crate::{FabricError, FabricSizes, maps::shape};

pub(crate) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fabric.o"));

/// A program of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramName {
    /// For the near end of an ENI's veth.
    Eni,
    /// For the near end of the outside world's veth.
    Outside,
    /// For the near end of the services' veth.
    Services,
}

impl ProgramName {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Eni => "from_eni",
            Self::Outside => "from_outside",
            Self::Services => "from_services",
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
    for name in [
        ProgramName::Eni,
        ProgramName::Outside,
        ProgramName::Services,
    ] {
        load_program(&mut object, name.text())?;
    }
    open_gates(&mut object)?;
    Ok(object)
}

/// Loads the programs that packets go on to, and puts them where the others look for them. What
/// stands there, of a fabric that is taken over, is replaced.
fn open_gates(object: &mut Ebpf) -> Result<(), FabricError> {
    for name in abi::GATES {
        load_program(object, name)?;
    }
    let mut fds = Vec::new();
    for name in abi::GATES {
        let fd = program(object, name)?
            .fd()
            .and_then(|fd| Ok(fd.try_clone()?));
        fds.push(fd.map_err(|source| refused(name, source))?);
    }
    let gates = object
        .map_mut("gates")
        .ok_or(FabricError::Object("gates"))?;
    let mut gates = ProgramArray::try_from(gates).map_err(|source| shape("gates", source))?;
    for (index, (name, fd)) in (0..).zip(abi::GATES.into_iter().zip(&fds)) {
        gates.set(index, fd, 0).map_err(|source| FabricError::Map {
            op: "set",
            what: name.to_owned(),
            map: "gates",
            source: Box::new(source),
        })?;
    }
    Ok(())
}

fn load_program(object: &mut Ebpf, name: &'static str) -> Result<(), FabricError> {
    let loaded = program(object, name)?.load();
    loaded.map_err(|source| refused(name, source))
}

fn refused(program: &'static str, source: ProgramError) -> FabricError {
    FabricError::Program {
        program,
        source: Box::new(source),
    }
}

fn program<'a>(
    object: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, FabricError> {
    object
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(FabricError::Object(name))
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
    let classifier = program(object, name.text())?;
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
        let attached = [
            ProgramName::Eni,
            ProgramName::Outside,
            ProgramName::Services,
        ];
        for name in attached
            .map(ProgramName::text)
            .into_iter()
            .chain(abi::GATES)
        {
            let info = program(&mut object, name).unwrap().info().unwrap();
            let walked = info.verified_instruction_count().unwrap();
            println!("{name}: {walked}");
            assert!(walked < 200_000, "{name}: {walked} instructions");
        }
    }
}
