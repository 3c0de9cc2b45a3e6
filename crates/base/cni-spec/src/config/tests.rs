use proptest::prelude::*;

use super::*;

fn add(stdin: &str) -> Result<NetworkConfig, CniError> {
    NetworkConfig::parse(Command::Add, stdin)
}

#[test]
fn a_configuration_as_containerd_writes_it_is_read() {
    let config = add(
        r#"{"cniVersion":"1.0.0","name":"underlay","type":"underlay-cni",
            "capabilities":{"io.kubernetes.cri.pod-annotations":true},
            "securityGroups":["sg-0000000a"],"eni":"own","networkCard":1,"example.com/other":1,"a.b":2,
            "runtimeConfig":{"portMappings":[{"hostPort":80}],
              "io.kubernetes.cri.pod-annotations":{"underlay.dev/security-groups":"sg-0000000b"}}}"#,
    )
    .unwrap();
    assert_eq!(
        config,
        NetworkConfig {
            version: CniVersion::V1_0_0,
            name: "underlay".parse().unwrap(),
            eni: Some("own".into()),
            network_card: Some(1),
            security_groups: Some(vec!["sg-0000000a".into()]),
            annotations: [("underlay.dev/security-groups".into(), "sg-0000000b".into())].into(),
            previous: None,
            valid_attachments: Attachments::new(),
        }
    );
}

#[test]
fn a_network_card_is_a_small_number() {
    for bad in ["-1", "256", "1.5", "\"1\"", "null", "[]"] {
        let stdin = format!(r#"{{"cniVersion":"1.0.0","name":"n","networkCard":{bad}}}"#);
        let refused = add(&stdin).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "code 7: networkCard: must be a whole number from 0 to 255",
            "{bad}"
        );
    }
}

