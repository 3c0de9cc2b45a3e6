//! The sections of the file, one function each.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use ipnet::Ipv4Net;
use toml::{Table, Value};
use underlay_cni_spec::CniVersion;
use underlay_netplan::snat::SourcePortsError;
use underlay_types::{EnforcementError, Families, Family, SecurityGroupId};

use super::{
    ADD_WAIT_MAX, Access, AddressConfig, AllowedGroups, AllowedTag, BranchEniConfig, Config,
    ConflistConfig, DriftConfig, EniConfig, FORMAT_VERSION, MetricsConfig, PathConfig, PodConfig,
    SecurityGroupConfig, SnatConfig, Tag, Targets,
    enis::tag,
    log,
    mistakes::{Mistake, Section, boolean, duration, list_of, number, text},
};

const SECOND: Duration = Duration::from_secs(1);
/// What somebody broke stays so no longer.
const DRIFT_INTERVAL_MAX: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);
/// The smallest MTU that IPv4 allows.
const MTU_MIN_IPV4: u32 = 576;
/// The smallest that IPv6 allows (RFC 8200 section 5).
const MTU_MIN_IPV6: u32 = 1280;
/// The largest that EC2 carries.
const MTU_MAX: u32 = 9001;

/// The configuration as far as it is right, and what is wrong with it.
pub(super) fn read(table: Table) -> (Config, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut root = Section::root(table, &mut mistakes);
    version(&mut root);
    let addresses = addresses(root.section("addresses"));
    let families = addresses.targets.families;
    let security_groups = security_groups(root.section("security_groups"));
    let enis = EniConfig::read(root.section("enis"), security_groups.groups_per_eni);
    let config = Config {
        addresses,
        enis,
        security_groups,
        pods: pods(root.section("pods"), families),
        branch_enis: branch_enis(root.section("branch_enis")),
        snat: snat(root.section("snat"), families),
        drift: drift(root.section("drift")),
        log: log::read(root.section("log")),
        metrics: metrics(root.section("metrics")),
        conflist: conflist(root.section("conflist")),
        paths: paths(root.section("paths")),
    };
    root.finish(&[
        "version",
        "addresses",
        "enis",
        "security_groups",
        "pods",
        "branch_enis",
        "snat",
        "drift",
        "log",
        "metrics",
        "conflist",
        "paths",
    ]);
    (config, mistakes)
}

fn version(root: &mut Section<'_>) {
    match root.take("version") {
        Some(Value::Integer(FORMAT_VERSION)) => {}
        Some(other) => {
            root.mistake(
                "version",
                &format!("must be {FORMAT_VERSION}, not {other:?}"),
            );
        }
        None => root.mistake(
            "version",
            &format!("is missing; write version = {FORMAT_VERSION}"),
        ),
    }
}

fn addresses(mut section: Section<'_>) -> AddressConfig {
    let mut config = AddressConfig {
        targets: Targets::read(&mut section),
        ..AddressConfig::default()
    };
    section.read("cooldown", &mut config.cooldown, |v| {
        duration(v, Duration::ZERO, DAY)
    });
    section.read("add_wait", &mut config.add_wait, |v| {
        duration(v, Duration::ZERO, ADD_WAIT_MAX)
    });
    section.read("idle_eni_after", &mut config.idle_eni_after, |v| {
        duration(v, Duration::ZERO, DAY)
    });
    let mut known = vec!["add_wait", "cooldown", "idle_eni_after"];
    known.extend(Targets::KEYS);
    section.finish(&known);
    config
}

fn security_groups(mut section: Section<'_>) -> SecurityGroupConfig {
    let mut config = SecurityGroupConfig::default();
    let AllowedGroups { ids, tag } = &mut config.allowed;
    section.read("allowed_ids", ids, |v| {
        list_of::<SecurityGroupId>(v).map(|ids| ids.into_iter().collect())
    });
    section.read("allowed_tag", tag, allowed_tag);
    section.read("groups_per_eni", &mut config.groups_per_eni, |v| {
        number(&v, 1, 16).and_then(|n| usize::try_from(n).map_err(|error| error.to_string()))
    });
    section.read("poll_interval", &mut config.poll_interval, |v| {
        duration(v, SECOND, DAY)
    });
    section.read("open_node_ports", &mut config.open_node_ports, list_of);
    section.finish(&[
        "allowed_ids",
        "allowed_tag",
        "groups_per_eni",
        "poll_interval",
        "open_node_ports",
    ]);
    config
}

fn allowed_tag(value: Value) -> Result<Option<AllowedTag>, String> {
    let shape = "must be { key = \"...\", value = \"...\" }, or false to allow by id alone";
    let tag = tag(value).ok_or_else(|| shape.to_owned())?;
    Ok(tag.map(|Tag { key, value }| AllowedTag { key, value }))
}

