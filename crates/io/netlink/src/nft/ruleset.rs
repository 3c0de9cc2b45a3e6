//! Whole rulesets, as text, through the `nft` program.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::{Errno, KernelError};

/// Carries out a script of `nft`, all or nothing, in the calling thread's namespace.
///
/// # Errors
/// `ENOENT` if there is no `nft` program; `EINVAL` with its words if it refuses the script.
pub fn load(script: &str) -> Result<(), KernelError> {
    run("load", "ruleset", &["-f", "-"], script).map(|_| ())
}

/// Has `nft` and the kernel judge a script as [`load`] would, and changes nothing.
///
/// # Errors
/// As [`load`].
pub fn check(script: &str) -> Result<(), KernelError> {
    run("check", "ruleset", &["-c", "-f", "-"], script).map(|_| ())
}

/// A table of the family `inet` as `nft list table` prints it.
///
/// # Errors
/// `EINVAL` with the program's words if there is no such table.
pub fn list(table: &str) -> Result<String, KernelError> {
    let output = run("list", table, &["list", "table", "inet", table], "")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(op: &'static str, object: &str, args: &[&str], input: &str) -> Result<Output, KernelError> {
    let io = |error: std::io::Error| {
        let mut failed = KernelError::from_io(op, object, &error);
        if error.kind() == std::io::ErrorKind::NotFound {
            failed.message = "the program nft is missing: install nftables".to_owned();
        }
        failed
    };
    // A child starts in the namespace of the thread that starts it.
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A refusal to read shows in the exit status.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(io(error)),
            _ => {}
        }
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.lines().take(3).collect::<Vec<_>>().join("; ");
    let error = KernelError::new(op, object, Errno::INVAL);
    Err(KernelError {
        message: format!("nft: {words}"),
        ..error
    })
}
