//! The addresses that stand inside a network namespace.

use std::{net::Ipv4Addr, process::Command};

use anyhow::Context as _;

use crate::{Netns, process::output};

/// The IPv4 addresses of `ifname` as the kernel lists them inside the namespace.
///
/// # Errors
/// When the namespace or the interface does not exist.
pub fn addresses_inside(netns: &Netns, ifname: &str) -> anyhow::Result<Vec<Ipv4Addr>> {
    let mut command = Command::new("ip");
    command.args(["-json", "-4", "address", "show", "dev", ifname]);
    let text = netns.run(move || output(&mut command))?;
    let links: serde_json::Value = serde_json::from_str(&text).context("reading ip's output")?;
    let addresses = links[0]["addr_info"].as_array().cloned();
    addresses
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let local = entry["local"]
                .as_str()
                .context("an address without local")?;
            local
                .parse()
                .with_context(|| format!("reading the address {local:?}"))
        })
        .collect()
}