fn pods(mut section: Section<'_>, families: Families) -> PodConfig {
    let mut config = PodConfig::default();
    let least = if families.has(Family::V6) {
        MTU_MIN_IPV6
    } else {
        MTU_MIN_IPV4
    };
    section.read("mtu", &mut config.mtu, |v| {
        number(&v, least, MTU_MAX).map(Some)
    });
    section.read("metadata", &mut config.metadata, access);
    section.read("own_eni", &mut config.own_eni, access);
    section.finish(&["mtu", "metadata", "own_eni"]);
    config
}

fn access(value: Value) -> Result<Access, String> {
    match text(value)?.as_str() {
        "allow" => Ok(Access::Allow),
        "deny" => Ok(Access::Deny),
        other => Err(format!("must be \"allow\" or \"deny\", not {other:?}")),
    }
}

fn branch_enis(mut section: Section<'_>) -> BranchEniConfig {
    let mut config = BranchEniConfig::default();
    section.read("enabled", &mut config.enabled, boolean);
    section.read("mode", &mut config.mode, |v| {
        text(v)?
            .parse()
            .map_err(|error: EnforcementError| error.to_string())
    });
    section.finish(&["enabled", "mode"]);
    config
}

fn snat(mut section: Section<'_>, families: Families) -> SnatConfig {
    let mut config = SnatConfig::default();
    section.read("enabled", &mut config.enabled, boolean);
    section.read("excluded", &mut config.excluded, |v| {
        let blocks: Vec<Block> = list_of(v)?;
        Ok(blocks.into_iter().map(|Block(block)| block).collect())
    });
    section.read("v4_egress", &mut config.v4_egress, |v| {
        let wanted = boolean(v)?;
        if wanted && families.has(Family::V4) {
            return Err("is for families = [\"v6\"]: other pods have an IPv4 address".to_owned());
        }
        Ok(wanted)
    });
    section.read("ports", &mut config.ports, |v| {
        text(v)?
            .parse()
            .map_err(|error: SourcePortsError| error.to_string())
    });
    section.read("poll_interval", &mut config.poll_interval, |v| {
        duration(v, SECOND, DAY)
    });
    section.finish(&["enabled", "excluded", "v4_egress", "ports", "poll_interval"]);
    config
}

/// An IPv4 block whose address has no bits beyond its length.
struct Block(Ipv4Net);

impl FromStr for Block {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let block: Ipv4Net = text
            .parse()
            .map_err(|_unreadable| format!("{text:?} is not an IPv4 block like \"10.8.0.0/16\""))?;
        let whole = block.trunc();
        if block == whole {
            Ok(Self(block))
        } else {
            Err(format!("{text:?} is not a whole block: write \"{whole}\""))
        }
    }
}

fn drift(mut section: Section<'_>) -> DriftConfig {
    let mut config = DriftConfig::default();
    section.read("interval", &mut config.interval, |v| {
        duration(v, SECOND, DRIFT_INTERVAL_MAX)
    });
    section.finish(&["interval"]);
    config
}

fn metrics(mut section: Section<'_>) -> MetricsConfig {
    let mut config = MetricsConfig::default();
    section.read("listen", &mut config.listen, |value| match value {
        Value::Boolean(false) => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_unreadable| {
            format!("must be an address and port like \"127.0.0.1:61678\", not {text:?}")
        }),
        _ => Err("must be an address and port like \"127.0.0.1:61678\", or false".to_owned()),
    });
    section.finish(&["listen"]);
    config
}

fn conflist(mut section: Section<'_>) -> ConflistConfig {
    let mut config = ConflistConfig::default();
    section.read("cni_version", &mut config.cni_version, |v| {
        text(v)?
            .parse::<CniVersion>()
            .map_err(|error| error.to_string())
    });
    section.read("portmap", &mut config.portmap, boolean);
    section.read("bandwidth", &mut config.bandwidth, boolean);
    section.read("sysctls", &mut config.sysctls, sysctls);
    section.finish(&["cni_version", "portmap", "bandwidth", "sysctls"]);
    config
}

/// Names below /proc/sys/net, which a pod has its own of, and their values.
fn sysctls(value: Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Table(table) = value else {
        return Err("must be a table like { \"net.core.somaxconn\" = \"1024\" }".to_owned());
    };
    let read = |(name, value): (String, Value)| match value {
        Value::String(value) if name.starts_with("net.") => Ok((name, value)),
        Value::String(_) => Err(format!("{name:?} is not a pod's own: only net.* is")),
        _ => Err(format!("the value of {name:?} must be a string")),
    };
    table.into_iter().map(read).collect()
}

fn paths(mut section: Section<'_>) -> PathConfig {
    let mut config = PathConfig::default();
    section.read("run_dir", &mut config.run_dir, absolute);
    section.read("conflist_dir", &mut config.conflist_dir, absolute);
    section.finish(&["run_dir", "conflist_dir"]);
    config
}

fn absolute(value: Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("must be an absolute path, not {}", path.display()))
    }
}
