//! Where the programs under test are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A folder with the programs of the product.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The folder named by `UNDERLAY_BIN_DIR`, else the one of the running executable, or of the
    /// build that made the running test (`target/<profile>/deps/<test>`).
    ///
    /// # Errors
    /// One line that names what is missing and how to build it.
    pub fn find() -> anyhow::Result<Self> {
        let folder = match std::env::var_os("UNDERLAY_BIN_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => build_folder()?,
        };
        let found = Self { folder };
        for name in ["underlay-vpc", "underlay-agent", "underlay-cni"] {
            found.program(name)?;
        }
        Ok(found)
    }

    /// The path of one program.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.is_file() {
            bail!(
                "{} does not exist: build it with `make build`, or set UNDERLAY_BIN_DIR",
                path.display()
            );
        }
        Ok(path)
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn build_folder() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("finding the running executable")?;
    let folder = executable.parent().context("an executable has a folder")?;
    Ok(if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder).to_owned()
    } else {
        folder.to_owned()
    })
}
