//! The addresses that stand inside a network namespace.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use anyhow::Context as _;

use crate::{Netns, process::output};

/// The IPv4 addresses of `ifname` as the kernel lists them inside the namespace.
///
/// # Errors
/// When the namespace or the interface does not exist.
pub fn addresses_inside(netns: &Netns, ifname: &str) -> anyhow::Result<Vec<Ipv4Addr>> {
    let all = all_addresses_inside(netns, ifname)?.into_iter();
    let v4 = all.filter_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    Ok(v4.collect())
}

/// The addresses of both families, but for those of the link alone.
///
/// # Errors
/// As [`addresses_inside`].
pub fn all_addresses_inside(netns: &Netns, ifname: &str) -> anyhow::Result<Vec<IpAddr>> {
    let mut command = Command::new("ip");
    command.args(["-json", "address", "show", "dev", ifname, "scope", "global"]);
    let text = netns.run(move || output(&mut command))?;
    let links: serde_json::Value = serde_json::from_str(&text).context("reading ip's output")?;
    let addresses = links[0]["addr_info"].as_array().cloned();
    addresses
        .unwrap_or_default()
        .iter()
        // What is of another scope is an empty entry.
        .filter(|entry| !entry["local"].is_null())
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
