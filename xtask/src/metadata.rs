//! The workspace as Cargo sees it.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A workspace package: where it lives and which workspace packages it is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Folder of the package, relative to the workspace root, with `/` between parts.
    pub(crate) folder: String,
    /// Names of dependencies that end up in the product; development dependencies are left out.
    pub(crate) dependencies: Vec<String>,
}

/// Every package of the workspace, from `cargo metadata`.
pub(crate) fn workspace_packages() -> anyhow::Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .context("run `cargo metadata`")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo metadata` failed: {stderr}");
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("read `cargo metadata`")?;
    parse(&metadata)
}

fn parse(metadata: &Value) -> anyhow::Result<Vec<Package>> {
    let root = metadata["workspace_root"]
        .as_str()
        .context("metadata has no workspace_root")?;
    let packages = metadata["packages"]
        .as_array()
        .context("metadata has no packages")?;
    packages
        .iter()
        .map(|package| parse_package(package, root))
        .collect()
}

fn parse_package(package: &Value, root: &str) -> anyhow::Result<Package> {
    let name = package["name"].as_str().context("a package has no name")?;
    let manifest = package["manifest_path"]
        .as_str()
        .context("a package has no manifest")?;
    let folder = manifest
        .strip_prefix(root)
        .and_then(|path| path.strip_suffix("/Cargo.toml"))
        .with_context(|| format!("{manifest} is not below {root}"))?
        .trim_start_matches('/');
    let dependencies = package["dependencies"]
        .as_array()
        .with_context(|| format!("{name} has no list of dependencies"))?
        .iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .collect();
    Ok(Package {
        name: name.to_owned(),
        folder: folder.to_owned(),
        dependencies,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn development_dependencies_are_left_out() {
        let metadata = json!({
            "workspace_root": "/w",
            "packages": [{
                "name": "a", "manifest_path": "/w/crates/base/a/Cargo.toml",
                "dependencies": [
                    {"name": "b", "kind": null}, {"name": "c", "kind": "dev"},
                    {"name": "d", "kind": "build"},
                ],
            }],
        });
        assert_eq!(
            parse(&metadata).unwrap(),
            [Package {
                name: "a".into(),
                folder: "crates/base/a".into(),
                dependencies: vec!["b".into(), "d".into()],
            }]
        );
    }

    #[test]
    fn metadata_of_another_shape_is_an_error() {
        assert!(parse(&json!({})).is_err());
        assert!(parse(&json!({"workspace_root": "/w", "packages": [{"name": "a"}]})).is_err());
    }
}
