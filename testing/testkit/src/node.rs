//! A node: an instance with a container runtime and the node agent, in namespaces of its own.
//!
//! The network namespace is the instance's; mount, pid and uts namespaces are the node's. Its
//! `/run` and `/var/log` are a tmpfs and its `/var/lib` an overlay, so nothing of it reaches the
//! machine's files, and killing its pid 1 ends every process and mount of it.

mod agent;
mod containerd;
mod plugin;
mod power;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use crate::{Binaries, Cri, Daemon, Netns, PauseImage, RunDir, process::output, wait_for};
pub use agent::AgentSettings;
pub use containerd::Containerd;
pub use plugin::PluginInterface;

/// Where Debian's package puts the standard plugins.
pub(crate) const STANDARD_PLUGINS: &str = "/usr/lib/cni";

/// Those of them that nodes use.
pub(crate) const STANDARD_PLUGIN_NAMES: [&str; 4] = ["bandwidth", "loopback", "portmap", "tuning"];

/// The set-up of the node's mounts, then its pid 1. `$D` is the node's folder below `/run`.
const INIT: &str = r#"#!/bin/sh
set -eu
D=$1 NAME=$2 PAUSE=$3
hostname "$NAME"
mount -t proc proc /proc
mkdir -p "$D/run"
mount -t tmpfs -o mode=755 tmpfs "$D/run"
mkdir -p "$D/run/lock" "$D/run/netns" "$D/run/underlay" "$D/run/containerd" "$D/run/node/lib" "$D/run/node/libwork" "$D/run/${D#/run/}"
mount --bind "$D" "$D/run/${D#/run/}"
mount --rbind "$D/run" /run
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/node/lib,workdir=/run/node/libwork overlay /var/lib
mkdir -p /var/lib/cni /run/node/log
mount --bind /run/node/log /var/log
mount --make-rshared /
: > "$D/booted"
exec "$PAUSE"
"#;

/// A node. Dropping it kills everything in it and removes its control groups.
#[derive(Debug)]
pub struct Node {
    name: String,
    folder: PathBuf,
    cgroup: String,
    netns: Netns,
    pid: u32,
    boot: Daemon,
    containerd: Option<Daemon>,
    agent: Option<Daemon>,
    services: Vec<Daemon>,
    persistent: bool,
}

impl Node {
    /// Boots a node named `name` in the network namespace `netns`: only its pid 1 runs.
    ///
    /// # Errors
    /// When a namespace or a mount cannot be made.
    pub fn boot(
        run: &RunDir,
        name: &str,
        netns: &Path,
        binaries: &Binaries,
        image: &PauseImage,
    ) -> anyhow::Result<Self> {
        let folder = run.path().join("nodes").join(name);
        fs::create_dir_all(folder.join("net.d"))
            .with_context(|| format!("creating {}", folder.display()))?;
        fill_plugin_folder(&folder.join("bin"), binaries)?;
        let init = folder.join("init.sh");
        fs::write(&init, INIT).with_context(|| format!("writing {}", init.display()))?;
        let pause = folder.join("pause");
        fs::copy(&image.program, &pause).context("copying pause")?;
        let cgroup = format!("underlay-{}-{name}", run.id());
        run.record_cgroup(&cgroup)?;
        let (boot, pid) = power::boot(run, name, netns, &folder)?;
        let node = Self {
            name: name.to_owned(),
            cgroup,
            netns: Netns::open(netns)?,
            pid,
            boot,
            containerd: None,
            agent: None,
            services: Vec::new(),
            persistent: false,
            folder,
        };
        node.link_sockets()?;
        Ok(node)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's folder in the run's.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node's network namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The folder for network configurations.
    #[must_use]
    pub fn conf_dir(&self) -> PathBuf {
        self.folder.join("net.d")
    }

    /// The folder with the CNI plugins.
    #[must_use]
    pub fn bin_dir(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The parent of the pods' control groups.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A path of the node's own mount namespace as seen from outside.
    ///
    /// `path` must be absolute and free of symbolic links: the kernel would follow an absolute
    /// one in the caller's tree.
    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// A command that runs inside all of the node's namespaces.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--net", "--pid", "--uts", "--"])
            .arg(program);
        command
    }

    /// Runs a program inside the node to its end and returns its standard output.
    ///
    /// # Errors
    /// When it fails; with its standard error.
    pub fn output(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        output(self.command(Path::new(program)).args(arguments))
    }

    /// Starts a program inside the node that ends with it; its output goes to `<name>.log` in the
    /// node's folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_service(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = self.folder.join(format!("{name}.log"));
        self.services.push(Daemon::spawn(name, command, &log)?);
        Ok(())
    }

