//! Callers that get nothing, and requests that are none.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::service::Service;

/// Everything the service says to these bytes until it closes the connection.
fn answer(listener: TcpListener, knows: bool, request: &str) -> String {
    let address = listener.local_addr().unwrap();
    let _service = Service::start(listener, move |_| knows);
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The service may have closed the connection before it read anything.
    let sent = stream.write_all(request.as_bytes());
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    if knows {
        sent.unwrap();
        read.unwrap();
    }
    text
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn an_unknown_caller_is_not_answered() {
    let request = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n\
                   X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
    assert_eq!(answer(listener(), false, request), "");
}

#[test]
fn answers_carry_the_headers_of_the_real_service() {
    let request = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                   X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
    let text = answer(listener(), true, request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head
        .lines()
        .filter(|line| !line.starts_with("date:"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 200 OK",
            "connection: close",
            "content-length: 56",
            "content-type: text/plain",
            "server: EC2ws",
            "x-aws-ec2-metadata-token-ttl-seconds: 60",
        ]
    );
    assert_eq!(body.len(), 56);
}

#[test]
fn what_is_not_a_proper_request_is_refused() {
    for (request, status) in [
        ("nonsense\r\n\r\n", "400 "),
        (
            "GET /latest/meta-data/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "401 ",
        ),
        (
            "GET /latest/meta-data/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-aws-ec2-metadata-token: \u{e4}\r\n\r\n",
            "401 ",
        ),
        (
            "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-Forwarded-For: 10.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n",
            "403 ",
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "405 ",
        ),
    ] {
        let text = answer(listener(), true, request);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?} got {text:?}"
        );
    }
}
