//! What the agent cannot work without is said in one line, before anything is changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Starts the agent with `folder`/bin as its only place for programs; returns what it says.
fn refusal(folder: &Path, subcommand: &str) -> String {
    let run_dir = folder.join("run");
    let conflists = folder.join("net.d");
    let config = folder.join("agent.toml");
    let text = format!("version = 1\n[paths]\nrun_dir = {run_dir:?}\nconflist_dir = {conflists:?}");
    fs::write(&config, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_underlay-agent"))
        .arg("--config")
        .arg(&config)
        .arg(subcommand)
        .env("PATH", folder.join("bin"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(!run_dir.exists(), "the run folder was claimed");
    assert!(!conflists.exists());
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(words.lines().count(), 1, "{words}");
    words
}

#[test]
fn without_nft_the_debian_package_is_named() {
    for subcommand in ["run", "uninstall"] {
        let folder = tempfile::tempdir().unwrap();
        let words = refusal(folder.path(), subcommand);
        assert!(words.contains("Debian package: nftables"), "{words}");
        assert!(words.contains("nft is missing"), "{words}");
    }
}

#[test]
fn a_kernel_without_nftables_is_told_in_nfts_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let nft = folder.path().join("bin/nft");
    fs::create_dir(folder.path().join("bin")).unwrap();
    let script =
        "#!/bin/sh\necho 'cache initialization failed: Protocol not supported' >&2\nexit 1";
    fs::write(&nft, script).unwrap();
    fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
    let words = refusal(folder.path(), "run");
    assert!(words.contains("Protocol not supported"), "{words}");
    assert!(words.contains("CONFIG_NF_TABLES_INET"), "{words}");
}
