use std::time::Duration;

use underlay_types::Class;

use crate::{
    imds::{Imds, ImdsConfig},
    scripted_server::{ScriptedServer, Step},
};

fn client(server: &ScriptedServer) -> Imds {
    Imds::new(ImdsConfig {
        endpoint: format!("{}/", server.endpoint),
        attempt_timeout: Duration::from_millis(200),
        attempts: 2,
    })
    .unwrap()
}

#[tokio::test]
async fn one_token_serves_many_requests() {
    let script = [
        Step::Answer(200, "t1"),
        Step::Answer(200, "m5.large"),
        Step::Answer(404, "<html/>"),
    ];
    let server = ScriptedServer::start(script).await;
    let imds = client(&server);
    assert_eq!(
        imds.get("/latest/meta-data/instance-type").await.unwrap(),
        "m5.large"
    );
    assert_eq!(
        imds.get_optional("/latest/meta-data/x").await.unwrap(),
        None
    );
    let seen = server.seen();
    assert!(seen[0].starts_with("PUT /latest/api/token "), "{}", seen[0]);
    assert!(
        seen[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 21600"),
        "{}",
        seen[0]
    );
    assert!(
        seen[1].contains("x-aws-ec2-metadata-token: t1"),
        "{}",
        seen[1]
    );
    assert!(
        seen[2].contains("x-aws-ec2-metadata-token: t1"),
        "{}",
        seen[2]
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let script = [
        Step::Answer(200, "t1"),
        Step::Answer(401, ""),
        Step::Answer(200, "t2"),
        Step::Answer(200, "x"),
        Step::Answer(401, ""),
        Step::Answer(200, "t3"),
        Step::Answer(401, ""),
    ];
    let server = ScriptedServer::start(script).await;
    let imds = client(&server);
    assert_eq!(imds.get("/a").await.unwrap(), "x");
    let error = imds.get("/a").await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert_eq!(server.seen().len(), 7);
}

#[tokio::test]
async fn no_token_points_at_the_hop_limit() {
    let server = ScriptedServer::start([Step::Silence, Step::Silence]).await;
    let error = client(&server).get("/a").await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    let text = error.to_string();
    assert!(text.contains("HttpPutResponseHopLimit"), "{text}");
    assert!(text.contains("nothing within 200ms (2 tries)"), "{text}");
}

#[tokio::test]
async fn passing_failures_are_repeated() {
    let script = [
        Step::Hangup,
        Step::Answer(200, "t1"),
        Step::Answer(503, ""),
        Step::Answer(200, "x"),
    ];
    let server = ScriptedServer::start(script).await;
    assert_eq!(client(&server).get("/a").await.unwrap(), "x");
}

#[tokio::test]
async fn a_switched_off_service_is_denied_at_once() {
    let server = ScriptedServer::start([Step::Answer(403, "")]).await;
    let error = client(&server).get("/a").await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn endpoints_that_are_no_urls_are_refused() {
    for bad in ["", "169.254.169.254", "https://x", "http://"] {
        let config = ImdsConfig {
            endpoint: bad.to_owned(),
            ..ImdsConfig::default()
        };
        assert!(Imds::new(config).is_err(), "{bad:?}");
    }
}

const DOCUMENT: &str = r#"{"accountId":"123456789012","architecture":"x86_64",
    "availabilityZone":"eu-west-1a","imageId":"ami-01234567","instanceId":"i-0123456789abcdef0",
    "instanceType":"m5.large","privateIp":"10.0.0.10","region":"eu-west-1","kernelId":null}"#;

#[tokio::test]
async fn the_identity_takes_two_requests() {
    let script = [
        Step::Answer(200, "t1"),
        Step::Answer(200, DOCUMENT),
        Step::Answer(200, "02:81:60:cb:27:37"),
    ];
    let server = ScriptedServer::start(script).await;
    let identity = client(&server).identity().await.unwrap();
    assert_eq!(
        serde_json::to_value(identity).unwrap(),
        serde_json::json!({
            "instance_id": "i-0123456789abcdef0",
            "instance_type": "m5.large",
            "region": "eu-west-1",
            "zone": "eu-west-1a",
            "account": "123456789012",
            "primary_mac": "02:81:60:cb:27:37",
        })
    );
}

#[tokio::test]
async fn interfaces_are_read_by_mac_and_one_that_vanishes_is_left_out() {
    let script = [
        Step::Answer(200, "t1"),
        Step::Answer(200, "02:81:60:cb:27:37/\n02:81:60:cb:27:38/"),
        Step::Answer(200, "eni-0123456789abcdef0"),
        Step::Answer(200, "0"),
        Step::Answer(200, "subnet-0123456789abcdef0"),
        Step::Answer(200, "10.0.0.0/24"),
        Step::Answer(404, ""),
        Step::Answer(200, "10.0.0.0/16\n10.1.0.0/16"),
        Step::Answer(200, "10.0.0.10\n10.0.0.11\n"),
        Step::Answer(200, "sg-0000000a\nsg-0000000b"),
        Step::Answer(404, ""),
    ];
    let server = ScriptedServer::start(script).await;
    let interfaces = client(&server).interfaces().await.unwrap();
    assert_eq!(
        serde_json::to_value(interfaces).unwrap(),
        serde_json::json!({"02:81:60:cb:27:37": {
            "interface_id": "eni-0123456789abcdef0",
            "device_number": 0,
            "network_card": 0,
            "subnet_id": "subnet-0123456789abcdef0",
            "subnet_cidr": "10.0.0.0/24",
            "vpc_cidrs": ["10.0.0.0/16", "10.1.0.0/16"],
            "addresses": ["10.0.0.10", "10.0.0.11"],
            "group_ids": ["sg-0000000a", "sg-0000000b"],
        }})
    );
}
