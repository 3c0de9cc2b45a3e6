//! A file of budgets, quotas and times: what it leaves out stays as the preset has it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, Error},
};
use serde_json::{Map, Value};
use underlay_vpc_model::{Budgets, ModelConfig};

/// What a file says of budgets, quotas and times.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsFile {
    budgets: Map<String, Value>,
    quotas: Map<String, Value>,
    timings: Map<String, Value>,
}

/// Why a file of limits cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LimitsFileError {
    /// It does not say what it should.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl LimitsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or says what is unknown.
    pub fn read(path: &str) -> Result<Self, LimitsFileError> {
        let path = Path::new(path);
        let text = fs::read_to_string(path).map_err(|source| LimitsFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| LimitsFileError::Content {
            path: path.to_owned(),
            source,
        })
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // An object, and not the list that serde would take for one.
        let parts: Map<String, Value> = serde_json::from_str(text)?;
        let file: Self = serde_json::from_value(Value::Object(parts))?;
        // What fits one configuration fits all: they differ in values alone.
        file.apply(&mut ModelConfig::default())?;
        file.budgets()?;
        Ok(file)
    }

    /// Has `config` say what the file does.
    ///
    /// # Errors
    /// None for a file that was read.
    pub fn apply(&self, config: &mut ModelConfig) -> Result<(), serde_json::Error> {
        config.limits = over(&config.limits, &self.quotas)?;
        config.timings = over(&config.timings, &self.timings)?;
        Ok(())
    }

    /// The budgets.
    ///
    /// # Errors
    /// None for a file that was read.
    pub fn budgets(&self) -> Result<Budgets, serde_json::Error> {
        over(&Budgets::default(), &self.budgets)
    }
}

/// `usual` with what `set` says of it, one level deep for budgets of single actions.
fn over<T: Serialize + DeserializeOwned>(
    usual: &T,
    set: &Map<String, Value>,
) -> Result<T, serde_json::Error> {
    let mut all = serde_json::to_value(usual)?;
    for (key, value) in set {
        let held = all
            .get_mut(key)
            .ok_or_else(|| serde_json::Error::custom(format!("there is no {key:?} to set")))?;
        match (held, value) {
            (Value::Object(held), Value::Object(given)) => held.extend(given.clone()),
            (held, value) => *held = value.clone(),
        }
    }
    serde_json::from_value(all)
}

#[cfg(test)]
mod tests {
    use underlay_vpc_model::{BucketKind, Preset};

    use super::*;

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let mut config = ModelConfig::of(Preset::Realistic);
        let text = r#"{
            "budgets": {
                "reading": {"burst": 7, "per_second": 0.5},
                "actions": {"AttachNetworkInterface": {"burst": 1, "per_second": 2}}
            },
            "quotas": {"enis": 15000},
            "timings": {"attach": "2s..4s", "describe_late": 0.5, "throttle": false}
        }"#;
        let file = LimitsFile::parse(text).unwrap();
        file.apply(&mut config).unwrap();
        let budgets = file.budgets().unwrap();
        let burst = |action, kind| budgets.of(action, kind).unwrap().burst;
        assert_eq!(burst("DescribeVpcs", BucketKind::Requests), 7);
        assert_eq!(burst("AttachNetworkInterface", BucketKind::Requests), 1);
        assert_eq!(burst("RunInstances", BucketKind::Requests), 5);
        assert_eq!(config.limits.enis, 15_000);
        assert_eq!(config.limits.vpcs, 5);
        let mut expected = ModelConfig::of(Preset::Realistic).timings;
        expected.attach = "2s..4s".parse().unwrap();
        expected.describe_late = "0.5".parse().unwrap();
        expected.throttle = false;
        assert_eq!(config.timings, expected);
    }

    #[test]
    fn what_a_file_must_not_say_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"bogus": {}}"#,
            r#"{"quotas": {"bogus": 1}}"#,
            r#"{"quotas": {"enis": -1}}"#,
            r#"{"timings": {"attach": "soon"}}"#,
            r#"{"timings": {"describe_late": 2}}"#,
            r#"{"budgets": {"reading": {"burst": 1, "rate": 2}}}"#,
            r#"{"budgets": {"broad": 7}}"#,
        ] {
            assert!(LimitsFile::parse(text).is_err(), "{text}");
        }
    }
}
