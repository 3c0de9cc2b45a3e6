use super::*;
use crate::{AvailabilityZone, MetadataOptions, Tags};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const ENTROPY: [u8; TOKEN_ENTROPY_BYTES] = [7; TOKEN_ENTROPY_BYTES];

fn interface(device_index: u32, addresses: &[&str], prefixes: &[&str]) -> InterfaceView {
    InterfaceView {
        id: underlay_types::EniId::from_serial(u64::from(device_index) + 1),
        mac: underlay_types::Mac::local(u64::from(device_index) + 1),
        device_index,
        network_card: 0,
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        public: Vec::new(),
        prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
        v6: Vec::new(),
        v6_prefixes: Vec::new(),
        groups: vec![
            ("sg-0000000a".parse().unwrap(), "nodes".to_owned()),
            ("sg-0000000b".parse().unwrap(), "web".to_owned()),
        ],
        subnet: "subnet-0000000a".parse().unwrap(),
        subnet_cidr: "10.0.1.0/24".parse().unwrap(),
        subnet_v6_cidr: None,
        vpc: "vpc-0000000a".parse().unwrap(),
        vpc_cidrs: vec![
            "10.0.0.0/16".parse().unwrap(),
            "10.1.0.0/16".parse().unwrap(),
        ],
        vpc_v6_cidrs: Vec::new(),
    }
}

fn view() -> InstanceView {
    InstanceView {
        id: "i-0123456789abcdef0".parse().unwrap(),
        options: MetadataOptions {
            tokens_required: true,
            hop_limit: 1,
            enabled: true,
            tags: true,
        },
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".into(),
        zone: AvailabilityZone {
            name: "us-east-1a".into(),
            id: "use1-az1".into(),
        },
        reservation: "r-0000000a".parse().unwrap(),
        launch_index: 0,
        launch_time: NOW,
        image: "ami-0000000a".parse().unwrap(),
        architecture: "x86_64".into(),
        instance_type: "m5.large".into(),
        role: "node".into(),
        profile: "node-profile".into(),
        key_name: Some("mine".into()),
        user_data: Some(b"#!/bin/sh\n".to_vec()),
        tags: Tags::from([("Name".to_owned(), "node-1".to_owned())]),
        interfaces: vec![
            interface(0, &["10.0.1.4", "10.0.1.9"], &[]),
            interface(1, &["10.0.1.5"], &["10.0.1.32/28", "10.0.1.48/28"]),
        ],
    }
}

fn request<'a>(method: &'a str, path: &'a str) -> ImdsRequest<'a> {
    ImdsRequest {
        method,
        path,
        token: None,
        token_ttl: None,
        forwarded: false,
    }
}

fn put_token<'a>(ttl: &'a str) -> ImdsRequest<'a> {
    ImdsRequest {
        token_ttl: Some(ttl),
        ..request("PUT", "/latest/api/token")
    }
}

fn credentials(role: &str) -> RoleCredentials {
    RoleCredentials {
        access_key_id: format!("ASIA-{role}"),
        secret_access_key: "secret".into(),
        session_token: "session".into(),
        last_updated: NOW,
        expiration: NOW + std::time::Duration::from_secs(6 * 3600),
    }
}

fn ask(imds: &mut Imds, view: &InstanceView, request: &ImdsRequest<'_>) -> ImdsResponse {
    imds.respond(NOW, view, request, &ENTROPY, credentials)
}

