//! botocore's own client of the metadata service.

use std::{net::TcpListener, process::Command};

use crate::service::Service;

const SCRIPT: &str = r"
from botocore.session import Session
from botocore.utils import IMDSRegionProvider
session = Session()
credentials = session.get_credentials()
frozen = credentials.get_frozen_credentials()
print(credentials.method, frozen.access_key, frozen.secret_key, frozen.token)
print(IMDSRegionProvider(session).provide())
";

#[test]
fn botocore_reads_role_credentials_and_the_region() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let _service = Service::start(listener, |_| true);
    let mut python = Command::new("python3");
    // No other source of credentials or of a region.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            python.env_remove(name);
        }
    }
    let output = python
        .args(["-c", SCRIPT])
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        .env("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
        .output()
        .unwrap();
    assert_eq!(
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).as_ref(),
            String::from_utf8_lossy(&output.stderr).as_ref(),
        ),
        (
            true,
            "iam-role ASIAnode-role secret of i-00000000000000001 session\nus-east-1\n",
            ""
        )
    );
}
