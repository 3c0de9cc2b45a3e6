//! What the machine must have before anything is changed on it.

use std::path::Path;

use anyhow::bail;

/// Programs by the Debian package that brings them.
const PROGRAMS: [(&str, &str); 10] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("gcc", "gcc"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
    ("unshare", "util-linux"),
];

/// Looks for root's rights and for every program that nodes need.
///
/// # Errors
/// One line that names everything that is missing and what to do.
pub fn preflight() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("nodes are namespaces and need root: run this with sudo");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let is_there = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    let programs = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let mut missing: Vec<String> = programs
        .map(|(program, package)| format!("{program} (package {package})"))
        .collect();
    let plugins = crate::node::STANDARD_PLUGIN_NAMES.iter().filter(|plugin| {
        !Path::new(crate::node::STANDARD_PLUGINS)
            .join(plugin)
            .is_file()
    });
    missing.extend(plugins.map(|plugin| format!("{plugin} (package containernetworking-plugins)")));
    if !missing.is_empty() {
        bail!(
            "missing: {}; `make setup` installs them",
            missing.join(", ")
        );
    }
    Ok(())
}
