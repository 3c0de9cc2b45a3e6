//! Ansible's own modules, unmodified: create, no change, check mode, change, destroy.

use std::{path::Path, process::Command};

use crate::api_server::ApiServer;

#[test]
fn ansible_creates_checks_changes_and_destroys_a_network() {
    let server = ApiServer::start(&[]);
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let playbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/ansible/network.yml");
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(&python)
        .args(["-m", "ansible", "playbook"])
        .args(["-e", &format!("endpoint={}", server.url)])
        .args(["-e", &format!("ansible_python_interpreter={python}")])
        .arg(playbook)
        .env("ANSIBLE_HOME", home.path())
        .env("ANSIBLE_LOCAL_TEMP", home.path())
        .env("ANSIBLE_LOCALHOST_WARNING", "0")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}: run `make setup`"));
    assert!(
        output.status.success(),
        "the playbook failed (is Ansible there? run `make setup`):\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(server.stop(), Some(0));
}
