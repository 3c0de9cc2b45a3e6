//! What outlives the process: pinned maps and the ledger.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::mount::{MountFlags, mount};

use crate::{
    FabricError, LoadedPrograms,
    ledger::{Ledger, Remembered},
    programs,
};

/// The folder of a fabric that outlives the process. It holds a bpffs of its own; who removes the
/// folder unmounts that first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricStore {
    folder: PathBuf,
}

impl FabricStore {
    /// A folder, which need not exist.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Has the fabric that `programs` will become outlive the process.
    ///
    /// # Errors
    /// When the folder exists or the kernel refuses. What was made stays in the folder.
    pub fn keep(&self, programs: LoadedPrograms) -> Result<LoadedPrograms, FabricError> {
        let LoadedPrograms { mut object, .. } = programs;
        let pins = self.pins();
        let failed = |op| store_error(op, &self.folder);
        fs::create_dir(&self.folder).map_err(failed("create"))?;
        fs::create_dir(&pins).map_err(store_error("create", &pins))?;
        mount("bpf", &pins, "bpf", MountFlags::empty(), None)
            .map_err(|errno| store_error("mount a bpffs on", &pins)(errno.into()))?;
        for (name, map) in object.maps_mut() {
            let pin = pins.join(name);
            map.pin(&pin)
                .map_err(|source| store_error("pin a map at", &pin)(io::Error::other(source)))?;
        }
        fs::write(self.object(), programs::OBJECT).map_err(failed("write in"))?;
        let ledger = Ledger::begin(&self.ledger()).map_err(failed("write in"))?;
        Ok(LoadedPrograms {
            object,
            kept: Some((Arc::new(ledger), Remembered::default())),
        })
    }

    /// The programs again, on the maps that were kept.
    ///
    /// # Errors
    /// `OtherBuild` when they were kept by another; when the folder is not as [`Self::keep`]
    /// leaves it, or the kernel refuses.
    pub fn load(&self) -> Result<LoadedPrograms, FabricError> {
        let failed = |op| store_error(op, &self.folder);
        if fs::read(self.object()).map_err(failed("read in"))? != programs::OBJECT {
            return Err(FabricError::OtherBuild);
        }
        let mut maps = Vec::new();
        for entry in fs::read_dir(self.pins()).map_err(failed("list pins in"))? {
            let entry = entry.map_err(failed("list pins in"))?;
            if let Ok(name) = entry.file_name().into_string() {
                maps.push((name, entry.path()));
            }
        }
        let object = programs::load_on(&maps)?;
        let (ledger, remembered) = Ledger::open(&self.ledger()).map_err(failed("read in"))?;
        Ok(LoadedPrograms {
            object,
            kept: Some((Arc::new(ledger), remembered)),
        })
    }

    fn pins(&self) -> PathBuf {
        self.folder.join("pins")
    }

    fn object(&self) -> PathBuf {
        self.folder.join("fabric.o")
    }

    fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }
}

fn store_error(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FabricError {
    let path = path.to_owned();
    move |source| FabricError::Store { op, path, source }
}
