//! The container runtime of a node.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::{Daemon, Node, PauseImage, process::output, runtime_metrics, wait_for_async};

/// Its CRI socket, inside the node.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Which containerd a node runs.
#[derive(Debug, Clone, Default)]
pub enum Containerd {
    /// Debian's, version 1.6, with Debian's standard plugins.
    #[default]
    Debian,
    /// Version 2: `containerd`, its shim and `ctr` in this folder, standard plugins in `cni` below.
    Built(PathBuf),
}

impl Containerd {
    fn program(&self, name: &str) -> PathBuf {
        match self {
            Self::Debian => PathBuf::from(name),
            Self::Built(folder) => folder.join(name),
        }
    }

    /// Where it looks for its shim first.
    fn path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        match self {
            Self::Debian => path,
            Self::Built(folder) => [folder.as_os_str(), &path].join(":".as_ref()),
        }
    }
}

impl Node {
    /// Starts Debian's runtime, waits until it answers and imports the pause image.
    ///
    /// # Errors
    /// When it ends or does not answer; with the end of its log.
    pub async fn start_containerd(&mut self, image: &PauseImage) -> anyhow::Result<()> {
        self.start_runtime(&Containerd::Debian).await?;
        self.import_image(&Containerd::Debian, &image.archive)
    }

    /// Starts a runtime and waits until it answers. It has no images yet.
    ///
    /// # Errors
    /// When it ends or does not answer; with the end of its log.
    pub async fn start_runtime(&mut self, runtime: &Containerd) -> anyhow::Result<()> {
        if let Containerd::Built(folder) = runtime {
            self.link_standard_plugins(&folder.join("cni"))?;
        }
        let config = self.folder.join("containerd.toml");
        fs::write(&config, configuration(&self.bin_dir(), &self.conf_dir()))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut command = self.command(&runtime.program("containerd"));
        command.arg("--config").arg(&config);
        command.env("PATH", runtime.path());
        let log = self.folder.join("containerd.log");
        let mut daemon = Daemon::spawn("containerd", &mut command, &log)?;
        let (socket, cgroup, pid) = (self.cri_socket(), self.cgroup.clone(), self.pid);
        wait_for_async("containerd to answer", Duration::from_secs(30), || {
            let alive = daemon.check_alive();
            let (socket, cgroup) = (socket.clone(), cgroup.clone());
            async move {
                alive?;
                Ok(crate::Cri::connect(socket, cgroup, pid).await.ok())
            }
        })
        .await?;
        self.containerd = Some(daemon);
        Ok(())
    }

    /// Gives the node's runtime the images of a docker-archive.
    ///
    /// # Errors
    /// When the runtime refuses them.
    pub fn import_image(&self, runtime: &Containerd, archive: &Path) -> anyhow::Result<()> {
        let copy = self.folder.join("image.tar");
        fs::copy(archive, &copy).with_context(|| format!("copying {}", archive.display()))?;
        let mut ctr = self.command(&runtime.program("ctr"));
        ctr.args(["--address", SOCKET, "--namespace", "k8s.io"]);
        ctr.args(["images", "import"]);
        if matches!(runtime, Containerd::Built(_)) {
            // Unpacked by ctr as version 1 does, not by a service that wants its platforms set up.
            ctr.arg("--local");
        }
        output(ctr.arg(&copy)).with_context(|| format!("importing {}", archive.display()))?;
        fs::remove_file(&copy).context("removing a copy of an image")
    }

    /// Puts other builds of the standard plugins in place.
    fn link_standard_plugins(&self, standard: &Path) -> anyhow::Result<()> {
        for name in super::STANDARD_PLUGIN_NAMES {
            let link = self.bin_dir().join(name);
            fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
            symlink(standard.join(name), &link)
                .with_context(|| format!("linking the plugin {}", link.display()))?;
        }
        Ok(())
    }
}

/// Two settings are needed on machines where root lacks CAP_SYS_RESOURCE and several runtimes run:
/// `restrict_oom_score_adj` and `netns_mounts_under_state_dir`.
fn configuration(bin_dir: &Path, conf_dir: &Path) -> String {
    let (bin_dir, conf_dir) = (bin_dir.display(), conf_dir.display());
    let image = PauseImage::NAME;
    let metrics = runtime_metrics::ADDRESS;
    format!(
        r#"version = 2
root = "/run/node/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{SOCKET}"
[metrics]
  address = "{metrics}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/node/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin_dir}"
    conf_dir = "{conf_dir}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}
