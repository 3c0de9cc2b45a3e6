use std::collections::BTreeMap;

use underlay_ipam::SubnetRule;

use super::*;

#[test]
fn a_file_with_its_version_alone_means_the_defaults() {
    assert_eq!(Config::parse("version = 1").unwrap(), Config::default());
    let defaults = Config::default();
    assert_eq!(
        defaults.paths.socket(),
        Path::new("/run/underlay/agent.sock")
    );
    assert_eq!(defaults.paths.journal(), Path::new("/run/underlay/journal"));
    assert_eq!(
        defaults.paths.tombstones(),
        Path::new("/run/underlay/tombstones")
    );
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(
        r#"
        version = 1
        [addresses]
        max_enis = 4
        cooldown = "1m 30s"
        add_wait = "5s"
        idle_eni_after = "1h"
        [enis]
        primary = "leave"
        subnets = "discover"
        security_groups = ["sg-0000000c"]
        unmanaged_tag = { key = "hands", value = "off" }
        [security_groups]
        allowed_ids = ["sg-0000000b", "sg-0000000a"]
        allowed_tag = { key = "team/pods", value = "yes" }
        groups_per_eni = 16
        poll_interval = "10s"
        open_node_ports = ["tcp/53", "udp/8000-8100"]
        [pods]
        mtu = 1500
        metadata = "allow"
        own_eni = "allow"
        [branch_enis]
        enabled = true
        mode = "standard"
        [snat]
        enabled = true
        excluded = ["192.168.0.0/16", "10.8.0.0/13"]
        v4_egress = false
        ports = "keep"
        poll_interval = "1m"
        [drift]
        interval = "1m"
        [log]
        format = "json"
        level = "warn"
        [conflist]
        cni_version = "1.1.0"
        portmap = false
        bandwidth = true
        sysctls = { "net.core.somaxconn" = "1024" }
        [paths]
        run_dir = "/run/a"
        conflist_dir = "/run/b"
        "#,
    )
    .unwrap();
    assert_eq!(config, everything());
}

fn enis_of_their_own() -> EniConfig {
    EniConfig {
        primary: Some(PrimaryUse::Leave),
        subnets: SubnetRule::Discover,
        security_groups: Some("sg-0000000c".parse().unwrap()),
        unmanaged_tag: Some(Tag {
            key: "hands".to_owned(),
            value: "off".to_owned(),
        }),
    }
}

const BRANCHES: BranchEniConfig = BranchEniConfig {
    enabled: true,
    mode: Enforcement::Standard,
};

fn everything() -> Config {
    Config {
        addresses: AddressConfig {
            targets: Targets {
                max_enis: Some(4),
                ..Targets::default()
            },
            cooldown: Duration::from_secs(90),
            add_wait: Duration::from_secs(5),
            idle_eni_after: Duration::from_hours(1),
        },
        enis: enis_of_their_own(),
        security_groups: SecurityGroupConfig {
            allowed: AllowedGroups {
                ids: ["sg-0000000a", "sg-0000000b"]
                    .map(|id| id.parse().unwrap())
                    .into(),
                tag: Some(AllowedTag {
                    key: "team/pods".into(),
                    value: "yes".into(),
                }),
            },
            groups_per_eni: 16,
            poll_interval: Duration::from_secs(10),
            open_node_ports: vec!["tcp/53".parse().unwrap(), "udp/8000-8100".parse().unwrap()],
        },
        pods: PodConfig {
            mtu: Some(1500),
            metadata: Access::Allow,
            own_eni: Access::Allow,
        },
        snat: SnatConfig {
            enabled: true,
            excluded: ["192.168.0.0/16", "10.8.0.0/13"]
                .map(|block| block.parse().unwrap())
                .into(),
            v4_egress: false,
            ports: SourcePorts::Keep,
            poll_interval: Duration::from_mins(1),
        },
        branch_enis: BRANCHES,
        drift: DriftConfig {
            interval: Duration::from_mins(1),
        },
        log: LogConfig {
            format: LogFormat::Json,
            level: LogLevel::Warn,
        },
        metrics: MetricsConfig::default(),
        conflist: ConflistConfig {
            cni_version: underlay_cni_spec::CniVersion::V1_1_0,
            portmap: false,
            bandwidth: true,
            sysctls: [("net.core.somaxconn".to_owned(), "1024".to_owned())].into(),
        },
        paths: PathConfig {
            run_dir: "/run/a".into(),
            conflist_dir: "/run/b".into(),
        },
    }
}

