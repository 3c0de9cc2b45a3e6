//! A control plane of its own for a test, ended when the test is over.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running `underlay-vpc serve --control-plane`.
pub(crate) struct ApiServer {
    process: Child,
    /// Where it serves, as `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl ApiServer {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut process = command(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim_end()
            .strip_prefix("ready ")
            .unwrap_or_default()
            .to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "not ready: {line:?}");
        Self { process, url }
    }

    /// What one that does not start says.
    pub(crate) fn refused(more: &[&str]) -> String {
        let output = command(more).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The most memory, in KiB, that has been resident since [`Self::forget_peak`].
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix(" kB"));
        peak.unwrap().parse().unwrap()
    }

    /// Has [`Self::peak_memory`] begin at what is resident now, and returns that.
    pub(crate) fn forget_peak(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
        self.peak_memory()
    }

    /// Ends it as a person would, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "the server did not end within 10 s of SIGTERM"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn command(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_underlay-vpc"));
    let fixed = "serve --api 127.0.0.1:0 --control-plane --seed 7";
    command.args(fixed.split(' ')).args(more);
    command
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if self
            .process
            .kill()
            .and_then(|()| self.process.wait())
            .is_err()
        {
            // It has ended already.
        }
    }
}
