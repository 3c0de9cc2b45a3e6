//! What the runtime passed: environment, standard input, namespace.

use std::{
    env,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use rustix::fs::OFlags;
use underlay_agent_api::{DEFAULT_RUN_DIR, FRAME_LENGTH_MAX, Request};
use underlay_cni_spec::{
    CniError, CniVersion, Command, ConfigHead, Environment, ErrorCode, Variables,
};

use crate::io_error;

/// One call of the runtime, checked as far as the plugin can.
pub(crate) struct Invocation {
    /// The command.
    pub(crate) command: Command,
    /// The environment, as the specification reads it.
    pub(crate) environment: Environment,
    /// What the agent is to be asked, with everything verbatim.
    pub(crate) request: Request,
    /// The agent's folder.
    pub(crate) run_dir: PathBuf,
}

impl Invocation {
    /// Reads the environment and what the plugin needs of `stdin`. Sets `version` as soon as the
    /// version that the runtime speaks is known.
    pub(crate) fn read(
        command: Command,
        stdin: String,
        version: &mut CniVersion,
    ) -> Result<Self, CniError> {
        let head = ConfigHead::parse(&stdin)?;
        *version = head.answer_version();
        let variables = variables()?;
        let environment = Environment::parse(command, &variables)?;
        Ok(Self {
            command,
            environment,
            request: Request::new(command.as_str(), variables, stdin),
            run_dir: head
                .run_dir
                .unwrap_or_else(|| DEFAULT_RUN_DIR.to_owned())
                .into(),
        })
    }

    /// The pod's namespace. DEL does without one that is gone.
    pub(crate) fn open_netns(&self) -> Result<Option<File>, CniError> {
        let Some(path) = &self.environment.netns else {
            return Ok(None);
        };
        // Without O_NONBLOCK a path that is a FIFO would wait for its writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(_gone) if self.command == Command::Del => Ok(None),
            Err(error) => Err(CniError::new(
                ErrorCode::InvalidEnvironment,
                format!("CNI_NETNS: cannot open {path}: {error}"),
            )),
        }
    }
}

/// `CNI_COMMAND`.
pub(crate) fn command() -> Result<Command, CniError> {
    match env::var_os("CNI_COMMAND") {
        Some(value) => text("CNI_COMMAND", value)?.parse(),
        None => Err(
            CniError::new(ErrorCode::InvalidEnvironment, "CNI_COMMAND: is required")
                .with_details("this is a CNI plugin: container runtimes run it, people do not"),
        ),
    }
}

/// Standard input, as text. Reads little more than the agent would take.
pub(crate) fn stdin() -> Result<String, CniError> {
    let mut bytes = Vec::with_capacity(4096);
    let limit = u64::try_from(FRAME_LENGTH_MAX).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            io_error(
                "cannot read the network configuration from standard input",
                &error,
            )
        })?;
    String::from_utf8(bytes).map_err(|error| {
        CniError::new(
            ErrorCode::Decode,
            "the network configuration on standard input is not UTF-8",
        )
        .with_details(error.to_string())
    })
}

/// The version to answer VERSION in; whatever standard input is, VERSION succeeds.
pub(crate) fn version_asked(stdin: &str) -> CniVersion {
    ConfigHead::parse(stdin).map_or(CniVersion::NEWEST, |head| head.answer_version())
}

/// The `CNI_*` variables that are set.
fn variables() -> Result<Variables, CniError> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("CNI_"))
        .map(|(name, value)| text(&name, value).map(|value| (name, value)))
        .collect()
}

fn text(name: &str, value: OsString) -> Result<String, CniError> {
    value.into_string().map_err(|value| {
        CniError::new(
            ErrorCode::InvalidEnvironment,
            format!("{name}: {} is not UTF-8", value.display()),
        )
    })
}
