//! The eBPF object: loading it.

use std::{io, os::fd::BorrowedFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapError},
    programs::{ProgramError, ProgramFd, SchedClassifier},
};
use underlay_netlink::tc::Side;

use crate::DatapathError;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/branch.o"));

/// The programs, loaded.
#[derive(Debug)]
pub(crate) struct Programs {
    egress: Loaded,
    ingress: Loaded,
}

#[derive(Debug)]
struct Loaded {
    fd: ProgramFd,
    id: u32,
}

/// Loads the object with its programs into the kernel.
pub(crate) fn load() -> Result<Ebpf, DatapathError> {
    let mut object = EbpfLoader::new().load(OBJECT)?;
    for side in [Side::Egress, Side::Ingress] {
        let name = Programs::name(side);
        let loaded = program(&mut object, name)?.load();
        loaded.map_err(|source| refused(name, source))?;
    }
    Ok(object)
}

/// A map of the object, as its kind.
pub(crate) fn map<T: TryFrom<Map, Error = MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<T, DatapathError> {
    let map = object.take_map(name).ok_or(DatapathError::Object(name))?;
    T::try_from(map).map_err(|source| DatapathError::Read {
        map: name,
        source: Box::new(source),
    })
}

impl Programs {
    /// The name of the program of a side.
    pub(crate) const fn name(side: Side) -> &'static str {
        match side {
            Side::Egress => "to_trunk",
            Side::Ingress => "from_trunk",
        }
    }

    /// Keeps the loaded programs; the rest of the object goes.
    pub(crate) fn of(mut object: Ebpf) -> Result<Self, DatapathError> {
        Ok(Self {
            egress: loaded(&mut object, Side::Egress)?,
            ingress: loaded(&mut object, Side::Ingress)?,
        })
    }

    pub(crate) fn at(&self, side: Side) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.of_side(side).fd)
    }

    /// The kernel's id of the program.
    pub(crate) const fn id(&self, side: Side) -> u32 {
        self.of_side(side).id
    }

    const fn of_side(&self, side: Side) -> &Loaded {
        match side {
            Side::Egress => &self.egress,
            Side::Ingress => &self.ingress,
        }
    }
}

fn loaded(object: &mut Ebpf, side: Side) -> Result<Loaded, DatapathError> {
    let name = Programs::name(side);
    let program = program(object, name)?;
    let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?));
    let info = program.info();
    Ok(Loaded {
        fd: fd.map_err(|source| refused(name, source))?,
        id: info.map_err(|source| refused(name, source))?.id(),
    })
}

pub(crate) fn program<'a>(
    object: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, DatapathError> {
    object
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(DatapathError::Object(name))
}

fn refused(program: &'static str, source: ProgramError) -> DatapathError {
    DatapathError::Program {
        program,
        source: Box::new(source),
    }
}

/// Whether an entry was not there.
pub(crate) fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}
