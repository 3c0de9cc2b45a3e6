//! One connection: HTTP/1.1, and the TTL that its packets leave with.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, SERVER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::TcpStream;
use underlay_vpc_model::{ImdsRequest, ImdsResponse};

use super::server::{Caller, MetadataServer};

/// How long a connection may stay without a complete request head.
const IDLE: Duration = Duration::from_secs(30);

/// How long sent data may stay unacknowledged, in milliseconds: what dies at the hop limit is
/// not worth retrying for the kernel's quarter of an hour.
const UNACKNOWLEDGED_MS: u32 = 20_000;

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const FORWARDED: &str = "x-forwarded-for";

/// Serves a connection until the client closes it, or it is idle for too long.
pub(super) async fn serve(
    stream: TcpStream,
    caller: Caller,
    server: Arc<MetadataServer>,
) -> Result<(), ConnectionError> {
    let ttl = PacketTtl::of(&stream)?;
    let service = service_fn(|request| {
        let answer = answer(&server, &caller, &request, &ttl);
        async { answer }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the instance {0} is gone")]
    Gone(underlay_types::InstanceId),
    #[error("HTTP with an instance failed")]
    Http(#[from] hyper::Error),
    #[error("the answer could not be written as HTTP")]
    Response(#[from] hyper::http::Error),
    #[error("setting up the socket of a metadata connection failed")]
    Socket(#[from] io::Error),
}

fn answer(
    server: &MetadataServer,
    caller: &Caller,
    request: &Request<Incoming>,
    ttl: &PacketTtl,
) -> Result<Response<Full<Bytes>>, ConnectionError> {
    let headers = request.headers();
    let question = ImdsRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        token: text(headers, TOKEN),
        token_ttl: text(headers, TOKEN_TTL),
        forwarded: headers.contains_key(FORWARDED),
    };
    let answer = server
        .respond(caller, &question)?
        .ok_or_else(|| ConnectionError::Gone(caller.instance.clone()))?;
    ttl.limit_to(answer.ip_ttl)?;
    Ok(response(answer)?)
}

/// A header's value. One that is not text equals no token, but it is not the lack of one.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}

fn response(answer: ImdsResponse) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status)?)
        .header(SERVER, HeaderValue::from_static("EC2ws"))
        .header(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(secs) = answer.token_ttl_secs {
        response = response.header(TOKEN_TTL, HeaderValue::from(secs));
    }
    response.body(Full::new(Bytes::from(answer.body)))
}

/// The IP TTL of a connection's packets. It only ever falls.
///
/// The kernel stamps a packet when it sends it, so retransmissions carry the socket's TTL of that
/// moment. If the TTL rose again for the answer to a later GET, a client beyond the hop limit
/// could send PUT and GET on one connection, and would get the retransmitted token after all.
/// Whoever received an answer to PUT is within the limit, and so are all later answers.
struct PacketTtl {
    socket: OwnedFd,
    current: AtomicU8,
}

impl PacketTtl {
    const FREE: u8 = 64;

    fn of(stream: &TcpStream) -> io::Result<Self> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        sockopt::set_ip_ttl(&socket, u32::from(Self::FREE))?;
        sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED_MS)?;
        Ok(Self {
            socket,
            current: AtomicU8::new(Self::FREE),
        })
    }

    fn limit_to(&self, ttl: u8) -> io::Result<()> {
        if ttl < self.current.fetch_min(ttl, Ordering::Relaxed) {
            sockopt::set_ip_ttl(&self.socket, u32::from(ttl))?;
        }
        Ok(())
    }
}
