use super::*;
use crate::config::{Config, ConfigError};

#[test]
fn every_target_is_read() {
    let config = Config::parse(
        r#"
        version = 1
        [addresses]
        delegation = "prefixes"
        warm_target = 3
        warm_prefixes = 1
        warm_enis = 2
        minimum_target = 10
        minimum_prefixes = 2
        minimum_enis = 1
        maximum_target = 500
        maximum_prefixes = 30
        max_enis = 4
        "#,
    )
    .unwrap();
    let wanted = Targets {
        families: Families::V4,
        delegation: Delegation::Prefixes,
        warm: Amount {
            addresses: 3,
            prefixes: 1,
            enis: 2,
        },
        minimum: Amount {
            addresses: 10,
            prefixes: 2,
            enis: 1,
        },
        maximum_addresses: Some(500),
        maximum_prefixes: Some(30),
        max_enis: Some(4),
    };
    assert_eq!(config.addresses.targets, wanted);
}

#[test]
fn targets_that_contradict_each_other_are_listed_together() {
    let error = Config::parse(
        r#"
        version = 1
        [addresses]
        warm_prefixes = 2
        minimum_target = 50
        maximum_target = 20
        minimum_enis = 5
        max_enis = 3
        "#,
    )
    .unwrap_err();
    let ConfigError::Mistakes(mistakes) = error else {
        panic!("{error}");
    };
    let listed: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        listed,
        [
            "addresses.warm_prefixes: counts prefixes: set delegation = \"prefixes\" too",
            "addresses.warm_target: is 32 addresses, more than the maximum of 20",
            "addresses.minimum_target: is 50 addresses, more than the maximum of 20",
            "addresses.minimum_enis: is 5, more than max_enis, 3",
        ]
    );
}

#[test]
fn the_largest_unit_of_a_target_counts_and_the_least_maximum() {
    let limits = |prefixes| InstanceLimits {
        enis_per_card: vec![3],
        enis: None,
        ipv4_per_eni: 10,
        prefixes,
    };
    let targets = Targets {
        families: Families::V4,
        delegation: Delegation::Prefixes,
        warm: Amount {
            addresses: 20,
            prefixes: 1,
            enis: 0,
        },
        minimum: Amount {
            addresses: 20,
            prefixes: 0,
            enis: 1,
        },
        maximum_addresses: Some(1000),
        maximum_prefixes: Some(20),
        max_enis: None,
    };
    let nitro = targets.on(limits(true));
    assert_eq!(
        (nitro.warm_default, nitro.minimum, nitro.maximum),
        (20, 144, Some(320))
    );
    let xen = targets.on(limits(false));
    assert_eq!((xen.delegation, xen.minimum), (Delegation::Addresses, 20));
}

#[test]
fn families_are_one_or_both() {
    let families = |text: &str| {
        let file = format!("version = 1\n[addresses]\nfamilies = {text}\n");
        Config::parse(&file).map(|config| config.addresses.targets.families)
    };
    assert_eq!(families(r#"["v4"]"#).unwrap(), Families::V4);
    assert_eq!(families(r#"["v6"]"#).unwrap(), Families::V6);
    assert_eq!(families(r#"["v6", "v4"]"#).unwrap(), Families::Dual);
    for wrong in ["[]", r#""v4""#, r#"["v4", "v4"]"#, r#"["v5"]"#] {
        let error = families(wrong).unwrap_err().to_string();
        let told = r#"must be ["v4"], ["v6"] or ["v4", "v6"]"#;
        assert!(
            error.ends_with(&format!("addresses.families: {told}")),
            "{error}"
        );
    }
}

#[test]
fn without_ipv4_its_addresses_are_not_counted_and_packets_are_not_too_short() {
    let error = Config::parse(
        r#"
        version = 1
        [addresses]
        families = ["v6"]
        max_enis = 3
        warm_target = 3
        delegation = "prefixes"
        [pods]
        mtu = 1000
        "#,
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "3 mistakes in the configuration:\n  \
         addresses.delegation: counts IPv4 addresses, which pods get none of\n  \
         addresses.warm_target: counts IPv4 addresses, which pods get none of\n  \
         pods.mtu: must be from 1280 to 9001, not 1000"
    );
}
