//! What full mode needs, asked before anything is changed.

use std::path::Path;

use underlay_fabric::{FabricError, FabricSizes, LoadedPrograms};

/// `bpf_loop` came with it.
const KERNEL: (u32, u32) = (5, 17);

/// What is missing.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The kernel is too old.
    #[error(
        "full mode needs Linux 5.17 or later, and this is {0}; use --control-plane for the API alone"
    )]
    Kernel(String),
    /// Something the kernel must show is not there.
    #[error("full mode needs {what}; use --control-plane for the API alone")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The kernel does not take the programs.
    #[error(
        "the kernel does not take the fabric's eBPF programs; use --control-plane for the API alone"
    )]
    Programs(#[source] FabricError),
    /// The user is not root.
    #[error(
        "full mode makes network namespaces and eBPF programs and needs root; use --control-plane for the API alone"
    )]
    Root,
}

/// Checks, and answers the programs that full mode uses; they are not in use yet.
///
/// # Errors
/// The first thing that is missing. Nothing was changed.
pub(super) fn check() -> Result<LoadedPrograms, PreflightError> {
    if !rustix::process::geteuid().is_root() {
        return Err(PreflightError::Root);
    }
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    if version(&release).is_some_and(|version| version < KERNEL) {
        return Err(PreflightError::Kernel(release));
    }
    for (path, what) in [
        ("/proc/thread-self/ns/net", "/proc and network namespaces"),
        ("/sys/fs/cgroup", "/sys"),
    ] {
        if !Path::new(path).exists() {
            return Err(PreflightError::Missing { what });
        }
    }
    LoadedPrograms::load(&FabricSizes::default()).map_err(PreflightError::Programs)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_version_is_read_from_its_release() {
        assert_eq!(version("6.18.0-1-cloud-amd64"), Some((6, 18)));
        assert_eq!(version("5.10.0"), Some((5, 10)));
        assert_eq!(version("next"), None);
    }
}
