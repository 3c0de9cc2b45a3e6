//! The programs that scripts/cluster-build built.

use std::path::PathBuf;

use anyhow::bail;
use underlay_testkit::Containerd;

/// Those without which nothing starts.
const NEEDED: [&str; 17] = [
    "agnhost",
    "cni/loopback",
    "cni/portmap",
    "containerd",
    "containerd-shim-runc-v2",
    "coredns",
    "ctr",
    "e2e.test",
    "etcd",
    "ginkgo",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kubectl",
    "kubelet",
    "localhost.crt",
    "localhost.key",
];

/// The folder with them.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those in `folder`.
    ///
    /// # Errors
    /// One line that names what is missing.
    pub(super) fn in_folder(folder: PathBuf) -> anyhow::Result<Self> {
        let missing: Vec<&str> = NEEDED
            .into_iter()
            .filter(|name| !folder.join(name).is_file())
            .collect();
        if !missing.is_empty() {
            bail!(
                "{} lacks {}: run scripts/cluster-build",
                folder.display(),
                missing.join(", ")
            );
        }
        Ok(Self { folder })
    }

    /// The path of one.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The container runtime.
    pub(super) fn containerd(&self) -> Containerd {
        Containerd::Built(self.folder.clone())
    }
}