    /// Fails with the end of its output if a program of [`start_service`](Self::start_service) has
    /// ended.
    ///
    /// # Errors
    /// When one has ended.
    pub fn check_services(&mut self) -> anyhow::Result<()> {
        self.services.iter_mut().try_for_each(Daemon::check_alive)
    }

    /// Makes the node's control groups below every controller (of version 1), as kubelet wants to
    /// find them: with processors and memory of their own.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn create_cgroups(&self) -> anyhow::Result<()> {
        for controller in controllers() {
            let folder = controller.join(&self.cgroup);
            fs::create_dir_all(&folder)
                .with_context(|| format!("creating {}", folder.display()))?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = fs::read(controller.join(file)) {
                    fs::write(folder.join(file), all)
                        .with_context(|| format!("writing {file} of {}", folder.display()))?;
                }
            }
        }
        Ok(())
    }

    /// The CRI socket as seen from outside.
    #[must_use]
    pub fn cri_socket(&self) -> PathBuf {
        self.inside(containerd::SOCKET)
    }

    /// A CRI client of this node.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn cri(&self) -> anyhow::Result<Cri> {
        Cri::connect(self.cri_socket(), self.cgroup.clone(), self.pid).await
    }

    /// Lets the node outlive this value; the records in the run's folder remain.
    pub fn persist(&mut self) {
        self.persistent = true;
        self.boot.persist();
        let own = [&mut self.containerd, &mut self.agent];
        for daemon in own.into_iter().flatten().chain(&mut self.services) {
            daemon.persist();
        }
    }

    /// The logs go with the run's folder; a test that fails shows what it will be asked for.
    #[expect(
        clippy::print_stderr,
        reason = "shown with the failed test's own output"
    )]
    fn show_logs(&self) {
        let own = [&self.agent, &self.containerd];
        for daemon in own.into_iter().flatten().chain(&self.services) {
            let (name, log) = (&self.name, daemon.log().display());
            eprintln!("--- {name}: the end of {log}\n{}", daemon.log_tail());
        }
    }

    /// Stable paths from outside to the sockets inside.
    fn link_sockets(&self) -> anyhow::Result<()> {
        for (name, inside) in [
            ("agent.sock", "/run/underlay/agent.sock"),
            ("containerd.sock", containerd::SOCKET),
        ] {
            symlink(self.inside(inside), self.folder.join(name))
                .with_context(|| format!("linking {name} of {}", self.name))?;
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.persistent {
            return;
        }
        if std::thread::panicking() {
            self.show_logs();
        }
        self.kill_all();
    }
}

/// The plugins that the runtime may call: standard ones and ours.
fn fill_plugin_folder(folder: &Path, binaries: &Binaries) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let standard = Path::new(STANDARD_PLUGINS);
    let standard = STANDARD_PLUGIN_NAMES.map(|name| (name, standard.join(name)));
    let ours = ("underlay-cni", binaries.program("underlay-cni")?);
    for (name, target) in standard.into_iter().chain([ours]) {
        symlink(&target, folder.join(name))
            .with_context(|| format!("linking the plugin {}", target.display()))?;
    }
    Ok(())
}

fn first_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Removes `name` below every controller, deepest first. Its processes are dead but may linger,
/// so it tries again for a while; what stays is recorded in the run's folder.
fn remove_cgroups(name: &str) {
    let gone = wait_for("control groups to empty", Duration::from_secs(5), || {
        let folders: Vec<PathBuf> = controllers()
            .map(|controller| controller.join(name))
            .filter(|folder| folder.is_dir())
            .collect();
        for folder in &folders {
            remove_tree_of_groups(folder);
        }
        Ok(folders.iter().all(|folder| !folder.exists()).then_some(()))
    });
    // A destructor has nobody to report to; `underlay-vpc clean` tries again.
    gone.ok();
}

/// Where the controllers of control groups are mounted.
fn controllers() -> impl Iterator<Item = PathBuf> {
    let mounts = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
    mounts.flatten().map(|mount| mount.path())
}

fn remove_tree_of_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree_of_groups(&entry.path());
        }
    }
    fs::remove_dir(folder).ok();
}
