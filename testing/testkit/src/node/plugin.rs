//! The plugin called by hand, as a runtime would call it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use serde_json::Value;

use crate::Node;

/// An interface that the plugin is called about.
#[derive(Debug, Clone, Copy)]
pub struct PluginInterface<'a> {
    /// The container.
    pub container: &'a str,
    /// The name that the interface has in it.
    pub ifname: &'a str,
    /// Its network namespace, as the node sees the path.
    pub netns: &'a str,
}

impl Node {
    /// Calls the plugin with `command` about an interface, with the keys of `extra` in its
    /// configuration, and returns what it printed; null for nothing.
    ///
    /// # Errors
    /// When there is no configuration yet, or the plugin prints something else than JSON.
    pub fn cni(
        &self,
        command: &str,
        interface: PluginInterface<'_>,
        extra: &Value,
    ) -> anyhow::Result<Value> {
        let config = self.plugin_config(extra)?;
        let printed = self.run_plugin(command, interface, &config)?;
        if printed.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&printed).with_context(|| format!("reading {printed:?}"))
    }

    /// As [`Self::cni`], about `eth0` of a container whose namespace has its name.
    ///
    /// # Errors
    /// As [`Self::cni`].
    pub fn cni_eth0(&self, command: &str, container: &str, extra: &Value) -> anyhow::Result<Value> {
        let interface = PluginInterface {
            container,
            ifname: "eth0",
            netns: &format!("/run/netns/{container}"),
        };
        self.cni(command, interface, extra)
    }

    /// Adds `eth0` to a network namespace made for this call, as container `container`, with the
    /// keys of `extra` in the plugin's configuration; takes the namespace away and returns what the
    /// plugin printed: a result or an error. Meant for errors: a result's lease stays.
    ///
    /// # Errors
    /// When there is no configuration yet, or the plugin prints no JSON.
    pub fn cni_add(&self, container: &str, extra: &Value) -> anyhow::Result<Value> {
        self.output("ip", &["netns", "add", container])?;
        let printed = self.cni_eth0("ADD", container, extra);
        self.output("ip", &["netns", "del", container])?;
        printed
    }

    /// The configuration that the runtime would hand to our plugin.
    fn plugin_config(&self, extra: &Value) -> anyhow::Result<Value> {
        let path = self.conflist().context("no network configuration yet")?;
        let list = fs::read_to_string(&path);
        let list = list.with_context(|| format!("reading {}", path.display()))?;
        let list: Value = serde_json::from_str(&list).context("reading the conflist")?;
        let mut config = list["plugins"][0].clone();
        config["name"] = list["name"].clone();
        config["cniVersion"] = list["cniVersion"].clone();
        for (key, value) in extra.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        Ok(config)
    }

    fn conflist(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.conf_dir()).ok()?;
        entries.flatten().map(|entry| entry.path()).find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conflist")
        })
    }

    fn run_plugin(
        &self,
        command: &str,
        interface: PluginInterface<'_>,
        config: &Value,
    ) -> anyhow::Result<String> {
        let bin_dir = self.bin_dir();
        let mut child = self
            .command(Path::new(&bin_dir.join("underlay-cni")))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", interface.container)
            .env("CNI_NETNS", interface.netns)
            .env("CNI_IFNAME", interface.ifname)
            .env("CNI_PATH", &bin_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the plugin")?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        stdin
            .write_all(config.to_string().as_bytes())
            .context("writing to the plugin")?;
        drop(stdin);
        let output = child.wait_with_output().context("waiting for the plugin")?;
        String::from_utf8(output.stdout).context("reading the plugin's output")
    }
}
