//! The file and those beside it that override single keys of it.
//!
//! `agent.toml.d/*.toml` are laid over `agent.toml` in the order of their names: tables are merged
//! key by key, everything else is replaced. So a node pool's image or user data can change one key.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{Config, ConfigError, FORMAT_VERSION, Mistake, sections};

/// Reads the file and its drop-ins; where there is none of them, the defaults hold.
///
/// # Errors
/// `Read` for the first that cannot be read; `Mistakes` with those of all files, each with its own.
pub(super) fn load(path: &Path) -> Result<Config, ConfigError> {
    let base = read(path)?;
    let mut layers = Layers::default();
    match base {
        Some(text) => layers.add(path, &text),
        None => layers.add(path, &format!("version = {FORMAT_VERSION}")),
    }
    for drop_in in drop_ins(path)? {
        // One that is gone by now is no layer.
        if let Some(text) = read(&drop_in)? {
            layers.add(&drop_in, &text);
        }
    }
    layers.read(path)
}

/// The text of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// Visible files of `<path>.d` that end in `.toml`, in the order of their names.
fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut folder = OsString::from(path);
    folder.push(".d");
    let folder = PathBuf::from(folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&folder, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".toml") && !name.starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn unreadable(path: &Path, source: Error) -> ConfigError {
    ConfigError::Read {
        path: path.to_owned(),
        source,
    }
}

/// What the files say together, and which of them said it last.
#[derive(Default)]
struct Layers {
    merged: Table,
    /// By key with its section.
    origins: BTreeMap<String, PathBuf>,
    mistakes: Vec<Mistake>,
}

impl Layers {
    fn add(&mut self, path: &Path, text: &str) {
        match toml::from_str::<Table>(text) {
            Ok(table) => {
                for (name, value) in &table {
                    self.origins.insert(name.clone(), path.to_owned());
                    for key in value.as_table().into_iter().flat_map(Table::keys) {
                        self.origins
                            .insert(format!("{name}.{key}"), path.to_owned());
                    }
                }
                merge(&mut self.merged, table);
            }
            Err(error) => self.mistakes.push(Mistake {
                file: Some(path.to_owned()),
                key: String::new(),
                what: format!("is not TOML: {error}"),
            }),
        }
    }

    fn read(self, base: &Path) -> Result<Config, ConfigError> {
        let Self {
            merged,
            origins,
            mut mistakes,
        } = self;
        // What a file that is not TOML would have said is not missed.
        let broken = !mistakes.is_empty();
        let (config, found) = sections::read(merged);
        let found = found
            .into_iter()
            .filter(|mistake| !broken || origins.contains_key(&mistake.key))
            .map(|mistake| Mistake {
                file: origins
                    .get(&mistake.key)
                    .cloned()
                    .or_else(|| Some(base.to_owned())),
                ..mistake
            });
        mistakes.extend(found);
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Mistakes(mistakes))
        }
    }
}

/// Lays `over` over `base`.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// A folder with `agent.toml` and its drop-ins, gone in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let id = std::process::id();
            let folder = std::env::temp_dir().join(format!("underlay-config-{name}-{id}"));
            fs::create_dir_all(folder.join("agent.toml.d")).unwrap();
            for (name, text) in files {
                fs::write(folder.join(name), text).unwrap();
            }
            Self(folder)
        }

        fn load(&self) -> Result<Config, String> {
            let folder = format!("{}/", self.0.display());
            let config = Config::load(&self.0.join("agent.toml"));
            config.map_err(|error| error.to_string().replace(&folder, ""))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn drop_ins_override_single_keys_in_the_order_of_their_names() {
        let folder = Folder::new(
            "order",
            &[
                (
                    "agent.toml",
                    "version = 1\n[addresses]\ncooldown = \"1s\"\nadd_wait = \"2s\"",
                ),
                (
                    "agent.toml.d/20-pool.toml",
                    "[addresses]\nadd_wait = \"4s\"\nmax_enis = 2",
                ),
                (
                    "agent.toml.d/10-image.toml",
                    "[addresses]\nadd_wait = \"3s\"\n[snat]\nenabled = true",
                ),
                ("agent.toml.d/.20-pool.toml", "colour = 1"),
                ("agent.toml.d/README", "not TOML"),
            ],
        );
        let config = folder.load().unwrap();
        assert_eq!(config.addresses.cooldown, Duration::from_secs(1));
        assert_eq!(config.addresses.add_wait, Duration::from_secs(4));
        assert_eq!(config.addresses.targets.max_enis, Some(2));
        assert!(config.snat.enabled);
    }

    #[test]
    fn a_whole_value_replaces_one_of_another_kind() {
        let folder = Folder::new(
            "kinds",
            &[
                (
                    "agent.toml",
                    "version = 1\n[enis]\nsubnets = { key = \"a\", value = \"b\" }\n\
                     [security_groups]\nopen_node_ports = [\"tcp/1\"]",
                ),
                (
                    "agent.toml.d/a.toml",
                    "[enis]\nsubnets = \"node\"\n[security_groups]\nopen_node_ports = []",
                ),
            ],
        );
        assert_eq!(folder.load().unwrap(), Config::default());
    }

    #[test]
    fn drop_ins_alone_override_the_defaults() {
        let folder = Folder::new(
            "alone",
            &[("agent.toml.d/a.toml", "[snat]\nenabled = true")],
        );
        assert!(folder.load().unwrap().snat.enabled);
        assert_eq!(Folder::new("none", &[]).load(), Ok(Config::default()));
    }

    #[test]
    fn mistakes_of_all_files_are_listed_together_with_their_file() {
        let folder = Folder::new(
            "mistakes",
            &[
                (
                    "agent.toml",
                    "[addresses]\ncooldown = 3\nadd_wait = \"1h\"\nmaximum_target = 9",
                ),
                (
                    "agent.toml.d/a.toml",
                    "[addresses]\ncooldown = \"3s\"\nwarm_target = 10",
                ),
                (
                    "agent.toml.d/b.toml",
                    "colour = \"red\"\n[snat]\nenabled = 1",
                ),
            ],
        );
        assert_eq!(
            folder.load().unwrap_err(),
            "5 mistakes in the configuration:\n  \
             agent.toml: version: is missing; write version = 1\n  \
             agent.toml.d/a.toml: addresses.warm_target: is 10 addresses, more than the maximum of 9\n  \
             agent.toml: addresses.add_wait: must be from 0s to 1m, not \"1h\"\n  \
             agent.toml.d/b.toml: snat.enabled: must be true or false, not an integer\n  \
             agent.toml.d/b.toml: colour: unknown key; known are version, addresses, enis, \
             security_groups, pods, branch_enis, snat, drift, log, metrics, conflist, paths"
        );
    }

    #[test]
    fn a_file_that_is_not_toml_hides_no_mistake_of_the_others() {
        let folder = Folder::new(
            "syntax",
            &[
                ("agent.toml", "version ="),
                ("agent.toml.d/a.toml", "[snat]\nenabled = 1"),
            ],
        );
        let error = folder.load().unwrap_err();
        assert!(error.starts_with("2 mistakes"), "{error}");
        assert!(error.contains("\n  agent.toml: is not TOML: "), "{error}");
        assert!(
            error.contains("\n  agent.toml.d/a.toml: snat.enabled: "),
            "{error}"
        );
    }
}