#[test]
fn all_mistakes_are_listed_together() {
    let error = Config::parse(
        r#"
        vresion = 1
        addresses = 3
        [security_groups]
        allowed_ids = ["sg-x"]
        allowed_tag = true
        poll_interval = "0s"
        open_node_ports = ["tcp/0"]
        [pods]
        mtu = 10000
        colour = "red"
        metadata = true
        [branch_enis]
        mode = "soft"
        [snat]
        enabled = "yes"
        excluded = ["10.8.1.0/16"]
        v4_egress = true
        ports = "prng"
        poll_interval = "0s"
        [conflist]
        cni_version = "0.2.0"
        portmap = "yes"
        bandwidth = 10
        sysctls = { "kernel.pid_max" = "9" }
        [paths]
        run_dir = "run"
        "#,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"21 mistakes in the configuration:
  version: is missing; write version = 1
  addresses: must be a table, not an integer
  security_groups.allowed_ids: "sg-x" is not an id of the form sg-<8 or 17 lower-case hex digits>
  security_groups.allowed_tag: must be { key = "...", value = "..." }, or false to allow by id alone
  security_groups.poll_interval: must be from 1s to 1day, not "0s"
  security_groups.open_node_ports: "tcp/0" is not a port like "tcp/53" or a range like "udp/8000-8100"
  pods.mtu: must be from 576 to 9001, not 10000
  pods.metadata: must be a string, not a boolean
  pods.colour: unknown key; known are mtu, metadata, own_eni
  branch_enis.mode: must be "strict" or "standard", not "soft"
  snat.enabled: must be true or false, not a string
  snat.excluded: "10.8.1.0/16" is not a whole block: write "10.8.0.0/16"
  snat.v4_egress: is for families = ["v6"]: other pods have an IPv4 address
  snat.ports: must be "random-fully", "random" or "keep", not "prng"
  snat.poll_interval: must be from 1s to 1day, not "0s"
  conflist.cni_version: CNI version "0.2.0" is not supported; supported are 0.3.1, 0.4.0, 1.0.0, 1.1.0
  conflist.portmap: must be true or false, not a string
  conflist.bandwidth: must be true or false, not an integer
  conflist.sysctls: "kernel.pid_max" is not a pod's own: only net.* is
  paths.run_dir: must be an absolute path, not run
  vresion: unknown key; known are version, addresses, enis, security_groups, pods, branch_enis, snat, drift, log, metrics, conflist, paths"#
    );
}

#[test]
fn durations_are_text_with_a_unit_and_within_bounds() {
    for (value, what) in [
        ("30", "must be a duration like \"30s\", not an integer"),
        ("\"61s\"", "must be from 0s to 1m, not \"61s\""),
    ] {
        let error = Config::parse(&format!("version = 1\n[addresses]\nadd_wait = {value}"));
        let Err(ConfigError::Mistakes(mistakes)) = error else {
            panic!("{error:?}")
        };
        let key = "addresses.add_wait".to_owned();
        assert_eq!(
            mistakes,
            [Mistake {
                file: None,
                key,
                what: what.to_owned()
            }]
        );
    }
}

#[test]
fn text_that_is_not_toml_is_a_syntax_error() {
    assert!(matches!(
        Config::parse("version ="),
        Err(ConfigError::Syntax(_))
    ));
}

#[test]
fn groups_are_allowed_by_id_or_by_tag() {
    let group = "sg-0000000a".parse().unwrap();
    let tagged = BTreeMap::from([("underlay.dev/allow-pods".to_owned(), "true".to_owned())]);
    let other = BTreeMap::from([("underlay.dev/allow-pods".to_owned(), "false".to_owned())]);
    let by_tag = AllowedGroups::default();
    assert!(by_tag.permits(&group, &tagged));
    assert!(!by_tag.permits(&group, &other));
    assert!(!by_tag.permits(&group, &BTreeMap::new()));
    let by_id = AllowedGroups {
        ids: [group.clone()].into(),
        tag: None,
    };
    assert!(by_id.permits(&group, &BTreeMap::new()));
    assert!(!by_id.permits(&"sg-0000000b".parse().unwrap(), &tagged));
}

#[test]
fn metrics_are_served_elsewhere_or_not_at_all() {
    let listen = |value: &str| {
        let file = format!("version = 1\n[metrics]\nlisten = {value}");
        Config::parse(&file).map(|config| config.metrics.listen)
    };
    let elsewhere = "[::1]:9000".parse().unwrap();
    assert_eq!(listen("\"[::1]:9000\"").unwrap(), Some(elsewhere));
    assert_eq!(listen("false").unwrap(), None);
    for wrong in ["true", "9000", "\"localhost\""] {
        assert!(
            matches!(listen(wrong), Err(ConfigError::Mistakes(_))),
            "{wrong}"
        );
    }
}
