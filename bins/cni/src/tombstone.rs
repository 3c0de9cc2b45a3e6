//! A DEL for the next agent.

use std::{
    fs::{DirBuilder, OpenOptions, remove_file, rename},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use underlay_agent_api::{HEADER_LENGTH, TOMBSTONE_DIR, encode, tombstone_file};
use underlay_cni_spec::{CniError, Command, ErrorCode, NetworkConfig};
use underlay_types::LeaseKey;

use crate::{
    away::{CallError, reason},
    invocation::Invocation,
};

/// Why there is no tombstone.
pub(crate) enum TombstoneError {
    /// The request is one that an agent would refuse.
    Request(CniError),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

/// Leaves the request, verbatim, where the next agent looks before it serves. Touches nothing else.
pub(crate) fn leave(invocation: &Invocation) -> Result<(), TombstoneError> {
    let config = NetworkConfig::parse(Command::Del, &invocation.request.stdin)
        .map_err(TombstoneError::Request)?;
    let (container, ifname) = invocation.environment.attachment.clone().ok_or_else(|| {
        let msg = "CNI_CONTAINERID: is required for DEL";
        TombstoneError::Request(CniError::new(ErrorCode::InvalidEnvironment, msg))
    })?;
    let key = LeaseKey {
        network: config.name,
        container,
        ifname,
    };
    let frame = encode(&invocation.request).map_err(|error| {
        TombstoneError::Request(CniError::new(ErrorCode::Decode, error.to_string()))
    })?;
    let dir = invocation.run_dir.join(TOMBSTONE_DIR);
    let path = dir.join(tombstone_file(&key));
    write(&dir, &path, &frame[HEADER_LENGTH..]).map_err(|error| TombstoneError::Write(path, error))
}

/// Puts `request` at `path` in one step. The folder is root's alone, so that names in it are ours.
fn write(dir: &Path, path: &Path, request: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = dir.join(format!(".{}", process::id()));
    // A draft of this name is one of a killed plugin with our process id.
    match remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    // An agent removes drafts that nobody holds: those of killed plugins.
    drop(file.try_lock());
    file.write_all(request)?;
    rename(&draft, path)
}

impl TombstoneError {
    /// The answer to the runtime; `failure` is why a tombstone was needed.
    pub(crate) fn into_error(self, failure: CallError, invocation: &Invocation) -> CniError {
        match self {
            Self::Request(error) => error,
            Self::Write(path, error) => {
                let mut answer = failure.into_error(invocation);
                answer.msg = format!(
                    "{}; nor can the request be kept for it in {}: {}",
                    answer.msg,
                    path.display(),
                    reason(&error)
                );
                answer
            }
        }
    }
}
