//! The demo as a program: it holds, it can be interrupted at any time, and it leaves nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use underlay_testkit::{Binaries, LocalVpc, wait_for};

/// A run of the demo that ends with the test.
struct Run {
    id: String,
}

/// What stands on this machine because of a run.
#[derive(Debug, PartialEq, Eq, Default)]
struct Footprint {
    cgroups: Vec<PathBuf>,
    files: Vec<PathBuf>,
    mounts: Vec<String>,
    namespaces: Vec<String>,
    processes: Vec<String>,
}

impl Run {
    fn new(name: &str) -> Self {
        Self {
            id: format!("demo-{name}-{}", std::process::id()),
        }
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_underlay-e2e"));
        command
            .args([subcommand, "--run", &self.id])
            .env("UNDERLAY_BIN_DIR", Binaries::find().unwrap().folder())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, subcommand: &str, options: &[&str]) -> (Option<i32>, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(subcommand).args(options).output().unwrap();
        let text = [stdout, stderr].concat();
        (status.code(), String::from_utf8(text).unwrap())
    }

    /// Starts the demo and returns once it has printed `line`.
    fn start_until(&self, line: &str) -> Child {
        let mut child = self.command("demo").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines
            .by_ref()
            .map(Result::unwrap)
            .any(|printed| printed.contains(line));
        assert!(seen, "the demo ended without {line:?}");
        // The rest must go somewhere, or the demo would block or end.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    fn folder(&self) -> PathBuf {
        Path::new("/run/underlay-vpc").join(&self.id)
    }

    /// The namespaces' names, which do not all carry the run's id.
    fn namespaces(&self) -> BTreeSet<String> {
        let recorded = fs::read_to_string(self.folder().join("namespaces"));
        recorded
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn footprint(&self, namespaces: &BTreeSet<String>) -> Footprint {
        let names_of_run = |folder: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path());
            paths
                .filter(|path| path.to_string_lossy().contains(&self.id))
                .collect()
        };
        let controllers = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten();
        let processes = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                // The demo's own process is the caller's child.
                (line.contains(&self.id) && !line.contains("underlay-e2e")).then_some(line)
            });
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        Footprint {
            cgroups: controllers
                .flat_map(|controller| names_of_run(&controller.path().to_string_lossy()))
                .collect(),
            files: ["/run/underlay-vpc", "/tmp"]
                .into_iter()
                .flat_map(names_of_run)
                .collect(),
            mounts: mounts
                .lines()
                .filter(|line| line.contains(&self.id))
                .map(str::to_owned)
                .collect(),
            namespaces: namespaces
                .iter()
                .filter(|name| Path::new("/run/netns").join(name).exists())
                .cloned()
                .collect(),
            processes: processes.collect(),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        LocalVpc::clean(&self.id).unwrap();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn assert_verdict((code, text): &(Option<i32>, String)) {
    assert_eq!(*code, Some(0), "{text}");
    let last = text.lines().last().unwrap();
    let checks = last
        .strip_prefix("demo: ")
        .and_then(|rest| rest.strip_suffix(" checks, 0 failed"));
    let checks = checks.unwrap_or_else(|| panic!("the last line is {last:?}"));
    assert!(checks.parse::<u32>().unwrap() > 1_100, "{last}");
}

#[test]
fn the_demo_holds_twice_in_a_row_and_leaves_nothing() {
    let run = Run::new("twice");
    assert_verdict(&run.output("demo", &[]));
    // The first leaves everything running, so there is something to compare with.
    assert_verdict(&run.output("demo", &["--keep"]));
    let namespaces = run.namespaces();
    let kept = run.footprint(&namespaces);
    for (what, stands) in [
        ("cgroups", !kept.cgroups.is_empty()),
        ("files", !kept.files.is_empty()),
        ("namespaces", kept.namespaces.len() > 5),
        ("processes", !kept.processes.is_empty()),
    ] {
        assert!(stands, "no {what} of a demo that was kept: {kept:?}");
    }
    // A demo that was kept is replaced.
    assert_verdict(&run.output("demo", &[]));
    assert_eq!(run.footprint(&namespaces), Footprint::default());
    let (code, text) = run.output("demo-down", &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_demo_that_was_kept_is_taken_down() {
    let run = Run::new("down");
    assert_verdict(&run.output("demo", &["--keep"]));
    let namespaces = run.namespaces();
    let (code, text) = run.output("demo-down", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(run.footprint(&namespaces), Footprint::default());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let moments = [
        "n2 started",
        "30 pods, made",
        "pods appear",
        "who may call whom",
    ];
    for (moment, name) in moments.into_iter().zip(["INT", "TERM", "INT", "TERM"]) {
        let run = Run::new("interrupted");
        let mut child = run.start_until(moment);
        let namespaces = run.namespaces();
        assert!(!namespaces.is_empty(), "{moment}");
        signal(&child, name);
        assert!(!child.wait().unwrap().success(), "{moment}");
        assert_eq!(run.footprint(&namespaces), Footprint::default(), "{moment}");
    }
}

#[test]
fn a_killed_demo_is_removed_by_its_records() {
    let run = Run::new("killed");
    let mut child = run.start_until("who may call whom");
    let namespaces = run.namespaces();
    child.kill().unwrap();
    child.wait().unwrap();
    let program = Binaries::find().unwrap().program("underlay-vpc").unwrap();
    let output = Command::new(program)
        .args(["clean", "--run", &run.id])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Orphans are waited for by the machine's first process, in its own time.
    wait_for("the orphans to go", Duration::from_secs(10), || {
        Ok(run
            .footprint(&namespaces)
            .processes
            .is_empty()
            .then_some(()))
    })
    .unwrap();
    assert_eq!(run.footprint(&namespaces), Footprint::default());
}
