//! The plugin as a runtime calls it, by hand, so that each call can be killed.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use underlay_testkit::{Netns, Node, addresses_inside};

/// A container with a network namespace, as far as a runtime knows it.
pub(crate) struct Container {
    name: &'static str,
    node_commands: NodeCommands,
    netns: PathBuf,
    /// Whether it asks for an ENI of its own.
    owns_eni: bool,
}

/// What the plugin answered; nothing if it was killed.
#[derive(Debug)]
pub(crate) struct Answer {
    success: bool,
    printed: Value,
}

/// How to run programs in a node; a copy, so that the agent can be restarted meanwhile.
struct NodeCommands {
    prefix: Vec<String>,
    plugin: PathBuf,
    root: PathBuf,
}

impl NodeCommands {
    fn of(node: &Node) -> Self {
        let command = node.command(Path::new(""));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let mut prefix: Vec<String> = words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        prefix.pop();
        Self {
            prefix,
            plugin: node.bin_dir().join("underlay-cni"),
            root: node.inside("/"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.prefix[0]);
        command.args(&self.prefix[1..]).args(words);
        command
    }
}

impl Answer {
    /// 0 for success, else the error's code.
    pub(crate) fn code(&self) -> i64 {
        if self.success {
            return 0;
        }
        self.printed["code"].as_i64().unwrap_or(-1)
    }

    /// The pod's address.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        let address = self.printed["ips"][0]["address"].as_str()?;
        address.split_once('/')?.0.parse().ok()
    }
}

impl Container {
    /// Makes the namespace.
    pub(crate) fn create(node: &Node, name: &'static str) -> Self {
        let node_commands = NodeCommands::of(node);
        let made = node_commands
            .command(&["ip", "netns", "add", name])
            .status()
            .unwrap();
        assert!(made.success());
        let netns = node_commands.root.join("run/netns").join(name);
        Self {
            name,
            node_commands,
            netns,
            owns_eni: false,
        }
    }

    /// Makes the namespace of one that asks for an ENI of its own.
    pub(crate) fn create_owner(node: &Node, name: &'static str) -> Self {
        Self {
            owns_eni: true,
            ..Self::create(node, name)
        }
    }

    pub(crate) fn add(&self) -> Answer {
        self.run("ADD", &[])
    }

    pub(crate) fn del(&self) -> Answer {
        self.run("DEL", &[])
    }

    /// Runs `command` and kills the plugin at its `n`-th call of `kind`. Returns whether it died.
    pub(crate) fn run_killed_at(&self, command: &str, kind: &str, n: u32) -> bool {
        let inject = format!("inject={kind}:signal=KILL:when={n}");
        let answer = self.run(
            command,
            &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject],
        );
        let died = !answer.success && answer.printed.is_null();
        assert!(died || answer.success, "{answer:?}");
        died
    }

    /// The address of eth0 in the namespace, if it has one.
    pub(crate) fn address_inside(&self) -> anyhow::Result<Option<Ipv4Addr>> {
        let netns = Netns::open(&self.netns)?;
        Ok(addresses_inside(&netns, "eth0")
            .ok()
            .and_then(|all| all.first().copied()))
    }

    /// Takes the namespace away, if it is still there.
    pub(crate) fn remove_namespace(&self) {
        if self.netns.exists() {
            let removed = self
                .node_commands
                .command(&["ip", "netns", "del", self.name])
                .status();
            assert!(removed.unwrap().success());
        }
    }

    fn run(&self, command: &str, under: &[&str]) -> Answer {
        let plugin = self.node_commands.plugin.to_str().unwrap();
        let words = [under, &[plugin]].concat();
        let netns = if self.netns.exists() {
            format!("/run/netns/{}", self.name)
        } else {
            String::new()
        };
        let mut child = self
            .node_commands
            .command(&words)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.name)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut config = json!({"cniVersion": "1.0.0", "name": "underlay", "type": "underlay-cni"});
        if self.owns_eni {
            config["eni"] = json!("own");
        }
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(config.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Answer {
            success: output.status.success(),
            printed: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        }
    }
}
