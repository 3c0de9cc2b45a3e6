//! The container runtime of a node: Debian's containerd.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

use crate::{Daemon, Node, PauseImage, process::output, runtime_metrics, wait_for_async};

/// Its CRI socket, inside the node.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

impl Node {
    /// Starts the runtime, waits until it answers and imports the pause image.
    ///
    /// # Errors
    /// When it ends or does not answer; with the end of its log.
    pub async fn start_containerd(&mut self, image: &PauseImage) -> anyhow::Result<()> {
        let config = self.folder.join("containerd.toml");
        fs::write(&config, configuration(&self.bin_dir(), &self.conf_dir()))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut command = self.command(Path::new("containerd"));
        command.arg("--config").arg(&config);
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
        self.import(image)
    }

    fn import(&self, image: &PauseImage) -> anyhow::Result<()> {
        let archive = self.folder.join("pause.tar");
        fs::copy(&image.archive, &archive).context("copying the pause image")?;
        let mut ctr = self.command(Path::new("ctr"));
        ctr.args([
            "--address",
            SOCKET,
            "--namespace",
            "k8s.io",
            "images",
            "import",
        ]);
        output(ctr.arg(&archive)).context("importing the pause image")?;
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
