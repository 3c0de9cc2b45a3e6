//! Random admin requests.

use hyper::Method;
use proptest::{collection::vec, prelude::*, sample::select};
use underlay_vpc::admin::{Admin, ControlAdmin};

use crate::world::World;

const PATHS: [&str; 9] = [
    "/clock",
    "/faults",
    "/faults/off",
    "/buckets",
    "/calls",
    "/limits",
    "/inspect",
    "/",
    "/../etc",
];
const PARTS: [&str; 36] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"speed\"",
    "\"advance\"",
    "\"step\"",
    "\"hazard\"",
    "\"action\"",
    "\"target\"",
    "\"probability\"",
    "\"count\"",
    "\"lasts\"",
    "\"delay\"",
    "\"code\"",
    "\"id\"",
    "\"all\"",
    "\"budgets\"",
    "\"of\"",
    "\"burst\"",
    "\"per_second\"",
    "\"throttles\"",
    "\"slow\"",
    "\"refuse\"",
    "\"1s..10s\"",
    "\"0\"",
    "\"366d\"",
    "\"reading\"",
    "true",
    "null",
    "-1",
    "1e400",
    "18446744073709551616",
    "0.5",
];
const WHOLE: [&str; 8] = [
    r#"{"speed":"1000000"}"#,
    r#"{"advance":"366d"}"#,
    r#"{"step":true}"#,
    r#"{"hazard":"slow","probability":1e-7,"delay":"0s..366d","lasts":"366d"}"#,
    r#"{"hazard":"connections-refused","count":4294967295}"#,
    r#"{"all":true}"#,
    r#"{"budgets":[{"of":"reading","burst":0,"per_second":0}],"throttles":true}"#,
    r#"{"budgets":[{"of":"RunInstances","resources":true,"burst":4294967295,"per_second":1e6}]}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn any_admin_request_is_carried_out_or_refused(
        requests in vec(
            (
                any::<bool>(),
                select(&PATHS[..]),
                prop_oneof![
                    2 => vec(select(&PARTS[..]), 0..12).prop_map(|parts| parts.concat().into_bytes()),
                    2 => select(&WHOLE[..]).prop_map(|text| text.as_bytes().to_vec()),
                    1 => vec(any::<u8>(), 0..64),
                ],
            ),
            1..12,
        ),
    ) {
        let world = World::new();
        let admin = ControlAdmin(world.server);
        for (post, path, body) in &requests {
            let method = if *post { Method::POST } else { Method::GET };
            match admin.act(&method, path, body) {
                Ok(answer) => {
                    serde_json::from_str::<serde_json::Value>(&answer).unwrap();
                }
                Err(refusal) => prop_assert!(matches!(refusal.status(), 400..500), "{refusal:?}"),
            }
        }
        // Whatever was set: it can be looked at.
        for path in ["/clock", "/faults", "/buckets", "/calls", "/limits"] {
            prop_assert!(admin.act(&Method::GET, path, b"").is_ok(), "{path}");
        }
    }
}
