//! The conflist: what tells the container runtime that pods may come, and how.

use std::{
    fs::{DirBuilder, OpenOptions, read, remove_file, rename},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use underlay_agent_api::DEFAULT_RUN_DIR;
use underlay_cni_spec::{POD_ANNOTATIONS, RUN_DIR};

use crate::config::Config;

/// The conflist's name: early in the order in which runtimes look.
const FILE: &str = "10-underlay.conflist";
/// In the same folder, since runtimes do not see a rename from another one; hidden from them by its
/// ending.
const DRAFT: &str = ".10-underlay.conflist.draft";

/// Why the conflist could not be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct ConflistError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The conflist of this node.
#[derive(Debug)]
pub(super) struct Conflist {
    dir: PathBuf,
    content: String,
    withdrawn: Mutex<bool>,
}

impl Conflist {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            dir: config.paths.conflist_dir.clone(),
            content: content(config),
            withdrawn: Mutex::new(false),
        }
    }

    /// Writes the conflist in one step, unless it already stands as it should: a rewrite makes
    /// containerd wait for running ADDs and stalls every call meanwhile. Does nothing once it was
    /// withdrawn.
    pub(super) fn publish(&self) -> Result<(), ConflistError> {
        let withdrawn = self
            .withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(FILE);
        if *withdrawn || read(&path).is_ok_and(|stands| stands == self.content.as_bytes()) {
            return Ok(());
        }
        self.write(&path)
    }

    fn write(&self, path: &Path) -> Result<(), ConflistError> {
        let on = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ConflistError { what, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.dir)
            .map_err(on("create", &self.dir))?;
        let draft = self.dir.join(DRAFT);
        remove(&draft)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(self.content.as_bytes())?;
                file.sync_all()
            })
            .map_err(on("write", &draft))?;
        rename(&draft, path).map_err(on("put in place", path))
    }

    /// Takes the conflist away for good: the runtime then sends no more pods here.
    pub(super) fn withdraw(&self) -> Result<(), ConflistError> {
        let mut withdrawn = self
            .withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *withdrawn = true;
        remove(&self.dir.join(DRAFT))?;
        remove(&self.dir.join(FILE))
    }
}

fn remove(path: &Path) -> Result<(), ConflistError> {
    match remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            let path = path.to_owned();
            Err(ConflistError {
                what: "remove",
                path,
                source,
            })
        }
        _ => Ok(()),
    }
}

fn content(config: &Config) -> String {
    let mut ours = json!({
        "type": "underlay-cni",
        "capabilities": {POD_ANNOTATIONS: true},
    });
    if config.paths.run_dir != Path::new(DEFAULT_RUN_DIR) {
        ours[RUN_DIR] = config.paths.run_dir.display().to_string().into();
    }
    let mut plugins = vec![ours];
    if config.conflist.portmap {
        // snat: a hostPort must answer pods of its own node too, and localhost.
        plugins.push(json!({
            "type": "portmap",
            "capabilities": {"portMappings": true},
            "snat": true,
        }));
    }
    if config.conflist.bandwidth {
        plugins.push(json!({"type": "bandwidth", "capabilities": {"bandwidth": true}}));
    }
    if !config.conflist.sysctls.is_empty() {
        plugins.push(json!({"type": "tuning", "sysctl": config.conflist.sysctls}));
    }
    let conflist = json!({
        "cniVersion": config.conflist.cni_version.as_str(),
        "name": "underlay",
        "plugins": Value::from(plugins),
    });
    format!("{conflist:#}\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        config.paths.conflist_dir = dir.join("net.d");
        config
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir.join("net.d")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_conflist_is_written_whole_and_readable() {
        let dir = tempfile::tempdir().unwrap();
        Conflist::new(&config(dir.path())).publish().unwrap();
        let path = dir.path().join("net.d").join(FILE);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{
  "cniVersion": "1.0.0",
  "name": "underlay",
  "plugins": [
    {
      "capabilities": {
        "io.kubernetes.cri.pod-annotations": true
      },
      "type": "underlay-cni"
    },
    {
      "capabilities": {
        "portMappings": true
      },
      "snat": true,
      "type": "portmap"
    }
  ]
}
"#
        );
        assert_eq!(path.metadata().unwrap().mode() & 0o7777 & !0o644, 0);
        assert_eq!(names(dir.path()), [FILE]);
    }

    #[test]
    fn it_is_rewritten_only_when_its_content_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        let inode = || {
            dir.path()
                .join("net.d")
                .join(FILE)
                .metadata()
                .unwrap()
                .ino()
        };
        Conflist::new(&config).publish().unwrap();
        let first = inode();
        // A killed agent's draft is in nobody's way.
        std::fs::write(dir.path().join("net.d").join(DRAFT), "{").unwrap();
        Conflist::new(&config).publish().unwrap();
        assert_eq!(inode(), first);
        config.conflist.portmap = false;
        config.conflist.bandwidth = true;
        let sysctl = ("net.core.somaxconn".to_owned(), "1024".to_owned());
        config.conflist.sysctls = [sysctl].into();
        config.paths.run_dir = "/run/other".into();
        Conflist::new(&config).publish().unwrap();
        let text = std::fs::read_to_string(dir.path().join("net.d").join(FILE)).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            written["plugins"],
            json!([{"type": "underlay-cni", "runDir": "/run/other",
                    "capabilities": {"io.kubernetes.cri.pod-annotations": true}},
                   {"type": "bandwidth", "capabilities": {"bandwidth": true}},
                   {"type": "tuning", "sysctl": {"net.core.somaxconn": "1024"}}])
        );
        assert_eq!(names(dir.path()), [FILE]);
    }

    #[test]
    fn a_withdrawn_conflist_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let conflist = Conflist::new(&config(dir.path()));
        conflist.withdraw().unwrap();
        conflist.publish().unwrap();
        assert!(!dir.path().join("net.d").exists());
        let conflist = Conflist::new(&config(dir.path()));
        conflist.publish().unwrap();
        conflist.withdraw().unwrap();
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}
