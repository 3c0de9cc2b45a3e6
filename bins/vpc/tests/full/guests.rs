//! Programs that we did not write, within an instance: cloud-init and botocore.

use std::{path::Path, process::Command};

use crate::run::{PROGRAM, Run, printed};

#[test]
fn cloud_init_reads_the_metadata_and_botocore_its_credentials() {
    let run = Run::start_with(&["--require-auth", "--access-key", "AKIDROOT:hunter2"]);
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/python/vpc_guest.py");
    let output = Command::new(python)
        .arg(script)
        .env("ENDPOINT", format!("http://{}", run.ec2.0))
        .env("RUN_ID", &run.id)
        .env("UNDERLAY_VPC", PROGRAM)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert_eq!(printed(&output), "guest: ok");
}
