//! The rules of direction between layers (ARCHITECTURE.md, "Layers").

use std::{collections::BTreeMap, fmt};

use crate::metadata::Package;

/// A layer, named by the folder it lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Base,
    Core,
    Io,
    Bins,
    Testing,
    Xtask,
}

impl Layer {
    fn of_folder(folder: &str) -> Option<Self> {
        let layers = [
            ("crates/base/", Self::Base),
            ("crates/core/", Self::Core),
            ("crates/io/", Self::Io),
            ("bins/", Self::Bins),
            ("testing/", Self::Testing),
            ("xtask", Self::Xtask),
        ];
        layers
            .into_iter()
            .find(|(prefix, _)| folder.starts_with(prefix))
            .map(|(_, layer)| layer)
    }

    /// Layers whose packages a package of this layer may be built from.
    const fn may_use(self) -> &'static [Self] {
        match self {
            Self::Base => &[Self::Base],
            Self::Core => &[Self::Base, Self::Core],
            Self::Io => &[Self::Base, Self::Io],
            Self::Bins => &[Self::Base, Self::Core, Self::Io],
            Self::Testing => &[Self::Base, Self::Core, Self::Io, Self::Testing],
            Self::Xtask => &[],
        }
    }
}

/// Packages that may only be built from these workspace packages, whatever their layer allows.
const ONLY_FROM: &[(&str, &[&str])] = &[
    // Exec'd once per pod event: small, static, without an async runtime.
    (
        "underlay-cni",
        &["underlay-cni-spec", "underlay-agent-api", "underlay-types"],
    ),
    // The oracle shares no decision code with what it judges.
    ("underlay-vpc-model", &["underlay-types"]),
];

/// Outside packages that a package must not be built from.
const NEVER_FROM: &[(&str, &[&str])] = &[(
    "underlay-cni",
    &["tokio", "hyper", "clap", "tracing", "aws-config"],
)];

/// An edge that points the wrong way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    package: String,
    problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.problem)
    }
}

/// Every edge between `packages` that the rules forbid, in the order of the packages.
pub(crate) fn violations(packages: &[Package]) -> Vec<Violation> {
    let layers: BTreeMap<&str, Layer> = packages
        .iter()
        .filter_map(|package| Some((package.name.as_str(), Layer::of_folder(&package.folder)?)))
        .collect();
    packages
        .iter()
        .flat_map(|package| violations_of(package, &layers))
        .collect()
}

fn violations_of(package: &Package, layers: &BTreeMap<&str, Layer>) -> Vec<Violation> {
    let violation = |problem| Violation {
        package: package.name.clone(),
        problem,
    };
    let Some(&layer) = layers.get(package.name.as_str()) else {
        return vec![violation(format!(
            "lives in {:?}, which is no layer",
            package.folder
        ))];
    };
    let mut found = Vec::new();
    for dependency in &package.dependencies {
        match layers.get(dependency.as_str()) {
            Some(below) if !layer.may_use().contains(below) => found.push(violation(format!(
                "({layer:?}) is built from {dependency} ({below:?}), against the layers"
            ))),
            Some(_) if !listed(ONLY_FROM, &package.name, dependency).unwrap_or(true) => {
                found.push(violation(format!(
                    "is built from {dependency}, which is not on its short list"
                )))
            }
            None if listed(NEVER_FROM, &package.name, dependency).unwrap_or(false) => {
                found.push(violation(format!(
                    "is built from {dependency}, which it must not be"
                )));
            }
            Some(_) | None => {}
        }
    }
    found
}

/// Whether `dependency` stands in the list of `package`; `None` if the package has no list.
fn listed(lists: &[(&str, &[&str])], package: &str, dependency: &str) -> Option<bool> {
    lists
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, list)| list.contains(&dependency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            folder: folder.into(),
            dependencies: dependencies.iter().map(|&name| name.into()).collect(),
        }
    }

    fn problems(packages: &[Package]) -> Vec<String> {
        violations(packages)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn edges_that_point_down_pass() {
        let packages = [
            package("types", "crates/base/types", &["serde"]),
            package("ipam", "crates/core/ipam", &["types"]),
            package("netlink", "crates/io/netlink", &["types"]),
            package(
                "agent",
                "bins/agent",
                &["ipam", "netlink", "types", "tokio"],
            ),
            package("testkit", "testing/testkit", &["types", "netlink"]),
        ];
        assert_eq!(problems(&packages), Vec::<String>::new());
    }

    #[test]
    fn each_forbidden_edge_is_named() {
        let packages = [
            package("types", "crates/base/types", &["ipam"]),
            package("ipam", "crates/core/ipam", &["netlink"]),
            package("netlink", "crates/io/netlink", &["ipam"]),
            package("agent", "bins/agent", &["testkit"]),
            package("testkit", "testing/testkit", &["agent"]),
            package("stray", "elsewhere/stray", &[]),
        ];
        assert_eq!(
            problems(&packages),
            [
                "types (Base) is built from ipam (Core), against the layers",
                "ipam (Core) is built from netlink (Io), against the layers",
                "netlink (Io) is built from ipam (Core), against the layers",
                "agent (Bins) is built from testkit (Testing), against the layers",
                "testkit (Testing) is built from agent (Bins), against the layers",
                "stray lives in \"elsewhere/stray\", which is no layer",
            ]
        );
    }

    #[test]
    fn the_plugin_and_the_oracle_keep_their_short_lists() {
        let packages = [
            package("underlay-types", "crates/base/types", &[]),
            package("underlay-agent-api", "crates/base/agent-api", &[]),
            package("underlay-ipam", "crates/core/ipam", &[]),
            package("underlay-netlink", "crates/io/netlink", &[]),
            package(
                "underlay-vpc-model",
                "crates/core/vpc-model",
                &["underlay-ipam"],
            ),
            package(
                "underlay-cni",
                "bins/cni",
                &["underlay-agent-api", "underlay-netlink", "tokio"],
            ),
        ];
        assert_eq!(
            problems(&packages),
            [
                "underlay-vpc-model is built from underlay-ipam, which is not on its short list",
                "underlay-cni is built from underlay-netlink, which is not on its short list",
                "underlay-cni is built from tokio, which it must not be",
            ]
        );
    }
}
