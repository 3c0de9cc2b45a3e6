//! Tokens travel no farther than the hop limit.

use std::{
    io::{ErrorKind, Read, Write},
    process::Output,
    time::Duration,
};

use crate::{
    namespaces::{Namespaces, Place},
    service::Service,
};

const TOKEN: [&str; 5] = [
    "-X",
    "PUT",
    "-H",
    "X-aws-ec2-metadata-token-ttl-seconds: 60",
    "http://169.254.169.254/latest/api/token",
];
const TIMED_OUT: i32 = 28;

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "curl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// One test, since all of it needs the same namespaces.
#[test]
fn a_pod_gets_a_token_only_within_the_hop_limit() {
    let namespaces = Namespaces::new();
    let service = Service::start(namespaces.listen(), |_| true);

    // At limit 1 the node gets a token, and it is good for the node and for the pod alike.
    let token = text(&namespaces.curl(Place::Node, 10, &TOKEN));
    assert_eq!(token.len(), 56);
    let header = format!("X-aws-ec2-metadata-token: {token}");
    let read = [
        "-H",
        &header,
        "http://169.254.169.254/latest/meta-data/instance-id",
    ];
    for place in [Place::Node, Place::Pod] {
        assert_eq!(
            text(&namespaces.curl(place, 10, &read)),
            "i-00000000000000001"
        );
    }

    // The pod reaches the service and is told that it has no token, but is not given one.
    let unauthorised = ["-w", "%{http_code}", "-o", "/dev/null", read[2]];
    assert_eq!(text(&namespaces.curl(Place::Pod, 10, &unauthorised)), "401");
    let refused = namespaces.curl(Place::Pod, 2, &TOKEN);
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(TIMED_OUT), &b""[..])
    );

    // Not by a later request on the same connection either, which the kernel would let carry
    // the lost answer along.
    let mut stream = namespaces.connect(Place::Pod);
    stream
        .write_all(
            b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n\
              X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n\
              GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let received = stream.read(&mut [0; 1024]).map_err(|error| error.kind());
    assert_eq!(received, Err(ErrorKind::WouldBlock), "nothing arrives");

    // At limit 2 the pod gets one.
    service.set_hop_limit(2);
    assert_eq!(text(&namespaces.curl(Place::Pod, 10, &TOKEN)).len(), 56);
}
