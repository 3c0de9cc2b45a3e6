//! The network configuration that a runtime writes to a plugin's standard input.

use std::collections::{BTreeMap, BTreeSet};

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use underlay_types::{ContainerId, IfName, NetworkName};

use crate::{
    CniError, CniVersion, Command, ErrorCode, PreviousResult,
    keys::{ENI, NETWORK_CARD, RUN_DIR, SECURITY_GROUPS, refuse_unknown},
};

/// The capability by which containerd passes a pod's annotations.
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// The key of GC's list.
const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
/// What a draft called it.
const DRAFT_ATTACHMENTS: &str = "cni.dev/attachments";

/// The attachments of a network, as GC names them.
pub type Attachments = BTreeSet<(ContainerId, IfName)>;

/// A network configuration, checked as far as `command` uses it.
///
/// What a command does not use is not checked: DEL and GC run with whatever configuration there
/// is, after a downgrade with one that a newer version wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `cniVersion`.
    pub version: CniVersion,
    /// `name`.
    pub name: NetworkName,
    /// `securityGroups`, our key, as given; ADD and CHECK only.
    pub security_groups: Option<Vec<String>>,
    /// `eni`, our key, as given; ADD and CHECK only.
    pub eni: Option<String>,
    /// `networkCard`, our key; ADD and CHECK only.
    pub network_card: Option<u8>,
    /// `runtimeConfig` [`POD_ANNOTATIONS`]; ADD and CHECK only.
    pub annotations: BTreeMap<String, String>,
    /// `prevResult`; ADD and CHECK only.
    pub previous: Option<PreviousResult>,
    /// `cni.dev/valid-attachments`; GC only, empty otherwise.
    pub valid_attachments: Attachments,
}

impl NetworkConfig {
    /// Reads `stdin` for `command`.
    ///
    /// # Errors
    /// - 6: not a JSON object;
    /// - 1: `cniVersion` is missing, not supported, or older than the command;
    /// - 7: anything else, naming the key.
    pub fn parse(command: Command, stdin: &str) -> Result<Self, CniError> {
        let Keys { mut config, twice } = object(stdin)?;
        if let Some(key) = twice.iter().find(|key| counts(command, key)) {
            return Err(is_twice(key));
        }
        let version = version(command, &config)?;
        run_dir(&config)?;
        let mut parsed = Self {
            version,
            name: name(&config)?,
            security_groups: None,
            eni: None,
            network_card: None,
            annotations: BTreeMap::new(),
            previous: None,
            valid_attachments: BTreeSet::new(),
        };
        match command {
            Command::Add | Command::Check => {
                refuse_unknown(&config)?;
                parsed.security_groups = security_groups(config.get(SECURITY_GROUPS))?;
                parsed.eni = eni(config.get(ENI))?;
                parsed.network_card = network_card(config.get(NETWORK_CARD))?;
                parsed.annotations = annotations(config.get("runtimeConfig"))?;
                parsed.previous = PreviousResult::from_config(config.remove("prevResult"))?;
                if command == Command::Check && parsed.previous.is_none() {
                    return Err(invalid("prevResult", "is required for CHECK"));
                }
            }
            Command::Status => refuse_unknown(&config)?,
            Command::Gc => parsed.valid_attachments = valid_attachments(&config)?,
            Command::Del | Command::Version => {}
        }
        Ok(parsed)
    }
}

/// What the plugin itself needs of a configuration: no more, so that it starts fast. Whatever
/// [`NetworkConfig::parse`] reads, this reads too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigHead {
    /// `cniVersion`, as given.
    pub version: Option<String>,
    /// `name`, as given.
    pub name: Option<String>,
    /// `runDir`, our key, as given.
    pub run_dir: Option<String>,
    /// One of these keys that is written twice.
    twice: Option<&'static str>,
}

impl ConfigHead {
    /// Reads the keys of `stdin` that the plugin needs and no other.
    ///
    /// # Errors
    /// Code 6 if `stdin` is not JSON of that shape; code 7 if one of these keys is written twice or
    /// `runDir` is not an absolute path.
    pub fn parse(stdin: &str) -> Result<Self, CniError> {
        let head: Self = serde_json::from_str(stdin).map_err(|error| not_json(&error))?;
        if let Some(key) = head.twice {
            return Err(is_twice(key));
        }
        match &head.run_dir {
            Some(path) => is_absolute(path).map(|()| head),
            None => Ok(head),
        }
    }

    /// The version to answer in: the configuration's if it is supported, else the newest.
    #[must_use]
    pub fn answer_version(&self) -> CniVersion {
        self.version
            .as_deref()
            .and_then(|version| version.parse().ok())
            .unwrap_or(CniVersion::NEWEST)
    }
}

impl<'de> Deserialize<'de> for ConfigHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

#[derive(Deserialize)]
#[serde(field_identifier)]
enum HeadKey {
    #[serde(rename = "cniVersion")]
    Version,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "runDir")]
    RunDir,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = ConfigHead;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigHead, A::Error> {
        let mut head = ConfigHead::default();
        let mut seen = [false; 3];
        while let Some(key) = map.next_key()? {
            let (at, name, value) = match key {
                HeadKey::Version => (0, "cniVersion", &mut head.version),
                HeadKey::Name => (1, "name", &mut head.name),
                HeadKey::RunDir => (2, RUN_DIR, &mut head.run_dir),
                HeadKey::Other => {
                    let IgnoredAny = map.next_value()?;
                    continue;
                }
            };
            *value = map.next_value()?;
            if std::mem::replace(&mut seen[at], true) {
                head.twice = Some(name);
            }
        }
        Ok(head)
    }
}

