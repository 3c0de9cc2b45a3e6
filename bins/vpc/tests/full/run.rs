//! A server that is started for a test, and everything of it removed afterwards.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use underlay_netlink::netns;

use crate::ec2::Ec2;

static RUNS: AtomicU32 = AtomicU32::new(0);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_underlay-vpc");

/// A running server.
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) ec2: Ec2,
    child: Child,
}

pub(crate) fn fresh_id() -> String {
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("fulltest-{}-{number}", std::process::id())
}

/// Runs the program and waits for its end.
pub(crate) fn program(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// What the program printed; it must have succeeded.
pub(crate) fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The program's complaint, which must be one line; it must have failed.
pub(crate) fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed");
    assert_eq!(output.stdout, b"");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim().to_owned()
}

impl Run {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A run with further options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::named(fresh_id(), options)
    }

    /// A run of this name, begun or gone on with.
    fn named(id: String, options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--api", "127.0.0.1:0", "--run-id", &id])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http://");
        let ec2 = Ec2(address
            .unwrap_or_else(|| panic!("not ready: {line:?}"))
            .to_owned());
        Self { id, ec2, child }
    }

    /// Has another process go on with this run, whose own has ended.
    pub(crate) fn go_on(&mut self, options: &[&str]) {
        let next = Self::named(self.id.clone(), options);
        let mut ended = std::mem::replace(self, next);
        ended.child.wait().unwrap();
        // Dropped, it would remove what the next one has.
        std::mem::forget(ended);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        Path::new("/run/underlay-vpc").join(&self.id)
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap()
    }

    /// A command about this run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut all = vec![arguments[0], "--run", &self.id];
        all.extend_from_slice(&arguments[1..]);
        program(&all)
    }

    /// Names below /run/netns that the run recorded.
    pub(crate) fn recorded_namespaces(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder().join("namespaces")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        drop(program(&["clean", "--run", &self.id]));
    }
}

/// The namespace of an instance or a host.
pub(crate) fn namespace(name: &str) -> OwnedFd {
    netns::open_named(name).unwrap()
}

pub(crate) fn exists(name: &str) -> bool {
    Path::new(netns::DIRECTORY).join(name).exists()
}

/// Runs a command in a namespace and answers what it printed, or its exit code.
pub(crate) fn inside(name: &str, command: &[&str]) -> Result<String, Option<i32>> {
    let path = format!("--net={}/{name}", netns::DIRECTORY);
    let output = Command::new("nsenter")
        .arg(path)
        .args(command)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(output.status.code())
    }
}

/// Waits for a value.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