fn body(response: &ImdsResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

/// Reads a path with a fresh token.
fn read(view: &InstanceView, path: &str) -> (u16, String) {
    let mut imds = Imds::new();
    let token = body(&ask(&mut imds, view, &put_token("60"))).to_owned();
    let get = ImdsRequest {
        token: Some(&token),
        ..request("GET", path)
    };
    let response = ask(&mut imds, view, &get);
    assert_eq!(response.ip_ttl, 64, "only PUT is bound to the hop limit");
    (response.status, body(&response).to_owned())
}

fn value(path: &str) -> String {
    let (status, text) = read(&view(), path);
    assert_eq!(status, 200, "{path}");
    text
}

#[test]
fn a_token_is_bound_to_its_instance_and_its_time() {
    let mut imds = Imds::new();
    let answer = ask(&mut imds, &view(), &put_token("10"));
    assert_eq!(
        (
            answer.status,
            answer.token_ttl_secs,
            answer.ip_ttl,
            answer.body.len()
        ),
        (200, Some(10), 1, 56)
    );
    let token = body(&answer).to_owned();
    let get = ImdsRequest {
        token: Some(&token),
        ..request("GET", "/latest/meta-data/instance-id")
    };
    let mut status = |view: &InstanceView, secs: u64| {
        let now = NOW + std::time::Duration::from_secs(secs);
        imds.respond(now, view, &get, &ENTROPY, credentials).status
    };
    let mut other = view();
    other.id = "i-0000000b".parse().unwrap();
    assert_eq!(status(&view(), 9), 200);
    assert_eq!(status(&view(), 10), 401, "expired");
    assert_eq!(status(&other, 0), 401, "foreign");
    imds.forget(&view().id);
    assert_eq!(ask(&mut imds, &view(), &get).status, 401, "forgotten");
}

#[test]
fn a_put_without_a_proper_ttl_or_through_a_proxy_is_refused() {
    let mut imds = Imds::new();
    for bad in ["", "0", "21601", "-1", "1.5", "sixty"] {
        assert_eq!(
            ask(&mut imds, &view(), &put_token(bad)).status,
            400,
            "{bad:?}"
        );
    }
    for good in ["1", "21600", " 60 "] {
        assert_eq!(
            ask(&mut imds, &view(), &put_token(good)).status,
            200,
            "{good:?}"
        );
    }
    let no_ttl = request("PUT", "/latest/api/token");
    assert_eq!(ask(&mut imds, &view(), &no_ttl).status, 400);
    let forwarded = ImdsRequest {
        forwarded: true,
        ..put_token("60")
    };
    assert_eq!(ask(&mut imds, &view(), &forwarded).status, 403);
    let elsewhere = request("PUT", "/latest/meta-data/");
    assert_eq!(ask(&mut imds, &view(), &elsewhere).status, 405);
    let post = request("POST", "/latest/api/token");
    assert_eq!(ask(&mut imds, &view(), &post).status, 405);
}

#[test]
fn every_answer_to_put_carries_the_hop_limit() {
    let mut view = view();
    for limit in [1, 2, 64] {
        view.options.hop_limit = limit;
        let ttl = |request: &ImdsRequest<'_>| ask(&mut Imds::new(), &view, request).ip_ttl;
        assert_eq!(ttl(&put_token("60")), limit);
        assert_eq!(ttl(&put_token("bad")), limit);
        assert_eq!(ttl(&request("GET", "/latest/meta-data/")), 64);
    }
}

#[test]
fn a_token_is_required_unless_the_options_say_optional() {
    let mut view = view();
    let get = request("GET", "/latest/meta-data/instance-id");
    let wrong = ImdsRequest {
        token: Some("wrong"),
        ..get
    };
    assert_eq!(ask(&mut Imds::new(), &view, &get).status, 401);
    view.options.tokens_required = false;
    assert_eq!(ask(&mut Imds::new(), &view, &get).status, 200);
    assert_eq!(ask(&mut Imds::new(), &view, &wrong).status, 401);
    view.options.enabled = false;
    assert_eq!(ask(&mut Imds::new(), &view, &get).status, 403);
    assert_eq!(ask(&mut Imds::new(), &view, &put_token("60")).status, 403);
}

#[test]
fn directories_list_their_entries_and_mark_subdirectories() {
    assert_eq!(value("/latest/"), "dynamic\nmeta-data\nuser-data");
    assert!(value("/").ends_with("2024-04-11\nlatest"));
    assert_eq!(
        value("/latest/meta-data/"),
        "ami-id\nami-launch-index\nami-manifest-path\nblock-device-mapping/\n\
         events/\nhostname\niam/\ninstance-action\n\
         instance-id\ninstance-life-cycle\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\n\
         network/\nplacement/\nprofile\npublic-keys/\nreservation-id\nsecurity-groups\nservices/\nsystem\ntags/"
    );
    assert_eq!(
        value("/latest/meta-data/network/interfaces/macs/"),
        "02:00:00:00:00:01/\n02:00:00:00:00:02/"
    );
    assert_eq!(value("/latest/meta-data/iam/security-credentials/"), "node");
    assert_eq!(value("/latest/meta-data/tags/instance/"), "Name");
}

#[test]
fn a_key_pair_is_listed_by_number_and_name() {
    assert_eq!(value("/latest/meta-data/public-keys/"), "0=mine");
    assert_eq!(value("/latest/meta-data/public-keys/0/"), "openssh-key");
    let key = value("/latest/meta-data/public-keys/0/openssh-key");
    let parts: Vec<_> = key.split(' ').collect();
    assert_eq!((parts[0], parts[2]), ("ssh-ed25519", "mine"));
    let mut unnamed = view();
    unnamed.key_name = None;
    let (status, _) = read(&unnamed, "/latest/meta-data/public-keys/");
    assert_eq!(status, 404);
}

#[test]
fn every_key_of_an_interface_has_its_value() {
    let root = "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:02/";
    let values: Vec<_> = value(root)
        .lines()
        .map(|key| {
            format!(
                "{key}={}",
                value(&format!("{root}{key}")).replace('\n', ",")
            )
        })
        .collect();
    assert_eq!(
        values,
        [
            "device-number=1",
            "interface-id=eni-00000000000000002",
            "ipv4-prefix=10.0.1.32/28,10.0.1.48/28",
            "local-hostname=ip-10-0-1-5.ec2.internal",
            "local-ipv4s=10.0.1.5",
            "mac=02:00:00:00:00:02",
            "network-card=0",
            "network-card-index=0",
            "owner-id=123456789012",
            "security-group-ids=sg-0000000a,sg-0000000b",
            "security-groups=nodes,web",
            "subnet-id=subnet-0000000a",
            "subnet-ipv4-cidr-block=10.0.1.0/24",
            "vpc-id=vpc-0000000a",
            "vpc-ipv4-cidr-block=10.0.0.0/16",
            "vpc-ipv4-cidr-blocks=10.0.0.0/16,10.1.0.0/16",
        ]
    );
}

#[test]
fn keys_of_ipv6_are_there_with_their_values() {
    let mut view = view();
    let first = &mut view.interfaces[0];
    first.v6 = vec!["2600::4".parse().unwrap(), "2600::5".parse().unwrap()];
    first.v6_prefixes = vec!["2600::1:0:0:0/80".parse().unwrap()];
    first.subnet_v6_cidr = Some("2600::/64".parse().unwrap());
    first.vpc_v6_cidrs = vec!["2600::/56".parse().unwrap()];
    let root = "network/interfaces/macs/02:00:00:00:00:01";
    for (path, expected) in [
        ("ipv6".to_owned(), "2600::4"),
        (format!("{root}/ipv6s"), "2600::4\n2600::5"),
        (format!("{root}/ipv6-prefix"), "2600::1:0:0:0/80"),
        (format!("{root}/subnet-ipv6-cidr-blocks"), "2600::/64"),
        (format!("{root}/vpc-ipv6-cidr-blocks"), "2600::/56"),
    ] {
        let path = format!("/latest/meta-data/{path}");
        let parts = path::parts(&path).unwrap();
        let Some(Node::Text(text)) = tree::find(&view, &parts) else {
            panic!("{path} is not there");
        };
        assert_eq!(text, expected, "{path}");
    }
}

#[test]
fn values_of_the_instance_are_where_clients_read_them() {
    for (path, expected) in [
        ("mac", "02:00:00:00:00:01"),
        ("instance-id", "i-0123456789abcdef0"),
        ("instance-type", "m5.large"),
        ("local-ipv4", "10.0.1.4"),
        ("local-hostname", "ip-10-0-1-4.ec2.internal"),
        ("placement/availability-zone", "us-east-1a"),
        ("placement/availability-zone-id", "use1-az1"),
        ("placement/region", "us-east-1"),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
        ("tags/instance/Name", "node-1"),
        (
            "network/interfaces/macs/02:00:00:00:00:01/local-ipv4s",
            "10.0.1.4\n10.0.1.9",
        ),
    ] {
        assert_eq!(
            value(&format!("/latest/meta-data/{path}")),
            expected,
            "{path}"
        );
    }
    assert_eq!(value("/latest/user-data"), "#!/bin/sh\n");
}

#[test]
fn versions_slashes_and_encoding_do_not_matter() {
    for path in [
        "/2021-07-15/meta-data/mac",
        "/latest/meta-data/mac/",
        "//latest//meta-data/mac",
        "/latest/meta-data/mac?x=1",
        "/latest/meta%2Ddata/mac",
        "/latest/meta-data/network/interfaces/macs/02%3A00:00:00:00:01/mac",
    ] {
        assert_eq!(value(path), "02:00:00:00:00:01", "{path}");
    }
}

#[test]
fn what_is_not_there_is_404_and_what_is_malformed_400() {
    for path in [
        "/latest/meta-data/nothing",
        "/latest/meta-data/mac/more",
        "/1999-01-01/meta-data/mac",
        "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/ipv4-prefix",
        "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/ipv6s",
        "/latest/meta-data/iam/security-credentials/other",
    ] {
        assert_eq!(read(&view(), path).0, 404, "{path}");
    }
    assert_eq!(read(&view(), "/latest/%zz").0, 400);
    let mut view = view();
    view.options.tags = false;
    view.user_data = None;
    assert_eq!(read(&view, "/latest/meta-data/tags/instance/Name").0, 404);
    assert_eq!(read(&view, "/latest/user-data").0, 404);
}

#[test]
fn documents_have_their_documented_keys() {
    let json = |path: &str| value(path).parse::<serde_json::Value>().unwrap();
    assert_eq!(
        json("/latest/dynamic/instance-identity/document"),
        serde_json::json!({
            "accountId": "123456789012", "architecture": "x86_64",
            "availabilityZone": "us-east-1a", "billingProducts": null,
            "devpayProductCodes": null, "marketplaceProductCodes": null,
            "imageId": "ami-0000000a", "instanceId": "i-0123456789abcdef0",
            "instanceType": "m5.large", "kernelId": null,
            "pendingTime": "2023-11-14T22:13:20Z", "privateIp": "10.0.1.4",
            "ramdiskId": null, "region": "us-east-1", "version": "2017-09-30",
        })
    );
    let info = json("/latest/meta-data/iam/info");
    assert_eq!(
        info["InstanceProfileArn"],
        "arn:aws:iam::123456789012:instance-profile/node-profile"
    );
    assert_eq!(
        json("/latest/meta-data/iam/security-credentials/node"),
        serde_json::json!({
            "Code": "Success", "LastUpdated": "2023-11-14T22:13:20Z", "Type": "AWS-HMAC",
            "AccessKeyId": "ASIA-node", "SecretAccessKey": "secret", "Token": "session",
            "Expiration": "2023-11-15T04:13:20Z",
        })
    );
}

#[test]
fn ipv6_has_its_keys_where_the_interface_has_it() {
    let mut view = view();
    let eni = view.interfaces.first_mut().unwrap();
    eni.v6 = vec![
        "2001:db8::4".parse().unwrap(),
        "2001:db8::9".parse().unwrap(),
    ];
    eni.v6_prefixes = vec!["2001:db8:0:0:1::/80".parse().unwrap()];
    eni.subnet_v6_cidr = Some("2001:db8::/64".parse().unwrap());
    eni.vpc_v6_cidrs = vec!["2001:db8::/56".parse().unwrap()];
    let root = "network/interfaces/macs/02:00:00:00:00:01";
    for (path, expected) in [
        ("ipv6".to_owned(), "2001:db8::4"),
        (format!("{root}/ipv6s"), "2001:db8::4\n2001:db8::9"),
        (format!("{root}/ipv6-prefix"), "2001:db8:0:0:1::/80"),
        (format!("{root}/subnet-ipv6-cidr-blocks"), "2001:db8::/64"),
        (format!("{root}/vpc-ipv6-cidr-blocks"), "2001:db8::/56"),
    ] {
        let path = format!("/2021-07-15/meta-data/{path}");
        assert_eq!(read(&view, &path), (200, expected.to_owned()), "{path}");
    }
}

#[test]
fn public_addresses_have_their_keys() {
    let mut view = view();
    let eni = view.interfaces.first_mut().unwrap();
    eni.public = vec![("198.18.0.7".parse().unwrap(), "10.0.1.9".parse().unwrap())];
    let root = "network/interfaces/macs/02:00:00:00:00:01";
    for (path, expected) in [
        ("public-ipv4".to_owned(), "198.18.0.7"),
        (
            "public-hostname".to_owned(),
            "ec2-198-18-0-7.compute-1.amazonaws.com",
        ),
        (format!("{root}/public-ipv4s"), "198.18.0.7"),
        (
            format!("{root}/public-hostname"),
            "ec2-198-18-0-7.compute-1.amazonaws.com",
        ),
        (format!("{root}/ipv4-associations/"), "198.18.0.7"),
        (format!("{root}/ipv4-associations/198.18.0.7"), "10.0.1.9"),
    ] {
        let path = format!("/latest/meta-data/{path}");
        assert_eq!(read(&view, &path), (200, expected.to_owned()), "{path}");
    }
}

#[test]
fn the_token_resource_is_for_put_only() {
    for method in ["GET", "HEAD"] {
        let get = request(method, "/latest/api/token");
        assert_eq!(ask(&mut Imds::new(), &view(), &get).status, 405);
    }
}