/// A configuration as it is, and the keys that it has twice.
struct Keys {
    config: Map<String, Value>,
    twice: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let (mut config, mut twice) = (Map::new(), BTreeSet::new());
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if config.contains_key(&key) {
                twice.insert(key.clone());
            }
            config.insert(key, value);
        }
        Ok(Keys { config, twice })
    }
}

/// Whether `command` depends on this key: which of two is meant cannot be known then.
fn counts(command: Command, key: &str) -> bool {
    match command {
        Command::Add | Command::Check | Command::Status => true,
        Command::Gc if [VALID_ATTACHMENTS, DRAFT_ATTACHMENTS].contains(&key) => true,
        Command::Del | Command::Gc | Command::Version => {
            ["cniVersion", "name", RUN_DIR].contains(&key)
        }
    }
}

fn is_twice(key: &str) -> CniError {
    invalid(key, "is written twice")
}

fn is_absolute(run_dir: &str) -> Result<(), CniError> {
    if run_dir.starts_with('/') {
        return Ok(());
    }
    let what = format!("{run_dir:?} is not an absolute path");
    Err(invalid(RUN_DIR, what))
}

/// The plugin has looked for the agent there; what it refuses does not come here otherwise.
fn run_dir(config: &Map<String, Value>) -> Result<(), CniError> {
    match config.get(RUN_DIR) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(path)) => is_absolute(path),
        Some(_) => Err(invalid(RUN_DIR, "must be a string")),
    }
}

pub(crate) fn invalid(key: &str, what: impl std::fmt::Display) -> CniError {
    CniError::new(ErrorCode::InvalidConfig, format!("{key}: {what}"))
}

fn not_json(error: &serde_json::Error) -> CniError {
    CniError::new(
        ErrorCode::Decode,
        "the network configuration on standard input is not a JSON object",
    )
    .with_details(error.to_string())
}

fn object(stdin: &str) -> Result<Keys, CniError> {
    serde_json::from_str(stdin).map_err(|error| not_json(&error))
}

fn version(command: Command, config: &Map<String, Value>) -> Result<CniVersion, CniError> {
    let incompatible = |msg: String| CniError::new(ErrorCode::IncompatibleVersion, msg);
    let text = match config.get("cniVersion") {
        Some(Value::String(text)) => text,
        Some(_) => return Err(invalid("cniVersion", "must be a string")),
        None => return Err(incompatible("cniVersion: is missing".to_owned())),
    };
    let version: CniVersion = text
        .parse()
        .map_err(|error| incompatible(format!("cniVersion: {error}")))?;
    if version < command.since() {
        let since = command.since();
        return Err(incompatible(format!(
            "cniVersion: {version} has no {command}; it needs {since} or newer"
        )));
    }
    Ok(version)
}

fn name(config: &Map<String, Value>) -> Result<NetworkName, CniError> {
    match config.get("name") {
        None => Err(invalid("name", "is missing")),
        Some(Value::String(name)) => name.parse().map_err(|error| invalid("name", error)),
        Some(_) => Err(invalid("name", "must be a string")),
    }
}

fn security_groups(value: Option<&Value>) -> Result<Option<Vec<String>>, CniError> {
    let wrong = || invalid(SECURITY_GROUPS, "must be an array of security-group ids");
    let Some(value) = value else { return Ok(None) };
    value
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn eni(value: Option<&Value>) -> Result<Option<String>, CniError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(ENI, "must be \"own\" or \"shared\"")),
    }
}

fn network_card(value: Option<&Value>) -> Result<Option<u8>, CniError> {
    let Some(value) = value else { return Ok(None) };
    let card = value.as_u64().and_then(|card| u8::try_from(card).ok());
    card.map(Some)
        .ok_or_else(|| invalid(NETWORK_CARD, "must be a whole number from 0 to 255"))
}

/// Go runtimes write an empty map as null.
fn annotations(runtime_config: Option<&Value>) -> Result<BTreeMap<String, String>, CniError> {
    let key = format!("runtimeConfig.{POD_ANNOTATIONS}");
    let annotations = match runtime_config {
        None | Some(Value::Null) => None,
        Some(Value::Object(config)) => config.get(POD_ANNOTATIONS),
        Some(_) => return Err(invalid("runtimeConfig", "must be an object")),
    };
    match annotations {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(annotations)) => annotations
            .iter()
            .map(|(name, value)| match value {
                Value::String(value) => Ok((name.clone(), value.clone())),
                _ => Err(invalid(&key, format!("{name:?} must be a string"))),
            })
            .collect(),
        Some(_) => Err(invalid(&key, "must be an object of strings")),
    }
}

/// `cni.dev/valid-attachments`, or `cni.dev/attachments` as a draft called it. Null is an empty
/// list, as Go writes it; absence is an error, since it would mean to remove everything.
fn valid_attachments(config: &Map<String, Value>) -> Result<Attachments, CniError> {
    #[derive(Deserialize)]
    struct Attachment {
        #[serde(rename = "containerID")]
        container: ContainerId,
        ifname: IfName,
    }
    let value = config
        .get(VALID_ATTACHMENTS)
        .or_else(|| config.get(DRAFT_ATTACHMENTS))
        .ok_or_else(|| invalid(VALID_ATTACHMENTS, "is required for GC"))?;
    if value.is_null() {
        return Ok(Attachments::new());
    }
    Vec::<Attachment>::deserialize(value)
        .map(|list| list.into_iter().map(|a| (a.container, a.ifname)).collect())
        .map_err(|error| invalid(VALID_ATTACHMENTS, error))
}

#[cfg(test)]
mod tests;
