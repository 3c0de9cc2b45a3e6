use super::*;
use crate::ec2::Ec2;

fn with_endpoint(endpoint: &str) -> Result<Ec2, Ec2ConfigError> {
    let endpoint = Some(endpoint.to_owned());
    Ec2::new(Ec2Config {
        endpoint,
        ..Ec2Config::new("eu-west-1")
    })
}

#[test]
fn endpoints_that_are_no_urls_are_refused() {
    for bad in [
        "",
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "http:///x",
        "nonsense",
    ] {
        let error = with_endpoint(bad).unwrap_err();
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
    with_endpoint("http://127.0.0.1:8080").unwrap();
    assert!(Ec2::new(Ec2Config::new("eu west")).is_err());
}

#[test]
fn regions_have_their_own_endpoints() {
    assert_eq!(
        default_endpoint("eu-west-1"),
        "https://ec2.eu-west-1.amazonaws.com"
    );
    assert_eq!(
        default_endpoint("cn-north-1"),
        "https://ec2.cn-north-1.amazonaws.com.cn"
    );
}

#[test]
fn the_schemes_own_port_is_left_out_of_the_host_header() {
    for (endpoint, host) in [
        ("http://a:80", "a"),
        ("http://a:443", "a:443"),
        ("https://a:443", "a"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
    ] {
        let uri: Uri = endpoint.parse().unwrap();
        assert_eq!(host_header(&uri, uri.authority().unwrap().as_str()), host);
    }
}
