//! A node that is switched off and on: what lies on its disk stays, /run and every process do not.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use rustix::process::Signal;

use super::{first_child, remove_cgroups};
use crate::{Daemon, Netns, Node, RunDir, process::signal, wait_for};

/// What of containerd outlives a reboot: it lies below /run here, on no disk of the machine's.
const RUNTIME: &str = "/run/node/containerd";

impl Node {
    /// Kills everything in the node, as a power failure does. What its runtime keeps on disk is
    /// saved before. Then nothing is left in its network namespace, which may go.
    ///
    /// # Errors
    /// When the runtime's files cannot be saved.
    pub fn power_off(&mut self) -> anyhow::Result<()> {
        if let Some(mut containerd) = self.containerd.take() {
            if let Some(pid) = first_child(containerd.pid()) {
                signal(pid, Signal::KILL);
            }
            containerd.wait_or_kill(Duration::from_secs(5));
            let disk = self.folder.join("disk");
            fs::create_dir_all(&disk).with_context(|| format!("creating {}", disk.display()))?;
            self.copy(RUNTIME, &disk.join("containerd").to_string_lossy())?;
        }
        self.kill_all();
        (self.agent, self.services) = (None, Vec::new());
        for name in ["booted", "agent.sock", "containerd.sock"] {
            let path = self.folder.join(name);
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Boots it again in the network namespace `netns`: only its pid 1 runs.
    ///
    /// # Errors
    /// As [`Node::boot`].
    pub fn power_on(&mut self, run: &RunDir, netns: &Path) -> anyhow::Result<()> {
        (self.boot, self.pid) = boot(run, &self.name, netns, &self.folder)?;
        self.netns = Netns::open(netns)?;
        self.link_sockets()?;
        let saved = self.folder.join("disk/containerd");
        if saved.exists() {
            self.copy(&saved.to_string_lossy(), RUNTIME)?;
        }
        Ok(())
    }

    fn copy(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let copied = self.output("cp", &["--archive", "--no-target-directory", from, to]);
        copied.map(drop).with_context(|| format!("copying {from}"))
    }

    pub(super) fn kill_all(&mut self) {
        signal(self.pid, Signal::KILL);
        // Each is the parent of a process inside, which the kernel kills with pid 1.
        let inside = [self.agent.as_mut(), self.containerd.as_mut()];
        let inside = inside.into_iter().flatten().chain(&mut self.services);
        for daemon in inside.chain([&mut self.boot]) {
            daemon.wait_or_kill(Duration::from_secs(5));
        }
        remove_cgroups(&self.cgroup);
    }
}

/// Starts the pid 1 of the node that lies in `folder`. Returns what started it, and its number.
pub(super) fn boot(
    run: &RunDir,
    name: &str,
    netns: &Path,
    folder: &Path,
) -> anyhow::Result<(Daemon, u32)> {
    let mut net = std::ffi::OsString::from("--net=");
    net.push(netns);
    let mut command = Command::new("nsenter");
    command
        .arg(net)
        .args(["unshare", "--mount", "--propagation", "private", "--uts"])
        .args(["--pid", "--fork", "--kill-child", "/bin/sh"])
        .arg(folder.join("init.sh"))
        .arg(folder)
        .arg(name)
        .arg(folder.join("pause"));
    let mut boot = Daemon::spawn(name, &mut command, &folder.join("init.log"))?;
    run.record_process(boot.pid(), &format!("{name} unshare"))?;
    let pid = wait_for("a node to boot", Duration::from_secs(10), || {
        boot.check_alive()?;
        Ok(first_child(boot.pid()).filter(|_| folder.join("booted").exists()))
    })?;
    run.record_process(pid, &format!("{name} pid 1"))?;
    Ok((boot, pid))
}