#[test]
fn null_is_an_empty_map_as_go_writes_it() {
    for runtime_config in [
        "null",
        "{}",
        r#"{"io.kubernetes.cri.pod-annotations":null}"#,
    ] {
        let stdin =
            format!(r#"{{"cniVersion":"1.0.0","name":"n","runtimeConfig":{runtime_config}}}"#);
        assert_eq!(add(&stdin).unwrap().annotations, BTreeMap::new());
    }
}

/// The table of malformed configurations: command, input, answer.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn malformed_configurations_get_the_code_and_the_key() {
    const HEAD: &str = r#""cniVersion":"1.1.0","name":"n""#;
    let with = |rest: &str| format!("{{{HEAD},{rest}}}");
    let table = [
        (
            Command::Add,
            String::new(),
            6,
            "the network configuration on standard input is not a JSON object",
        ),
        (
            Command::Add,
            "[1]".into(),
            6,
            "the network configuration on standard input is not a JSON object",
        ),
        (Command::Add, "{}".into(), 1, "cniVersion: is missing"),
        (
            Command::Add,
            r#"{"cniVersion":1}"#.into(),
            7,
            "cniVersion: must be a string",
        ),
        (
            Command::Add,
            r#"{"cniVersion":"0.2.0","name":"n"}"#.into(),
            1,
            "cniVersion: CNI version \"0.2.0\" is not supported; supported are 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        ),
        (
            Command::Check,
            r#"{"cniVersion":"0.3.1","name":"n"}"#.into(),
            1,
            "cniVersion: 0.3.1 has no CHECK; it needs 0.4.0 or newer",
        ),
        (
            Command::Status,
            r#"{"cniVersion":"1.0.0","name":"n"}"#.into(),
            1,
            "cniVersion: 1.0.0 has no STATUS; it needs 1.1.0 or newer",
        ),
        (
            Command::Del,
            r#"{"cniVersion":"1.0.0"}"#.into(),
            7,
            "name: is missing",
        ),
        (
            Command::Del,
            r#"{"cniVersion":"1.0.0","name":"../n"}"#.into(),
            7,
            "name: \"../n\" is not a network name: an alphanumeric, then alphanumerics, '_', '.' or '-'",
        ),
        (
            Command::Check,
            with(r#""type":"x""#),
            7,
            "prevResult: is required for CHECK",
        ),
        (
            Command::Check,
            with(r#""prevResult":3"#),
            7,
            "prevResult: must be an object",
        ),
        (
            Command::Add,
            with(r#""securityGroup":[]"#),
            7,
            "unknown key in the network configuration: securityGroup",
        ),
        (
            Command::Status,
            with(r#""b":1,"a":2"#),
            7,
            "unknown key in the network configuration: a, b",
        ),
        (
            Command::Add,
            with(r#""securityGroups":"sg-1""#),
            7,
            "securityGroups: must be an array of security-group ids",
        ),
        (
            Command::Add,
            with(r#""runtimeConfig":1"#),
            7,
            "runtimeConfig: must be an object",
        ),
        (
            Command::Add,
            with(r#""runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"a":1}}"#),
            7,
            "runtimeConfig.io.kubernetes.cri.pod-annotations: \"a\" must be a string",
        ),
        (
            Command::Gc,
            with(r#""type":"x""#),
            7,
            "cni.dev/valid-attachments: is required for GC",
        ),
        (
            Command::Gc,
            with(r#""cni.dev/valid-attachments":[{"ifname":"eth0"}]"#),
            7,
            "cni.dev/valid-attachments: missing field `containerID`",
        ),
    ];
    for (command, stdin, code, msg) in table {
        let error = NetworkConfig::parse(command, &stdin).unwrap_err();
        assert_eq!(
            (error.code.number(), error.msg.as_str()),
            (code, msg),
            "{command} {stdin}"
        );
    }
}

#[test]
fn del_and_gc_run_with_the_configuration_of_a_newer_version() {
    let newer = r#"{"cniVersion":"1.1.0","name":"n","newKey":1,"securityGroups":"x",
        "runtimeConfig":7,"prevResult":[],"cni.dev/valid-attachments":[]}"#;
    for command in [Command::Del, Command::Gc] {
        assert_eq!(
            NetworkConfig::parse(command, newer).unwrap().name.as_str(),
            "n"
        );
    }
    for command in [Command::Add, Command::Check, Command::Status] {
        let error = NetworkConfig::parse(command, newer).unwrap_err();
        assert_eq!(
            error.msg,
            "unknown key in the network configuration: newKey"
        );
    }
}

#[test]
fn gc_reads_the_valid_attachments() {
    let list = r#"[{"containerID":"c1","ifname":"eth0"},{"containerID":"c2","ifname":"net1"}]"#;
    let wanted: Attachments = [("c1", "eth0"), ("c2", "net1")]
        .map(|(c, i)| (c.parse().unwrap(), i.parse().unwrap()))
        .into();
    for (key, value, wanted) in [
        ("cni.dev/valid-attachments", list, &wanted),
        ("cni.dev/attachments", list, &wanted),
        ("cni.dev/valid-attachments", "null", &Attachments::new()),
    ] {
        let stdin = format!(r#"{{"cniVersion":"1.1.0","name":"n","{key}":{value}}}"#);
        let config = NetworkConfig::parse(Command::Gc, &stdin).unwrap();
        assert_eq!(config.valid_attachments, *wanted);
    }
}

#[test]
fn the_head_has_what_the_plugin_needs() {
    let head = ConfigHead::parse(r#"{"cniVersion":"0.4.0","name":"n","runDir":"/r","x":[1]}"#);
    let head = head.unwrap();
    assert_eq!(head.answer_version(), CniVersion::V0_4_0);
    assert_eq!(
        (head.name.as_deref(), head.run_dir.as_deref()),
        (Some("n"), Some("/r"))
    );
    let bare = ConfigHead::parse(r#"{"cniVersion":"9"}"#).unwrap();
    assert_eq!(bare.answer_version(), CniVersion::NEWEST);
    assert_eq!(ConfigHead::parse("x").unwrap_err().code, ErrorCode::Decode);
    let relative = ConfigHead::parse(r#"{"runDir":"r"}"#).unwrap_err();
    assert_eq!(relative.msg, "runDir: \"r\" is not an absolute path");
}

/// Any JSON, with the keys that mean something often among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "cniVersion",
            "name",
            "prevResult",
            "runtimeConfig",
            "securityGroups",
            "cni.dev/valid-attachments",
            POD_ANNOTATIONS,
            "interfaces",
            "ips",
            "routes",
            "containerID",
            "ifname",
        ])
        .prop_map(str::to_owned),
        "[a-z./]{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["1.1.0", "1.0.0", "0.3.1", "n", "eth0", "sg-0000000a"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(config in any_json(), valid_head in any::<bool>()) {
        let mut config = config;
        if let (true, Value::Object(map)) = (valid_head, &mut config) {
            map.insert("cniVersion".into(), "1.1.0".into());
            map.insert("name".into(), "n".into());
        }
        for command in Command::ALL {
            if let Err(error) = NetworkConfig::parse(command, &config.to_string()) {
                prop_assert!(matches!(error.code.number(), 1 | 6 | 7), "{error}");
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(stdin in "\\PC{0,64}") {
        for command in Command::ALL {
            if let Err(error) = NetworkConfig::parse(command, &stdin) {
                prop_assert!(matches!(error.code.number(), 1 | 6 | 7), "{error}");
            }
        }
    }
}

/// Which of two values is meant cannot be known: the plugin and the agent might each take another.
#[test]
fn a_key_that_is_written_twice_is_named_by_plugin_and_agent() {
    let twice = |key: &str, value: &str| {
        format!(
            r#"{{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[],"runDir":"/r","x.y":1,"{key}":{value}}}"#
        )
    };
    let message = |result: Result<_, CniError>| result.map_err(|error| error.to_string()).err();
    for (key, value) in [
        ("cniVersion", "\"1.1.0\""),
        ("name", "\"n\""),
        ("runDir", "\"/r\""),
    ] {
        let stdin = twice(key, value);
        let wanted = Some(format!("code 7: {key}: is written twice"));
        assert_eq!(message(ConfigHead::parse(&stdin).map(drop)), wanted);
        for command in [Command::Add, Command::Del, Command::Gc, Command::Status] {
            assert_eq!(
                message(NetworkConfig::parse(command, &stdin).map(drop)),
                wanted
            );
        }
    }
    let attachments = twice("cni.dev/valid-attachments", "[]");
    let wanted = "code 7: cni.dev/valid-attachments: is written twice";
    let read = |command, stdin: &str| message(NetworkConfig::parse(command, stdin).map(drop));
    assert_eq!(read(Command::Gc, &attachments).as_deref(), Some(wanted));
    let foreign = twice("x.y", "2");
    assert_eq!(message(ConfigHead::parse(&foreign).map(drop)), None);
    let wanted = "code 7: x.y: is written twice";
    assert_eq!(read(Command::Add, &foreign).as_deref(), Some(wanted));
    // What a DEL or GC does not use never keeps it from being done.
    for command in [Command::Del, Command::Gc] {
        assert_eq!(read(command, &foreign), None, "{command}");
    }
}
