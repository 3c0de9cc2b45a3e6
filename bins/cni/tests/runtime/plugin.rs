//! Runs the plugin as a runtime does.

use std::{
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::Mode;
use serde_json::{Value, json};
use tempfile::TempDir;
use underlay_agent::{
    cni_front::{Front, RunDir},
    config::Config,
};
use underlay_netlink::netns;

/// The plugin under test.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_underlay-cni");

/// Folders of one node, and a pod's namespace.
pub(crate) struct Host {
    dir: TempDir,
    pub(crate) config: Config,
    netns: File,
}

/// What the plugin answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
}

impl Output {
    pub(crate) fn success(stdout: &str) -> Self {
        Self {
            exit: 0,
            stdout: stdout.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The error's code, message and details.
    pub(crate) fn error(&self) -> (i64, String, String) {
        assert_eq!(self.exit, 1, "{self:?}");
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (json["code"].as_i64().unwrap(), text("msg"), text("details"))
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.paths.run_dir = dir.path().join("run");
        config.paths.conflist_dir = dir.path().join("net.d");
        let netns = File::from(netns::create().unwrap());
        Self { dir, config, netns }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn serve(&self, node: &Arc<crate::memory_node::MemoryNode>) -> Front {
        // A child of another test may hold the last claim between its fork and its exec.
        let run_dir = wait_for("the last claim is gone", || {
            RunDir::claim(&self.config.paths.run_dir).ok()
        });
        Front::start(
            &self.config,
            run_dir,
            Arc::<crate::memory_node::MemoryNode>::clone(node),
        )
        .unwrap()
    }

    /// The pod's namespace, as a path that the plugin can open.
    pub(crate) fn netns_path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_raw_fd())
    }

    /// How many descriptors of this process, which the agent's front runs in, hold the namespace.
    pub(crate) fn descriptors_of_the_namespace(&self) -> usize {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        let netns = std::fs::read_link(self.netns_path()).unwrap();
        links.filter(|link| *link == netns).count()
    }

    /// A configuration of `version` with the keys of `rest` besides.
    pub(crate) fn stdin(&self, version: &str, rest: Value) -> String {
        let mut config = json!({
            "cniVersion": version,
            "name": "underlay",
            "type": "underlay-cni",
            "runDir": self.config.paths.run_dir,
        });
        let Value::Object(rest) = rest else {
            unreachable!("rest is an object")
        };
        config.as_object_mut().unwrap().extend(rest);
        config.to_string()
    }

    /// `command` for interface eth0 of container c1, as a runtime calls it.
    pub(crate) fn invocation(&self, command: &str) -> Invocation {
        let netns = self.netns_path();
        Invocation::bare(self.stdin("1.1.0", json!({})))
            .var("CNI_COMMAND", command)
            .var("CNI_CONTAINERID", "c1")
            .var("CNI_NETNS", &netns)
            .var("CNI_IFNAME", "eth0")
            .var("CNI_PATH", "/opt/cni/bin")
    }

    pub(crate) fn call(&self, command: &str) -> Output {
        self.invocation(command).run()
    }

    /// The files of the tombstone folder, sorted, hidden ones too.
    pub(crate) fn tombstones(&self) -> Vec<String> {
        files(&self.config.paths.tombstones())
    }
}

/// The names in a folder, sorted; none if there is no folder.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// One run of the plugin.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    variables: Vec<(String, String)>,
    stdin: Vec<u8>,
    program: Vec<String>,
}

impl Invocation {
    /// Without any variable.
    pub(crate) fn bare(stdin: impl Into<Vec<u8>>) -> Self {
        Self {
            variables: Vec::new(),
            stdin: stdin.into(),
            program: vec![PLUGIN.to_owned()],
        }
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Runs the plugin under `program`, for example strace.
    pub(crate) fn under(mut self, program: &[&str]) -> Self {
        self.program = program.iter().map(|word| (*word).to_owned()).collect();
        self.program.push(PLUGIN.to_owned());
        self
    }

    pub(crate) fn start(&self) -> Child {
        let mut child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that ends early leaves a broken pipe, which is its right.
        drop(child.stdin.take().unwrap().write_all(&self.stdin));
        child
    }

    pub(crate) fn run(&self) -> Output {
        finish(self.start())
    }
}

/// Waits for the plugin's end. It never writes to standard error; strace does.
pub(crate) fn finish(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
    }
}

/// Waits until `condition` yields something and returns it.
pub(crate) fn wait_for<T>(what: &str, condition: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// A FIFO at `path`.
pub(crate) fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}
